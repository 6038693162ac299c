// NATS JetStream, one replica, file storage. The server is the package's; the clients are libnats's, driven by poll() in one thread each
// (its event loop interface, as its libuv adapter uses it), so that what a request needs leaves in as few writes as it can.
//
// Each queue is a work queue stream with one durable pull consumer, both made by the server's side before anybody connects.
#include "bench/harness/clock.hpp"
#include "bench/peers/peers.hpp"

#include "tests/support/free_port.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <nats/nats.h>

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <deque>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::process;
using testing::process_options;

constexpr auto durable = "workers";

std::string stream_named(std::size_t queue) {
  return "QUEUE" + std::to_string(queue);
}
std::string subject_of(std::size_t queue) {
  return "queue." + std::to_string(queue);
}

void must(natsStatus s, const std::string& tried) {
  if (s == NATS_OK)
    return;
  const auto* why = nats_GetLastError(nullptr);
  throw std::runtime_error("NATS: " + tried + ": " + natsStatus_GetText(s) + (why ? std::string(": ") + why : ""));
}

template <class T, void (*Destroy)(T*)>
struct destroys {
  void operator()(T* what) const { Destroy(what); }
};
template <class T, void (*Destroy)(T*)>
using owned = std::unique_ptr<T, destroys<T, Destroy>>;
using owned_options = owned<natsOptions, natsOptions_Destroy>;
using owned_connection = owned<natsConnection, natsConnection_Destroy>;
using owned_subscription = owned<natsSubscription, natsSubscription_Destroy>;
using owned_context = owned<jsCtx, jsCtx_Destroy>;
using owned_message = owned<natsMsg, natsMsg_Destroy>;

owned_options options_for(const std::string& address) {
  natsOptions* made = nullptr;
  must(natsOptions_Create(&made), "making options");
  owned_options options(made);
  must(natsOptions_SetURL(made, address.c_str()), "naming " + address);
  must(natsOptions_SetAllowReconnect(made, false), "forbidding to reconnect");
  return options;
}

owned_connection connect(const owned_options& options, const std::string& address) {
  natsConnection* made = nullptr;
  must(natsConnection_Connect(&made, options.get()), "connecting to " + address);
  return owned_connection(made);
}

// -- server -----------------------------------------------------------------------------------------------------------------------

class jetstream final : public server {
public:
  explicit jetstream(server_options options) : options_(std::move(options)) {
    start();
    for (std::size_t i = 0; i < options_.queues; ++i)
      make_queue(i);
  }
  ~jetstream() override {
    forget();
    process_->stop(SIGTERM, std::chrono::seconds(30));
  }

  std::string address() const override { return "nats://127.0.0.1:" + std::to_string(port_); }
  std::vector<pid_t> processes() const override { return {process_->pid()}; }

  // A work queue holds what is not acknowledged, and nothing else.
  std::uint64_t unacknowledged() override {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < options_.queues; ++i)
      n += held_by(i);
    return n;
  }

  nanoseconds restart() override {
    forget();
    if (!process_->stop(SIGTERM, std::chrono::minutes(2)))
      throw std::runtime_error("nats-server does not stop");
    process_.reset();
    const auto begin = now_ns();
    launch();
    if (!await_served(std::chrono::minutes(10)))
      throw std::runtime_error("nats-server does not start again: " + process_->err());
    for (std::size_t i = 0; i < options_.queues; ++i)
      (void)held_by(i); // Throws when a stream did not come back.
    return nanoseconds(now_ns() - begin);
  }

private:
  void launch() {
    const auto life = std::to_string(++lives_);
    const std::string packaged = "/usr/sbin/nats-server"; // Not in everybody's PATH.
    process_ = std::make_unique<process>(process_options{
      .argv = {fs::exists(packaged) ? packaged : "nats-server", "--config", (options_.folder / "nats.conf").string()},
      .stdout_file = (options_.folder / ("log-" + life)).string()});
  }

  void start() {
    for (int attempt = 0; attempt < 5; ++attempt) { // The port may be taken between our look and the server's.
      port_ = testing::free_port();
      std::ofstream out(options_.folder / "nats.conf");
      out << "host: 127.0.0.1\nport: " << port_
          << "\nserver_name: bench\nmax_payload: 2MB\nmax_pending: 1GB\njetstream {\n  store_dir: \""
          << (options_.folder / "data").string() << "\"\n  max_file_store: 1TB\n}\n";
      if (!out.flush())
        throw std::runtime_error("cannot write " + (options_.folder / "nats.conf").string());
      launch();
      if (await_served(std::chrono::minutes(1)))
        return;
    }
    throw std::runtime_error("nats-server does not start: " + process_->err());
  }

  // Connected, and JetStream answers.
  bool await_served(milliseconds at_most) {
    const auto give_up = now_ns() + static_cast<std::uint64_t>(nanoseconds(at_most).count());
    while (process_->running() && now_ns() < give_up) {
      if (testing::port_answers(port_) && answers())
        return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return false;
  }

  bool answers() {
    try {
      connection_ = connect(options_for(address()), address());
    } catch (const std::runtime_error&) { // Not yet, or somebody else's port.
      return false;
    }
    jsOptions asking;
    jsOptions_Init(&asking);
    asking.Wait = 60'000;
    jsCtx* made = nullptr;
    must(natsConnection_JetStream(&made, connection_.get(), &asking), "opening JetStream");
    context_.reset(made);
    jsAccountInfo* info = nullptr;
    if (js_GetAccountInfo(&info, made, nullptr, nullptr) == NATS_OK) {
      jsAccountInfo_Destroy(info);
      return true;
    }
    forget();
    return false;
  }

  void forget() {
    context_.reset();
    connection_.reset();
  }

  void make_queue(std::size_t i) {
    const auto stream = stream_named(i), subject = subject_of(i);
    const char* subjects[] = {subject.c_str()};
    jsStreamConfig s;
    jsStreamConfig_Init(&s);
    s.Name = stream.c_str();
    s.Subjects = subjects;
    s.SubjectsLen = 1;
    s.Retention = js_WorkQueuePolicy;
    s.Storage = js_FileStorage;
    s.Replicas = 1;
    must(js_AddStream(nullptr, context_.get(), &s, nullptr, nullptr), "adding stream " + stream);

    jsConsumerConfig c;
    jsConsumerConfig_Init(&c);
    c.Durable = durable;
    c.AckPolicy = js_AckExplicit;
    c.AckWait = nanoseconds(options_.lease).count();
    c.MaxAckPending = 1'000'000; // The windows of the clients are the limit.
    c.MaxWaiting = 16'384;
    must(js_AddConsumer(nullptr, context_.get(), stream.c_str(), &c, nullptr, nullptr), "adding a consumer to " + stream);
  }

  std::uint64_t held_by(std::size_t i) {
    jsStreamInfo* info = nullptr;
    must(js_GetStreamInfo(&info, context_.get(), stream_named(i).c_str(), nullptr, nullptr), "asking about " + stream_named(i));
    const auto n = info->State.Msgs;
    jsStreamInfo_Destroy(info);
    return n;
  }

  server_options options_;
  std::uint16_t port_ = 0;
  int lives_ = 0;
  std::unique_ptr<process> process_;
  owned_connection connection_;
  owned_context context_;
};

// -- clients ----------------------------------------------------------------------------------------------------------------------

// A connection without threads of the library's: it buffers what is published and tells us that it wants to write; we decide when. Pings
// are the library's timer's, so the wish may come from there.
class line {
public:
  explicit line(const std::string& address) : address_(address) {
    const auto options = options_for(address);
    must(natsOptions_SetSendAsap(options.get(), true), "asking to send at once"); // Otherwise a thread of its own writes, later.
    must(natsOptions_SetIOBufSize(options.get(), buffer_bytes), "setting the buffers' size");
    must(natsOptions_SetEventLoop(options.get(), this, attach, reads_always, wants_to_write, detach), "setting the event loop");
    connection_ = connect(options, address);
    natsInbox* made = nullptr;
    must(natsInbox_Create(&made), "making an inbox");
    inbox_ = std::string(made) + ".";
    natsInbox_Destroy(made);
    natsSubscription* subscription = nullptr;
    must(natsConnection_SubscribeSync(&subscription, connection_.get(), (inbox_ + "*").c_str()), "subscribing to an inbox");
    subscription_.reset(subscription);
    must(natsSubscription_SetPendingLimits(subscription, -1, -1), "lifting the inbox's limit"); // What we ask for is its limit.
    flush();
  }

  /// Buffers it; everything has been written after flush() only.
  void publish(const char* subject, const char* reply, std::string_view data) {
    const auto size = static_cast<int>(data.size());
    const auto s = reply ? natsConnection_PublishRequest(connection_.get(), subject, reply, data.data(), size)
                         : natsConnection_Publish(connection_.get(), subject, data.data(), size);
    if (s != NATS_OK)
      must(s, std::string("publishing to ") + subject);
    if ((unwritten_ += data.size()) >= buffer_bytes)
      flush();
  }

  void flush() {
    unwritten_ = 0;
    while (wants_to_write_.load()) {
      wait_for(POLLOUT, std::chrono::minutes(1));
      natsConnection_ProcessWriteEvent(connection_.get());
      check();
    }
  }

  /// Waits until something can be read, and reads it.
  void read(nanoseconds at_most) {
    if (wants_to_write_.load())
      flush();
    if (wait_for(POLLIN, at_most)) {
      natsConnection_ProcessReadEvent(connection_.get());
      check();
    }
  }

  /// The next message that has been read; null when there is none.
  owned_message next() {
    natsMsg* message = nullptr;
    const auto s = natsSubscription_NextMsg(&message, subscription_.get(), 0);
    if (s != NATS_TIMEOUT)
      must(s, "taking a message from the inbox");
    return owned_message(message);
  }

  [[nodiscard]] const std::string& inbox() const { return inbox_; }

private:
  static constexpr int buffer_bytes = 256 * 1024;

  static natsStatus attach(void** user, void* loop, natsConnection*, natsSock socket) {
    *user = loop;
    static_cast<line*>(loop)->socket_ = socket;
    return NATS_OK;
  }
  static natsStatus reads_always(void*, bool) { return NATS_OK; }
  static natsStatus wants_to_write(void* self, bool wants) {
    static_cast<line*>(self)->wants_to_write_.store(wants);
    return NATS_OK;
  }
  static natsStatus detach(void*) { return NATS_OK; }

  bool wait_for(short what, nanoseconds at_most) {
    pollfd p{socket_, what, 0};
    const timespec bound{at_most.count() / 1'000'000'000, at_most.count() % 1'000'000'000};
    if (ppoll(&p, 1, &bound, nullptr) > 0)
      return true;
    if (what == POLLOUT)
      throw std::runtime_error("NATS: " + address_ + " has read nothing for a minute");
    return false;
  }

  void check() {
    if (natsConnection_IsClosed(connection_.get())) {
      const char* why = nullptr;
      natsConnection_GetLastError(connection_.get(), &why);
      throw std::runtime_error("NATS: the connection to " + address_ + " is gone" + (why && *why ? std::string(": ") + why : ""));
    }
  }

  std::string address_, inbox_;
  natsSock socket_ = -1;
  std::atomic<bool> wants_to_write_ = false;
  std::size_t unwritten_ = 0;
  owned_connection connection_;
  owned_subscription subscription_;
};

// Every event of a request names the same reply subject, <inbox>.<request>: as many acknowledges have to come there as there are events.
class stream_producer final : public producer {
public:
  stream_producer(const std::string& address, const producer_options& options)
    : line_(address),
      stream_(stream_named(options.queue)),
      subject_(subject_of(options.queue)) {}

  void send(std::span<const std::string_view> events) override {
    const auto reply = line_.inbox() + std::to_string(sent_);
    left_.push_back(events.size());
    ++sent_;
    for (const auto event : events)
      line_.publish(subject_.c_str(), reply.c_str(), event);
    line_.flush();
  }

  std::vector<std::uint64_t> reap(nanoseconds at_most) override {
    std::vector<std::uint64_t> acknowledged;
    const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
    for (;;) {
      while (const auto answer = line_.next())
        if (const auto request = note(answer.get()))
          acknowledged.push_back(*request);
      const auto now = now_ns();
      if (!acknowledged.empty() || now >= give_up)
        return acknowledged;
      line_.read(nanoseconds(give_up - now));
    }
  }

private:
  // The request, when this was its last acknowledge.
  std::optional<std::uint64_t> note(natsMsg* answer) {
    const std::string_view data(natsMsg_GetData(answer), static_cast<std::size_t>(natsMsg_GetDataLength(answer)));
    if (natsMsg_IsNoResponders(answer) || data.find("\"seq\":") == std::string_view::npos)
      throw std::runtime_error("NATS: publishing to " + stream_ + ": "
                               + (data.empty() ? "no stream takes it" : std::string(data)));
    const std::string_view number = std::string_view(natsMsg_GetSubject(answer)).substr(line_.inbox().size());
    std::uint64_t request = 0;
    std::from_chars(number.data(), number.data() + number.size(), request);
    if (request < first_ || request >= sent_ || left_[request - first_] == 0)
      throw std::runtime_error("NATS: an acknowledge of what was not sent: " + std::string(number));
    if (--left_[request - first_] > 0)
      return std::nullopt;
    while (!left_.empty() && left_.front() == 0)
      left_.pop_front(), ++first_;
    return request;
  }

  line line_;
  std::string stream_, subject_;
  std::deque<std::size_t> left_; // Acknowledges to come, of the requests from first_ on.
  std::uint64_t first_ = 0, sent_ = 0;
};

// Pull: keeps requests open for as many messages as the window has room for, so that the server never waits for one.
class stream_consumer final : public consumer {
public:
  stream_consumer(const std::string& address, consumer_options options)
    : options_(std::move(options)),
      line_(address),
      ask_("$JS.API.CONSUMER.MSG.NEXT." + stream_named(options_.queue) + "." + durable) {}

  void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) override {
    std::vector<owned_message> messages;
    std::vector<std::string_view> events;
    ask(options_.window);
    on_ready();
    while (!until.stop_requested()) {
      while (messages.size() < options_.batch) {
        auto message = line_.next();
        if (!message)
          break;
        messages.push_back(std::move(message));
      }
      if (messages.empty()) {
        line_.read(milliseconds(20));
        continue;
      }
      events.clear();
      for (const auto& message : messages)
        events.push_back(event_of(message.get()));
      work.take(events);
      for (const auto& message : messages)
        line_.publish(natsMsg_GetReply(message.get()), nullptr, "+ACK");
      asked_ -= std::min(asked_, messages.size());
      messages.clear();
      if (asked_ <= options_.window / 2)
        ask(options_.window - asked_);
      line_.flush();
    }
    settle();
  }

private:
  // Gives back what has come meanwhile, so that nobody waits for the end of our lease, and asks a last question: the server reads in order,
  // so with the answer it has our acknowledges too. Closing at once could lose them, with messages still on their way to us.
  void settle() {
    const auto reply = line_.inbox() + "end";
    line_.publish(("$JS.API.CONSUMER.INFO." + stream_named(options_.queue) + "." + durable).c_str(), reply.c_str(), {});
    line_.flush();
    for (const auto give_up = now_ns() + 5'000'000'000; now_ns() < give_up; line_.read(milliseconds(100)))
      while (const auto message = line_.next()) {
        if (natsMsg_GetSubject(message.get()) == reply)
          return line_.flush();
        (void)event_of(message.get());
        line_.publish(natsMsg_GetReply(message.get()), nullptr, "-NAK");
      }
    throw std::runtime_error("NATS: the server did not answer within 5 s of the last acknowledges");
  }

  void ask(std::size_t messages) {
    line_.publish(ask_.c_str(), (line_.inbox() + "0").c_str(), "{\"batch\":" + std::to_string(messages) + "}");
    line_.flush();
    asked_ += messages;
  }

  // Messages have the subject of the stream; what has ours is the server talking about our request.
  std::string_view event_of(natsMsg* message) {
    if (std::string_view(natsMsg_GetSubject(message)).starts_with(line_.inbox())) {
      const char* status = nullptr;
      (void)natsMsgHeader_Get(message, "Description", &status);
      throw std::runtime_error("NATS: " + ask_ + " was answered: " + (status ? status : "no consumer is there"));
    }
    return {natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message))};
  }

  consumer_options options_;
  line line_;
  std::string ask_;
  std::size_t asked_ = 0; // Messages asked for that have not come.
};

} // namespace

std::vector<system> nats_systems() {
  system s;
  s.name = "nats";
  s.title = "NATS JetStream R1";
  s.package = "nats-server";
  s.durable = false;
  s.durability =
    "a PubAck leaves after the message was written to its file, not synced: in 160 s of traffic the server made no fsync at all "
    "(traced), and 2.9 cannot be told to. It survives a crash of the server; a power failure loses what the kernel had not "
    "written";
  s.settings = {
    "server: JetStream, file storage, one replica, work queue retention; max_payload 2 MB, max_pending 1 GB (1 MiB events)",
    "producer: one connection, libnats by event loop: a request's events in as few writes as fit, one reply subject for all its "
    "PubAcks",
    "consumers: durable pull consumer, explicit acks, ack wait = lease; requests open for a whole window, asked again at half"};
  s.start = [](const server_options& o) { return std::make_unique<jetstream>(o); };
  s.make_producer = [](const std::string& a, const producer_options& o) { return std::make_unique<stream_producer>(a, o); };
  s.make_consumer = [](const std::string& a, const consumer_options& o) { return std::make_unique<stream_consumer>(a, o); };
  return {s};
}

} // namespace sallyport::bench
