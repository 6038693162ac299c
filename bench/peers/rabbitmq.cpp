// RabbitMQ, with quorum queues and with classic durable ones. The server is the package's, started without the package's wrapper (which
// wants root or the user rabbitmq), with an epmd of its own; the clients are librabbitmq's, but for what a producer writes: the library
// makes three system calls for each message, so a producer puts the frames of a whole request together itself.
#include "bench/harness/clock.hpp"
#include "bench/harness/runner.hpp"
#include "bench/peers/peers.hpp"

#include "tests/support/free_port.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
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

enum class kind { quorum, classic };

std::string queue_named(std::size_t queue) {
  return "queue" + std::to_string(queue);
}

amqp_bytes_t bytes_of(const std::string& text) {
  return {text.size(), const_cast<char*>(text.data())};
}
std::string text_of(amqp_bytes_t bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

[[noreturn]] void fail(const std::string& tried, const std::string& why) {
  throw std::runtime_error("RabbitMQ: " + tried + ": " + why);
}

void must(int status, const std::string& tried) {
  if (status < 0)
    fail(tried, amqp_error_string2(status));
}

// What the server says when it closes a channel or the connection; empty for any other method.
std::string farewell_in(const amqp_method_t& method) {
  if (method.id == AMQP_CHANNEL_CLOSE_METHOD)
    return "the server closed the channel: " + text_of(static_cast<amqp_channel_close_t*>(method.decoded)->reply_text);
  if (method.id == AMQP_CONNECTION_CLOSE_METHOD)
    return "the server closed the connection: " + text_of(static_cast<amqp_connection_close_t*>(method.decoded)->reply_text);
  return {};
}

void must(const amqp_rpc_reply_t& reply, const std::string& tried) {
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
    fail(tried, amqp_error_string2(reply.library_error));
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
    fail(tried, farewell_in(reply.reply));
}

// A connection with one channel.
class link {
public:
  explicit link(std::uint16_t port) : connection_(amqp_new_connection()) {
    const auto at = "connecting to 127.0.0.1:" + std::to_string(port);
    auto* socket = amqp_tcp_socket_new(connection_.get()); // The connection's. TCP_NODELAY is set by it.
    if (socket == nullptr)
      fail(at, "no socket");
    const timeval patience{60, 0};
    must(amqp_set_handshake_timeout(connection_.get(), &patience), at);
    must(amqp_set_rpc_timeout(connection_.get(), &patience), at);
    must(amqp_socket_open(socket, "127.0.0.1", port), at);
    // We want to hear when the server stops reading from us.
    amqp_table_entry_t blocked{amqp_cstring_bytes("connection.blocked"), {}};
    blocked.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    blocked.value.value.boolean = 1;
    amqp_table_entry_t capabilities{amqp_cstring_bytes("capabilities"), {}};
    capabilities.value.kind = AMQP_FIELD_KIND_TABLE;
    capabilities.value.value.table = {1, &blocked};
    const amqp_table_t properties{1, &capabilities};
    must(amqp_login_with_properties(connection_.get(), "/", AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, heartbeat_seconds,
                                    &properties, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
         at);
    amqp_channel_open(connection_.get(), channel);
    check("opening a channel");
  }

  [[nodiscard]] amqp_connection_state_t get() const { return connection_.get(); }
  void check(const std::string& tried) { must(amqp_get_rpc_reply(connection_.get()), tried); }

  /// The next frame, if one comes in time. Throws when it is the server's farewell.
  std::optional<amqp_frame_t> next(nanoseconds at_most, const std::string& trying) {
    // The library counts in whole milliseconds, and would have us spin through the last one.
    if (at_most.count() > 0 && !has_more()) {
      pollfd p{amqp_get_sockfd(connection_.get()), POLLIN, 0};
      const timespec bound{at_most.count() / 1'000'000'000, at_most.count() % 1'000'000'000};
      ppoll(&p, 1, &bound, nullptr);
    }
    amqp_frame_t frame;
    const timeval at_once{};
    const auto status = amqp_simple_wait_frame_noblock(connection_.get(), &frame, &at_once); // Sends heartbeats too.
    if (status == AMQP_STATUS_TIMEOUT)
      return std::nullopt;
    must(status, trying);
    if (frame.frame_type == AMQP_FRAME_METHOD)
      if (const auto farewell = farewell_in(frame.payload.method); !farewell.empty())
        fail(trying, farewell);
    return frame;
  }
  /// Something has been read of which next() has not yet told.
  [[nodiscard]] bool has_more() const {
    return amqp_frames_enqueued(connection_.get()) || amqp_data_in_buffer(connection_.get());
  }
  /// Frames that next() returned are no longer looked at.
  void release() { amqp_maybe_release_buffers(connection_.get()); }

  /// Says goodbye, so that everything sent has been handled when it returns.
  void close() { must(amqp_connection_close(connection_.get(), AMQP_REPLY_SUCCESS), "closing the connection"); }

  static constexpr amqp_channel_t channel = 1;

private:
  static constexpr int heartbeat_seconds = 60;

  struct destroys {
    void operator()(amqp_connection_state_t what) const { amqp_destroy_connection(what); }
  };
  std::unique_ptr<amqp_connection_state_t_, destroys> connection_;
};

// Messages that may wait between two of the server's processes before it stops reading from a publisher, and how many it lets go again at
// once. With the server's own {400, 200} one publisher with requests of 256 is held back more than it is served.
constexpr auto credit = "[{rabbit, [{credit_flow_default_credit, {4000, 2000}}]}].\n";

// -- server -----------------------------------------------------------------------------------------------------------------------

class broker final : public server {
public:
  broker(kind what, server_options options) : kind_(what), options_(std::move(options)) {
    for (const auto* name : {"home", "log", "mnesia"})
      fs::create_directories(options_.folder / name);
    write("empty.conf", "");
    write("plugins", "[].\n");
    write("advanced.config", credit);
    start();
    link connection(port_);
    for (std::size_t i = 0; i < options_.queues; ++i) {
      amqp_table_entry_t type{amqp_cstring_bytes("x-queue-type"), {}};
      type.value.kind = AMQP_FIELD_KIND_UTF8;
      type.value.value.bytes = amqp_cstring_bytes(kind_ == kind::quorum ? "quorum" : "classic");
      amqp_queue_declare(connection.get(), link::channel, bytes_of(queue_named(i)), 0, 1, 0, 0, {1, &type});
      connection.check("declaring " + queue_named(i));
    }
    connection.close();
  }
  ~broker() override {
    process_->stop(SIGTERM, std::chrono::seconds(30));
    if (names_)
      names_->stop(SIGTERM, std::chrono::seconds(5));
  }

  std::string address() const override { return std::to_string(port_); }
  std::vector<pid_t> processes() const override {
    auto all = family_of(process_->pid());
    all.push_back(names_->pid());
    return all;
  }

  // Ready messages, as AMQP tells them: what a connected consumer holds unacknowledged is not among them, and comes back to them when it
  // goes.
  std::uint64_t unacknowledged() override {
    link connection(port_);
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < options_.queues; ++i) {
      const auto* counted =
        amqp_queue_declare(connection.get(), link::channel, bytes_of(queue_named(i)), 1, 0, 0, 0, amqp_empty_table);
      connection.check("asking about " + queue_named(i));
      n += counted->message_count;
    }
    connection.close();
    return n;
  }

  nanoseconds restart() override {
    const auto before = unacknowledged();
    if (!process_->stop(SIGTERM, std::chrono::minutes(2)))
      throw std::runtime_error("rabbitmq-server does not stop");
    process_.reset();
    const auto begin = now_ns();
    launch();
    if (!await_served(std::chrono::minutes(10)))
      throw std::runtime_error("rabbitmq-server does not start again: " + process_->err());
    // The queues are served too: a quorum queue has no messages until it has elected a leader and read its log.
    const auto give_up = now_ns() + 60'000'000'000u;
    while (unacknowledged() < before) {
      if (now_ns() > give_up)
        throw std::runtime_error("rabbitmq-server has started again, and a minute later not all of its messages are back");
      std::this_thread::sleep_for(milliseconds(5));
    }
    return nanoseconds(now_ns() - begin);
  }

private:
  void write(const std::string& name, const std::string& text) {
    std::ofstream out(options_.folder / name);
    out << text;
    if (!out.flush())
      throw std::runtime_error("cannot write " + (options_.folder / name).string());
  }

  void start() {
    for (int attempt = 0; attempt < 5; ++attempt) { // A port may be taken between our look and the server's.
      port_ = testing::free_port(), distribution_port_ = testing::free_port(), names_port_ = testing::free_port();
      write("rabbitmq.conf", "listeners.tcp.default = 127.0.0.1:" + std::to_string(port_) + "\n");
      names_.reset();
      names_ =
        std::make_unique<process>(process_options{.argv = {"epmd", "-port", std::to_string(names_port_), "-address", "127.0.0.1"},
                                                  .stdout_file = (options_.folder / "epmd.log").string()});
      launch();
      if (await_served(std::chrono::minutes(2)))
        return;
    }
    throw std::runtime_error("rabbitmq-server does not start: " + process_->err());
  }

  // The script ends in an exec of erl when it is told to allow input, so the process is the server itself and stops by SIGTERM; without
  // that it stays as a shell between us. -noinput, because there is none. epmd is ours: the one erl starts would outlive everybody.
  void launch() {
    const auto at = [this](const char* name) { return (options_.folder / name).string(); };
    process_ = std::make_unique<process>(process_options{
      .argv = {"/usr/lib/rabbitmq/bin/rabbitmq-server"},
      .env = {"HOME=" + at("home"), "RABBITMQ_NODENAME=bench@localhost", "RABBITMQ_CONF_ENV_FILE=" + at("empty.conf"),
              "RABBITMQ_CONFIG_FILE=" + at("rabbitmq.conf"), "RABBITMQ_ADVANCED_CONFIG_FILE=" + at("advanced.config"),
              "RABBITMQ_ENABLED_PLUGINS_FILE=" + at("plugins"), "RABBITMQ_MNESIA_BASE=" + at("mnesia"),
              "RABBITMQ_LOG_BASE=" + at("log"), "RABBITMQ_PID_FILE=" + at("pid"),
              "RABBITMQ_DIST_PORT=" + std::to_string(distribution_port_), "ERL_EPMD_ADDRESS=127.0.0.1",
              "ERL_EPMD_PORT=" + std::to_string(names_port_), "RABBITMQ_ALLOW_INPUT=1",
              "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"},
      .stdout_file = (options_.folder / ("out-" + std::to_string(++lives_))).string(),
      .folder = options_.folder.string()});
  }

  bool await_served(milliseconds at_most) {
    const auto give_up = now_ns() + static_cast<std::uint64_t>(nanoseconds(at_most).count());
    while (process_->running() && now_ns() < give_up) {
      if (testing::port_answers(port_)) {
        try {
          link(port_).close();
          return true;
        } catch (const std::runtime_error&) { // Not yet, or somebody else's port.
        }
      }
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  kind kind_;
  server_options options_;
  std::uint16_t port_ = 0, distribution_port_ = 0, names_port_ = 0;
  int lives_ = 0;
  std::unique_ptr<process> names_; // epmd: Erlang nodes find one another by it.
  std::unique_ptr<process> process_;
};

// -- clients ----------------------------------------------------------------------------------------------------------------------

// Frames of basic.publish, one message after the other, ready to be written.
class publish_frames {
public:
  publish_frames(const std::string& queue, std::size_t frame_bytes_max) : body_bytes_max_(frame_bytes_max - frame_overhead) {
    std::string method;
    number(method, AMQP_BASIC_PUBLISH_METHOD, 4);
    number(method, 0, 2); // Was a ticket.
    number(method, 0, 1); // The default exchange, whose routing keys are the names of queues.
    number(method, queue.size(), 1);
    method += queue;
    number(method, 0, 1); // Neither mandatory nor immediate.
    frame(head_, AMQP_FRAME_METHOD, method);

    std::string properties;
    number(properties, AMQP_BASIC_CLASS, 2);
    number(properties, 0, 2);
    size_at_ = head_.size() + frame_overhead - 1 + properties.size();
    number(properties, 0, 8); // The body's size.
    number(properties, AMQP_BASIC_DELIVERY_MODE_FLAG, 2);
    number(properties, AMQP_DELIVERY_PERSISTENT, 1);
    frame(head_, AMQP_FRAME_HEADER, properties);
  }

  void append(std::string& to, std::string_view body) {
    for (std::size_t i = 0; i < 8; ++i)
      head_[size_at_ + i] = static_cast<char>(body.size() >> (56 - 8 * i));
    to += head_;
    for (; !body.empty(); body.remove_prefix(std::min(body.size(), body_bytes_max_)))
      frame(to, AMQP_FRAME_BODY, body.substr(0, body_bytes_max_));
  }

private:
  static constexpr std::size_t frame_overhead = 8; // Type, channel and size before, an end mark after.

  static void number(std::string& to, std::uint64_t n, int bytes) {
    while (bytes-- > 0)
      to += static_cast<char>(n >> (8 * bytes));
  }
  static void frame(std::string& to, std::uint8_t type, std::string_view payload) {
    number(to, type, 1);
    number(to, link::channel, 2);
    number(to, payload.size(), 4);
    to += payload;
    number(to, AMQP_FRAME_END, 1);
  }

  std::string head_;
  std::size_t size_at_ = 0, body_bytes_max_;
};

// Which requests are confirmed, when confirms come for single messages or for all up to one, in any order.
class confirms {
public:
  /// The next request's messages; they are numbered from 1 on, over all requests, as the server does.
  void expect(std::size_t messages) {
    open_.push_back({next_message_, std::vector<bool>(messages), messages});
    next_message_ += messages;
  }

  /// False for a message that was not sent or has been confirmed.
  bool confirm(std::uint64_t message, bool and_all_before, std::vector<std::uint64_t>& done) {
    const auto first = and_all_before ? all_before_ : message;
    if (message >= next_message_ || message < all_before_)
      return false;
    auto request =
      std::upper_bound(open_.begin(), open_.end(), first, [](std::uint64_t m, const open_request& r) { return m < r.first; });
    request = request == open_.begin() ? request : std::prev(request);
    for (; request != open_.end() && request->first <= message; ++request) {
      const auto end = std::min<std::uint64_t>(message + 1 - request->first, request->confirmed.size());
      for (auto i = first > request->first ? first - request->first : 0; i < end; ++i)
        if (!request->confirmed[i]) {
          request->confirmed[i] = true;
          if (--request->left == 0)
            done.push_back(first_request_ + static_cast<std::uint64_t>(request - open_.begin()));
        }
    }
    if (and_all_before)
      all_before_ = message + 1;
    while (!open_.empty() && open_.front().left == 0)
      open_.pop_front(), ++first_request_;
    return true;
  }

private:
  struct open_request {
    std::uint64_t first; // Its first message.
    std::vector<bool> confirmed;
    std::size_t left;
  };
  std::deque<open_request> open_;
  std::uint64_t first_request_ = 0, next_message_ = 1;
  std::uint64_t all_before_ = 1; // Confirmed together.
};

class queue_producer final : public producer {
public:
  queue_producer(const std::string& address, const producer_options& options)
    : link_(static_cast<std::uint16_t>(std::stoi(address))),
      trying_("publishing to " + queue_named(options.queue)),
      frames_(queue_named(options.queue), static_cast<std::size_t>(amqp_get_frame_max(link_.get()))) {
    amqp_confirm_select(link_.get(), link::channel);
    link_.check("asking for confirms");
  }

  void send(std::span<const std::string_view> events) override {
    confirms_.expect(events.size());
    for (const auto event : events) {
      frames_.append(out_, event);
      if (out_.size() >= write_bytes)
        write();
    }
    write();
  }

  std::vector<std::uint64_t> reap(nanoseconds at_most) override {
    std::vector<std::uint64_t> acknowledged;
    const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
    for (auto wait = at_most;;) {
      if (const auto frame = link_.next(wait, trying_); frame && frame->frame_type == AMQP_FRAME_METHOD)
        note(frame->payload.method, acknowledged);
      if (link_.has_more()) {
        wait = nanoseconds(0);
        continue;
      }
      link_.release();
      const auto now = now_ns();
      if (blocked_ns_ != 0 && now - blocked_ns_ > static_cast<std::uint64_t>(nanoseconds(blocked_max).count()))
        fail(trying_, "the server has not read for " + std::to_string(blocked_max.count()) + " s: " + blocked_why_);
      if (!acknowledged.empty() || now >= give_up)
        return acknowledged;
      wait = nanoseconds(give_up - now);
    }
  }

private:
  static constexpr std::size_t write_bytes = 512 * 1024;
  static constexpr std::chrono::seconds blocked_max{30};

  void note(const amqp_method_t& method, std::vector<std::uint64_t>& acknowledged) {
    switch (method.id) {
      case AMQP_BASIC_ACK_METHOD: {
        const auto& ack = *static_cast<amqp_basic_ack_t*>(method.decoded);
        if (!confirms_.confirm(ack.delivery_tag, ack.multiple != 0, acknowledged))
          fail(trying_, "a confirm of what was not sent: " + std::to_string(ack.delivery_tag));
        break;
      }
      case AMQP_BASIC_NACK_METHOD: fail(trying_, "the server could not take a message (basic.nack)");
      case AMQP_CONNECTION_BLOCKED_METHOD:
        blocked_ns_ = now_ns();
        blocked_why_ = text_of(static_cast<amqp_connection_blocked_t*>(method.decoded)->reason);
        break;
      case AMQP_CONNECTION_UNBLOCKED_METHOD: blocked_ns_ = 0; break;
      default: break;
    }
  }

  // The library's sockets do not block.
  void write() {
    const auto fd = amqp_get_sockfd(link_.get());
    for (std::string_view left = out_; !left.empty();) {
      const auto n = ::send(fd, left.data(), left.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        left.remove_prefix(static_cast<std::size_t>(n));
        continue;
      }
      if (errno != EAGAIN && errno != EINTR)
        fail(trying_, std::strerror(errno));
      pollfd p{fd, POLLOUT, 0};
      if (poll(&p, 1, 60'000) == 0)
        fail(trying_, "the server has read nothing for a minute");
    }
    out_.clear();
  }

  link link_;
  std::string trying_;
  publish_frames frames_;
  confirms confirms_;
  std::string out_;
  std::uint64_t blocked_ns_ = 0; // Since when the server does not read from us.
  std::string blocked_why_;
};

class queue_consumer final : public consumer {
public:
  queue_consumer(const std::string& address, consumer_options options)
    : options_(std::move(options)),
      link_(static_cast<std::uint16_t>(std::stoi(address))),
      trying_("consuming from " + queue_named(options_.queue)) {}

  void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) override {
    const auto prefetch = static_cast<std::uint16_t>(std::min<std::size_t>(options_.window, 65'535));
    amqp_basic_qos(link_.get(), link::channel, 0, prefetch, 0);
    link_.check("setting the prefetch");
    amqp_basic_consume(link_.get(), link::channel, bytes_of(queue_named(options_.queue)), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    link_.check(trying_);
    on_ready();
    while (!until.stop_requested()) {
      collect(milliseconds(20));
      if (events_.empty())
        continue;
      work.take(events_);
      must(amqp_basic_ack(link_.get(), link::channel, last_tag_, 1), "acknowledging");
      events_.clear();
      assembled_.clear();
      link_.release();
    }
    link_.close();
  }

private:
  // Waits for the first message; takes with it what has been read already. Bodies stay where the library read them, but for those that
  // came in several frames.
  void collect(nanoseconds at_most) {
    for (auto wait = at_most; events_.size() < options_.batch; wait = nanoseconds(0)) {
      const auto frame = link_.next(wait, trying_);
      if (frame)
        note(*frame);
      else if (events_.empty() || !link_.has_more())
        return;
      if (!events_.empty() && !link_.has_more() && expected_ == 0)
        return;
    }
  }

  void note(const amqp_frame_t& frame) {
    if (frame.frame_type == AMQP_FRAME_METHOD) {
      if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD)
        tag_ = static_cast<amqp_basic_deliver_t*>(frame.payload.method.decoded)->delivery_tag;
      else if (frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD)
        fail(trying_, "the server has cancelled the consumer");
    } else if (frame.frame_type == AMQP_FRAME_HEADER) {
      expected_ = frame.payload.properties.body_size;
    } else if (frame.frame_type == AMQP_FRAME_BODY) {
      const std::string_view part(static_cast<const char*>(frame.payload.body_fragment.bytes), frame.payload.body_fragment.len);
      if (partial_.empty() && part.size() == expected_)
        return complete(part);
      if (partial_.empty())
        partial_.reserve(expected_);
      partial_ += part;
      if (partial_.size() == expected_)
        complete(assembled_.emplace_back(std::move(partial_)));
    }
  }

  void complete(std::string_view event) {
    events_.push_back(event);
    last_tag_ = tag_;
    expected_ = 0;
    partial_.clear();
  }

  consumer_options options_;
  link link_;
  std::string trying_;
  std::vector<std::string_view> events_;
  std::deque<std::string> assembled_; // Bodies that came in several frames; events_ look at them.
  std::string partial_;
  std::uint64_t expected_ = 0, tag_ = 0, last_tag_ = 0;
};

system system_of(kind what) {
  system s;
  s.package = "rabbitmq-server";
  s.start = [what](const server_options& o) { return std::make_unique<broker>(what, o); };
  s.make_producer = [](const std::string& a, const producer_options& o) { return std::make_unique<queue_producer>(a, o); };
  s.make_consumer = [](const std::string& a, const consumer_options& o) { return std::make_unique<queue_consumer>(a, o); };
  s.settings = {
    "server: one node, no plugins; credit_flow_default_credit {4000, 2000} (its own {400, 200} slows a single publisher), else "
    "defaults",
    "producer: one connection, one channel in confirm mode, persistent messages; the frames of a request written together",
    "consumers: basic.consume with prefetch = window; one basic.ack with multiple=true for what was taken together",
    "a dead consumer's messages come back when its connection is lost; no lease is involved"};
  return s;
}

} // namespace

std::vector<system> rabbitmq_systems() {
  auto quorum = system_of(kind::quorum);
  quorum.name = "rabbitmq-quorum";
  quorum.title = "RabbitMQ, quorum queue";
  quorum.durable = true;
  quorum.durability =
    "a confirm leaves after the Raft log's fdatasync, shared by whatever came meanwhile; nothing confirmed is lost when the "
    "power fails. Consumers' acks take the same way, but nobody waits for them";
  auto classic = system_of(kind::classic);
  classic.name = "rabbitmq-classic";
  classic.title = "RabbitMQ, classic durable queue";
  classic.durable = true;
  classic.durability =
    "a confirm leaves after the fsync of the queue's index (which holds messages below 4 KiB) and of the message store (larger "
    "ones), or once a consumer has acknowledged; nothing confirmed is lost when the power fails. Consumers' acks are written "
    "later, so that they may be lost and the messages come again";
  return {quorum, classic};
}

} // namespace sallyport::bench
