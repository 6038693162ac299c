// Redis Streams: a stream and a consumer group per queue. Commands are written as bytes, many in one piece; hiredis reads the replies, into
// flat memory of ours instead of a tree of its own.
#include "bench/harness/clock.hpp"
#include "bench/peers/byte_wire.hpp"
#include "bench/peers/daemon.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/poll_until.hpp"

#include <hiredis/hiredis.h>

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <stdexcept>

namespace sallyport::bench {

namespace {

using std::chrono::milliseconds;

constexpr std::string_view group = "g", field = "e";
// How long a read with nothing to give waits at the server; also how soon a consumer notices that it is to stop.
constexpr milliseconds block{100};
// How often a consumer looks for messages whose consumer has died.
constexpr milliseconds claim_every{250};
constexpr std::chrono::seconds patience{60};

std::string stream_named(std::size_t queue) {
  return "q" + std::to_string(queue);
}

// -- the protocol -----------------------------------------------------------------------------------------------------------------

void append_argument(std::string& out, std::string_view text) {
  out.append("$").append(std::to_string(text.size())).append("\r\n").append(text).append("\r\n");
}
void append_head(std::string& out, std::size_t arguments) {
  out.append("*").append(std::to_string(arguments)).append("\r\n");
}
void append_command(std::string& out, std::initializer_list<std::string_view> arguments) {
  append_head(out, arguments.size());
  for (const auto a : arguments)
    append_argument(out, a);
}

// A reply with all it holds, depth first.
struct reply {
  struct node {
    int type = REDIS_REPLY_NIL;
    long long number = 0; // An integer; or of how many elements, which follow.
    std::size_t at = 0, length = 0;
  };
  std::vector<node> nodes;
  std::string texts;

  [[nodiscard]] std::string_view text(std::size_t n) const {
    return std::string_view(texts).substr(nodes.at(n).at, nodes.at(n).length);
  }
  [[nodiscard]] bool is(std::size_t n, int type) const { return nodes.at(n).type == type; }
  void clear() { nodes.clear(), texts.clear(); }
};

class reply_reader {
public:
  reply_reader() : reader_(redisReaderCreateWithFunctions(&functions)) {
    if (reader_ == nullptr)
      throw std::bad_alloc();
    reader_->maxbuf = 0; // Keep the buffer when it is empty.
    reader_->privdata = &growing_;
  }
  ~reply_reader() { redisReaderFree(reader_); }
  reply_reader(const reply_reader&) = delete;
  reply_reader& operator=(const reply_reader&) = delete;

  void feed(byte_wire& from) {
    const auto bytes = from.heard();
    if (bytes.empty())
      return;
    if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK)
      throw std::runtime_error(std::string("reading what Redis said: ") + reader_->errstr);
    from.consume(bytes.size());
  }
  /// False when the next reply is not whole yet. What `to` held is reused.
  bool next(reply& to) {
    void* whole = nullptr;
    if (redisReaderGetReply(reader_, &whole) != REDIS_OK)
      throw std::runtime_error(std::string("reading what Redis said: ") + reader_->errstr);
    if (whole == nullptr)
      return false;
    std::swap(growing_, to);
    growing_.clear();
    return true;
  }

private:
  static void* add(const redisReadTask* task, int type, long long number, std::string_view text) {
    auto& to = *static_cast<reply*>(task->privdata);
    to.nodes.push_back({type, number, to.texts.size(), text.size()});
    to.texts.append(text);
    return &to; // hiredis wants to see something.
  }
  static redisReplyObjectFunctions functions;

  redisReader* reader_;
  reply growing_;
};

redisReplyObjectFunctions reply_reader::functions = {
  .createString =
    [](const redisReadTask* task, char* text, std::size_t length) {
      return add(task, task->type, 0, {text, length});
    },
  .createArray = [](const redisReadTask* task, int elements) { return add(task, task->type, elements, {}); },
  .createInteger = [](const redisReadTask* task, long long number) { return add(task, task->type, number, {}); },
  .createNil = [](const redisReadTask* task) { return add(task, REDIS_REPLY_NIL, 0, {}); },
  .freeObject = [](void*) {}};

void must(const reply& r, std::string_view what) {
  if (r.is(0, REDIS_REPLY_ERROR))
    throw std::runtime_error(std::string(what) + ": " + std::string(r.text(0)));
}

// One question at a time, for the server's own needs.
reply ask(std::uint16_t port, std::initializer_list<std::string_view> command) {
  byte_wire wire(port, "Redis");
  reply_reader reader;
  reply r;
  append_command(wire.out(), command);
  while (!reader.next(r)) {
    if (!wire.wait(patience))
      throw std::runtime_error("Redis does not answer " + std::string(*command.begin()));
    reader.feed(wire);
  }
  must(r, *command.begin());
  return r;
}

// -- the server -------------------------------------------------------------------------------------------------------------------

class redis_server final : public server {
public:
  redis_server(const server_options& options, const std::string& fsync)
    : queues_(options.queues),
      lease_(options.lease),
      daemon_(
        {.name = "redis-server",
         .folder = options.folder,
         .argv =
           [folder = options.folder.string(), fsync](std::uint16_t port) {
             return std::vector<std::string>{
               "redis-server", "--bind", "127.0.0.1",     "--port", std::to_string(port),          "--dir", folder, "--save", "",
               "--appendonly", "yes",    "--appendfsync", fsync,    "--auto-aof-rewrite-min-size", "1gb"};
           },
         .serves = [](std::uint16_t port) { return ask(port, {"PING"}).text(0) == "PONG"; }}) {
    for (std::size_t i = 0; i < queues_; ++i)
      ask(daemon_.port(), {"XGROUP", "CREATE", stream_named(i), group, "0", "MKSTREAM"});
  }

  std::string address() const override {
    return std::to_string(daemon_.port()) + "|" + std::to_string(milliseconds(lease_).count());
  }
  std::vector<pid_t> processes() const override { return daemon_.processes(); }

  // An entry is deleted when it is acknowledged.
  std::uint64_t unacknowledged() override {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < queues_; ++i)
      n += static_cast<std::uint64_t>(ask(daemon_.port(), {"XLEN", stream_named(i)}).nodes.at(0).number);
    return n;
  }

  std::chrono::nanoseconds restart() override { return daemon_.restart(); }

private:
  std::size_t queues_;
  std::chrono::seconds lease_;
  daemon daemon_;
};

struct place {
  std::uint16_t port;
  milliseconds lease;

  static place from(const std::string& address) {
    return {static_cast<std::uint16_t>(std::stoi(address)), milliseconds(std::stol(address.substr(address.find('|') + 1)))};
  }
};

// -- the producer -----------------------------------------------------------------------------------------------------------------

class stream_producer final : public producer {
public:
  stream_producer(const std::string& address, const producer_options& options, std::size_t connections) {
    const auto at = place::from(address);
    for (std::size_t i = 0; i < connections; ++i)
      lines_.push_back(std::make_unique<line>(at.port));
    append_head(head_, 5);
    append_argument(head_, "XADD");
    append_argument(head_, stream_named(options.queue));
    append_argument(head_, "*");
    append_argument(head_, field);
  }

  void send(std::span<const std::string_view> events) override {
    const auto& least = *std::min_element(lines_.begin(), lines_.end(),
                                          [](const auto& a, const auto& b) { return a->open.size() < b->open.size(); });
    auto& out = least->wire.out();
    for (const auto event : events) {
      out.append(head_);
      append_argument(out, event);
    }
    least->open.push_back({sent_++, events.size()});
    least->wire.flush();
  }

  std::vector<std::uint64_t> reap(std::chrono::nanoseconds at_most) override {
    std::vector<std::uint64_t> acknowledged;
    const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
    while (true) {
      wishes_.clear();
      for (const auto& l : lines_)
        wishes_.push_back({l->wire.fd(), static_cast<short>(POLLIN | (l->wire.has_unwritten() ? POLLOUT : 0)), 0});
      const bool ready = poll_until(wishes_, give_up, "Redis");
      for (std::size_t i = 0; ready && i < lines_.size(); ++i) {
        if ((wishes_[i].revents & POLLOUT) != 0)
          lines_[i]->wire.flush();
        if ((wishes_[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && lines_[i]->wire.read())
          hear(*lines_[i], acknowledged);
      }
      if (!acknowledged.empty() || now_ns() >= give_up)
        return acknowledged;
    }
  }

private:
  struct request {
    std::uint64_t number;
    std::size_t replies_due;
  };
  struct line {
    explicit line(std::uint16_t port) : wire(port, "Redis") {}
    byte_wire wire;
    reply_reader reader;
    std::deque<request> open; // Redis answers in the order it was asked.
  };

  void hear(line& from, std::vector<std::uint64_t>& acknowledged) {
    from.reader.feed(from.wire);
    while (from.reader.next(reply_)) {
      must(reply_, "XADD");
      if (from.open.empty())
        throw std::runtime_error("Redis answered what was not asked");
      if (auto& r = from.open.front(); --r.replies_due == 0) {
        acknowledged.push_back(r.number);
        from.open.pop_front();
      }
    }
  }

  std::vector<std::unique_ptr<line>> lines_;
  std::vector<pollfd> wishes_;
  std::string head_; // Of an XADD, up to the event.
  std::uint64_t sent_ = 0;
  reply reply_;
};

// -- the consumer -----------------------------------------------------------------------------------------------------------------

class group_consumer final : public consumer {
public:
  group_consumer(const std::string& address, consumer_options options)
    : place_(place::from(address)),
      options_(std::move(options)),
      stream_(stream_named(options_.queue)),
      reads_ahead_(options_.window >= 2 * options_.batch),
      wire_(place_.port, "Redis") {}

  void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) override {
    on_ready();
    std::vector<std::string_view> events;
    while (true) {
      if (batches_.empty() && !reading_) {
        if (until.stop_requested())
          break;
        read(true);
      }
      if (batches_.empty()) {
        hear();
        continue;
      }
      const auto now = std::move(batches_.front());
      batches_.pop_front();
      // A full batch promises another, which can come while this one is worked on. It must not block: the acknowledge stands behind it.
      if (reads_ahead_ && !reading_ && batches_.empty() && now.entries.size() == options_.batch && !until.stop_requested())
        read(false);
      events.clear();
      for (const auto& e : now.entries)
        events.push_back(now.from.text(e.body));
      work.take(events);
      acknowledge(now);
    }
    while (!expected_.empty())
      hear();
  }

private:
  enum class kind { read, claim, acknowledged };
  struct batch {
    struct entry {
      std::size_t id, body; // Nodes of the reply.
    };
    reply from;
    std::vector<entry> entries;
  };

  void read(bool wait) {
    auto& out = wire_.out();
    if (const auto now = now_ns(); now >= claim_at_) {
      claim_at_ = now + static_cast<std::uint64_t>(std::chrono::nanoseconds(claim_every).count());
      append_command(out, {"XAUTOCLAIM", stream_, group, options_.name, std::to_string(place_.lease.count()), claim_from_,
                           "COUNT", std::to_string(options_.batch)});
      expected_.push_back(kind::claim);
    }
    const auto count = std::to_string(options_.batch);
    if (wait)
      append_command(out, {"XREADGROUP", "GROUP", group, options_.name, "COUNT", count, "BLOCK", std::to_string(block.count()),
                           "STREAMS", stream_, ">"});
    else
      append_command(out, {"XREADGROUP", "GROUP", group, options_.name, "COUNT", count, "STREAMS", stream_, ">"});
    expected_.push_back(kind::read);
    reading_ = true;
    wire_.flush();
  }

  // Written together with the next read, or when there is nothing to do but to wait. Deleted first: should we die in between, XAUTOCLAIM
  // forgets an entry that is gone, but nobody would ever delete one that is acknowledged.
  void acknowledge(const batch& done) {
    auto& out = wire_.out();
    append_head(out, 2 + done.entries.size());
    append_argument(out, "XDEL");
    append_argument(out, stream_);
    for (const auto& e : done.entries)
      append_argument(out, done.from.text(e.id));
    append_head(out, 3 + done.entries.size());
    append_argument(out, "XACK");
    append_argument(out, stream_);
    append_argument(out, group);
    for (const auto& e : done.entries)
      append_argument(out, done.from.text(e.id));
    expected_.insert(expected_.end(), {kind::acknowledged, kind::acknowledged});
  }

  // Takes the next reply, whatever it answers.
  void hear() {
    while (!reader_.next(reply_)) {
      // Often it is there already; then what is to be said can wait for the next read.
      if (!wire_.read() && !wire_.wait(patience))
        throw std::runtime_error("Redis has said nothing for a minute");
      reader_.feed(wire_);
    }
    if (expected_.empty())
      throw std::runtime_error("Redis answered what was not asked");
    const auto answered = expected_.front();
    expected_.pop_front();
    must(reply_, "consuming from " + stream_);
    switch (answered) {
      case kind::read:
        reading_ = false;
        if (!reply_.is(0, REDIS_REPLY_NIL)) // [[stream, entries]]
          collect(3);
        break;
      case kind::claim: // [where to go on, entries, deleted]
        claim_from_ = reply_.text(1);
        if (claim_from_ != "0-0")
          claim_at_ = 0;
        collect(2);
        break;
      case kind::acknowledged: break;
    }
  }

  // The entries from this node on, an array of [id, [field, body]], become a batch.
  void collect(std::size_t node) {
    if (reply_.nodes.at(node).number == 0)
      return;
    batch b;
    b.from = std::move(reply_);
    const auto count = b.from.nodes[node].number;
    b.entries.reserve(static_cast<std::size_t>(count));
    auto at = node + 1;
    for (long long i = 0; i < count; ++i) {
      if (b.from.is(at + 2, REDIS_REPLY_NIL)) // Deleted meanwhile; nobody does that here.
        throw std::runtime_error("Redis gave an entry that is not there any more");
      b.entries.push_back({at + 1, at + 4});
      at += 5;
    }
    batches_.push_back(std::move(b));
    reply_.clear();
  }

  place place_;
  consumer_options options_;
  std::string stream_;
  bool reads_ahead_;
  byte_wire wire_;
  reply_reader reader_;
  reply reply_;
  std::deque<kind> expected_; // What the replies to come will answer.
  std::deque<batch> batches_; // Heard, and not taken.
  bool reading_ = false;
  std::string claim_from_ = "0-0";
  std::uint64_t claim_at_ = 0;
};

} // namespace

std::vector<system> redis_systems() {
  std::vector<system> all;
  for (const std::string fsync : {"everysec", "always"}) {
    system s;
    s.name = "redis-" + fsync;
    s.title = "Redis Streams, AOF " + fsync;
    s.package = "redis-server";
    s.durable = fsync == "always";
    s.durability =
      s.durable
        ? "the id of an entry, and the answer to XREADGROUP and XACK, leave after the append-only file that holds them was synced"
        : "an answer leaves after the append-only file was written; it is synced once a second, and a power failure loses up to "
          "two seconds";
    s.settings = {
      "server: appendonly yes, appendfsync " + fsync
        + ", no snapshots, the append-only file rewritten from 1 GB on instead of 64 MB",
      std::string("producer: pipelined XADDs, a request's in one write; ")
        + (s.durable
             ? "a connection per request in flight, because one sync covers what a pass over the connections reads, and it "
               "reads little of each"
             : "one connection"),
      "consumers: XREADGROUP COUNT, one read ahead while work is done; XDEL and XACK of the whole batch in one write with the "
      "next "
      "read (XTRIM MINID costs the server as much and frees later; MAXLEN could trim what nobody has read); XAUTOCLAIM four "
      "times a "
      "second with the lease as its idle time"};
    s.start = [fsync](const server_options& o) { return std::make_unique<redis_server>(o, fsync); };
    s.make_producer = [durable = s.durable](const std::string& a, const producer_options& o) {
      return std::make_unique<stream_producer>(a, o, durable ? o.in_flight : 1);
    };
    s.make_consumer = [](const std::string& a, const consumer_options& o) { return std::make_unique<group_consumer>(a, o); };
    all.push_back(std::move(s));
  }
  return all;
}

} // namespace sallyport::bench
