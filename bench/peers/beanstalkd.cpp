// beanstalkd: a tube per queue, its text protocol pipelined.
#include "bench/harness/clock.hpp"
#include "bench/peers/byte_wire.hpp"
#include "bench/peers/daemon.hpp"
#include "bench/peers/peers.hpp"

#include <algorithm>
#include <charconv>
#include <deque>
#include <optional>
#include <stdexcept>

namespace sallyport::bench {

namespace {

constexpr std::chrono::seconds patience{60};
constexpr std::size_t job_bytes_max = 4 << 20;

std::string tube_named(std::size_t queue) {
  return "q" + std::to_string(queue);
}

std::uint64_t number_in(std::string_view text, std::string_view line) {
  std::uint64_t n = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), n).ec != std::errc())
    throw std::runtime_error("beanstalkd said '" + std::string(line) + "'");
  return n;
}

// A line without its end; nothing when it has not come whole. Not yet consumed.
std::optional<std::string_view> line_of(const byte_wire& wire) {
  const auto heard = wire.heard();
  const auto end = heard.find("\r\n");
  if (end == std::string_view::npos)
    return {};
  return heard.substr(0, end);
}

// One question at a time: the line, and as many bytes of a body as it announces in its last word, if it is "OK".
std::string ask(byte_wire& wire, const std::string& command) {
  wire.out() += command + "\r\n";
  std::optional<std::string_view> line;
  while (!(line = line_of(wire)))
    if (!wire.wait(patience))
      throw std::runtime_error("beanstalkd does not answer " + command);
  const auto head = line->size() + 2;
  if (!line->starts_with("OK ")) {
    std::string answer(*line);
    wire.consume(head);
    return answer;
  }
  const auto bytes = number_in(line->substr(3), *line);
  while (wire.heard().size() < head + bytes + 2)
    if (!wire.wait(patience))
      throw std::runtime_error("beanstalkd does not answer " + command);
  std::string body(wire.heard().substr(head, bytes));
  wire.consume(head + bytes + 2);
  return body;
}

void ask(byte_wire& wire, const std::string& command, std::string_view wanted) {
  if (const auto answer = ask(wire, command); !answer.starts_with(wanted))
    throw std::runtime_error("beanstalkd answered " + command + " with " + answer);
}

// -- the server -------------------------------------------------------------------------------------------------------------------

class beanstalkd_server final : public server {
public:
  explicit beanstalkd_server(const server_options& options)
    : queues_(options.queues),
      lease_(options.lease),
      daemon_(
        {.name = "beanstalkd",
         .folder = options.folder,
         .argv =
           [folder = options.folder.string()](std::uint16_t port) {
             return std::vector<std::string>{
               "beanstalkd", "-l", "127.0.0.1", "-p", std::to_string(port), "-b", folder, "-z", std::to_string(job_bytes_max)};
           },
         .serves =
           [](std::uint16_t port) {
             byte_wire wire(port, "beanstalkd");
             ask(wire, "use default", "USING");
             return true;
           }}) {}

  std::string address() const override { return std::to_string(daemon_.port()) + "|" + std::to_string(lease_.count()); }
  std::vector<pid_t> processes() const override { return daemon_.processes(); }

  std::uint64_t unacknowledged() override {
    byte_wire wire(daemon_.port(), "beanstalkd");
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < queues_; ++i) {
      const auto facts = ask(wire, "stats-tube " + tube_named(i));
      if (facts == "NOT_FOUND") // A tube is there while somebody uses it or it holds something.
        continue;
      for (const std::string_view name :
           {"\ncurrent-jobs-ready: ", "\ncurrent-jobs-reserved: ", "\ncurrent-jobs-delayed: ", "\ncurrent-jobs-buried: "}) {
        const auto at = facts.find(name);
        if (at == std::string::npos)
          throw std::runtime_error("beanstalkd answered stats-tube with " + facts);
        n += number_in(std::string_view(facts).substr(at + name.size()), facts);
      }
    }
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
  std::chrono::seconds lease;

  static place from(const std::string& address) {
    return {static_cast<std::uint16_t>(std::stoi(address)),
            std::chrono::seconds(std::stol(address.substr(address.find('|') + 1)))};
  }
};

// -- the producer -----------------------------------------------------------------------------------------------------------------

class tube_producer final : public producer {
public:
  tube_producer(const std::string& address, const producer_options& options)
    : place_(place::from(address)),
      wire_(place_.port, "beanstalkd"),
      head_("put 1024 0 " + std::to_string(place_.lease.count()) + " ") {
    ask(wire_, "use " + tube_named(options.queue), "USING");
  }

  void send(std::span<const std::string_view> events) override {
    auto& out = wire_.out();
    for (const auto event : events)
      out.append(head_).append(std::to_string(event.size())).append("\r\n").append(event).append("\r\n");
    open_.push_back({sent_++, events.size()});
    wire_.flush();
  }

  std::vector<std::uint64_t> reap(std::chrono::nanoseconds at_most) override {
    std::vector<std::uint64_t> acknowledged;
    const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
    while (acknowledged.empty()) {
      const auto now = now_ns();
      if (!wire_.wait(std::chrono::nanoseconds(give_up > now ? give_up - now : 0)))
        break;
      while (const auto line = line_of(wire_)) {
        if (!line->starts_with("INSERTED ") || open_.empty())
          throw std::runtime_error("beanstalkd answered a put with " + std::string(*line));
        wire_.consume(line->size() + 2);
        if (--open_.front().replies_due == 0) {
          acknowledged.push_back(open_.front().number);
          open_.pop_front();
        }
      }
    }
    return acknowledged;
  }

private:
  struct request {
    std::uint64_t number;
    std::size_t replies_due;
  };

  place place_;
  byte_wire wire_;
  std::string head_;
  std::deque<request> open_; // Puts are answered in order.
  std::uint64_t sent_ = 0;
};

// -- the consumer -----------------------------------------------------------------------------------------------------------------

class tube_consumer final : public consumer {
public:
  tube_consumer(const std::string& address, const consumer_options& options)
    : place_(place::from(address)),
      options_(options),
      reads_ahead_(options.window >= 2 * options.batch),
      wire_(place_.port, "beanstalkd") {
    ask(wire_, "watch " + tube_named(options.queue), "WATCHING");
    ask(wire_, "ignore default", "WATCHING");
  }

  void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) override {
    on_ready();
    std::vector<std::string_view> events;
    while (true) {
      if (batches_.empty() && due_.empty()) {
        if (until.stop_requested())
          break;
        reserve();
      }
      while (batches_.empty() && !due_.empty())
        hear();
      if (batches_.empty())
        continue;
      const auto now = std::move(batches_.front());
      batches_.pop_front();
      // A batch that came whole promises another, which can come while this one is worked on.
      if (reads_ahead_ && wanted_ > 1 && due_.empty() && batches_.empty() && !until.stop_requested())
        reserve();
      keep(now);
      events.clear();
      for (const auto& j : now.jobs)
        events.push_back(std::string_view(now.bodies).substr(j.at, j.length));
      work.take(events);
      for (const auto& j : now.jobs)
        wire_.out().append("delete ").append(std::to_string(j.id)).append("\r\n");
      due_.push_back({kind::removed, now.jobs.size()});
    }
  }

private:
  enum class kind { reserved, removed, touched };
  struct answers {
    kind what;
    std::size_t count;
  };
  struct job {
    std::uint64_t id;
    std::size_t at, length;
  };
  struct batch {
    std::string bodies;
    std::vector<job> jobs;
    std::uint64_t begun_ns = 0;
  };

  // The first of them waits when nothing is ready, the others do not: their answers cost as much as a job's, so how many are asked
  // for follows from what the last time has brought.
  void reserve() {
    auto& out = wire_.out();
    out += wanted_ == 1 ? "reserve-with-timeout 1\r\n" : "reserve-with-timeout 0\r\n";
    for (std::size_t i = 1; i < wanted_; ++i)
      out += "reserve-with-timeout 0\r\n";
    due_.push_back({kind::reserved, wanted_});
    growing_.begun_ns = now_ns();
    wire_.flush();
  }

  // Jobs that have waited for long behind another batch get their time anew.
  void keep(const batch& b) {
    if (now_ns() - b.begun_ns < static_cast<std::uint64_t>(std::chrono::nanoseconds(place_.lease).count()) / 2)
      return;
    for (const auto& j : b.jobs)
      wire_.out().append("touch ").append(std::to_string(j.id)).append("\r\n");
    due_.push_back({kind::touched, b.jobs.size()});
    wire_.flush();
  }

  // Takes what has come, at least one answer.
  void hear() {
    bool any = false;
    while (!due_.empty()) {
      if (!take_answer()) {
        if (any)
          return;
        if (!wire_.read() && !wire_.wait(patience))
          throw std::runtime_error("beanstalkd has said nothing for a minute");
        continue;
      }
      any = true;
      if (--due_.front().count == 0) {
        const bool reserved = due_.front().what == kind::reserved;
        due_.pop_front();
        if (reserved)
          finish_batch();
      }
    }
  }

  bool take_answer() {
    const auto line = line_of(wire_);
    if (!line)
      return false;
    const auto head = line->size() + 2;
    switch (due_.front().what) {
      case kind::removed:
        if (*line != "DELETED" && *line != "NOT_FOUND") // Not found: its time was up, and another has it.
          throw std::runtime_error("beanstalkd answered a delete with " + std::string(*line));
        break;
      case kind::touched:
        if (*line != "TOUCHED" && *line != "NOT_FOUND")
          throw std::runtime_error("beanstalkd answered a touch with " + std::string(*line));
        break;
      case kind::reserved:
        if (*line == "TIMED_OUT" || *line == "DEADLINE_SOON")
          break;
        if (!line->starts_with("RESERVED "))
          throw std::runtime_error("beanstalkd answered a reserve with " + std::string(*line));
        const auto id = line->substr(9);
        const auto length = number_in(id.substr(std::min(id.size(), id.find(' ') + 1)), *line);
        if (wire_.heard().size() < head + length + 2)
          return false;
        growing_.jobs.push_back({number_in(id, *line), growing_.bodies.size(), length});
        growing_.bodies.append(wire_.heard().substr(head, length));
        wire_.consume(head + length + 2);
        return true;
    }
    wire_.consume(head);
    return true;
  }

  void finish_batch() {
    const auto came = growing_.jobs.size();
    wanted_ = came == wanted_ ? std::min(2 * wanted_, options_.batch) : std::max<std::size_t>(1, came);
    if (came > 0)
      batches_.push_back(std::move(growing_));
    growing_ = {};
  }

  place place_;
  consumer_options options_;
  bool reads_ahead_;
  byte_wire wire_;
  std::deque<answers> due_;
  std::deque<batch> batches_;
  batch growing_;
  std::size_t wanted_ = 1; // Of the next reserve.
};

} // namespace

std::vector<system> beanstalkd_systems() {
  system s;
  s.name = "beanstalkd";
  s.title = "beanstalkd";
  s.package = "beanstalkd";
  s.durable = false;
  s.durability =
    "INSERTED and DELETED leave after the log was written; it is synced every 50 ms, and a power failure loses what came since";
  s.settings = {
    "server: binlog on, synced every 50 ms (the default), jobs of up to 4 MiB",
    "producer: one connection, pipelined puts, a request's in one write",
    "consumers: pipelined reserves, twice as many each time until a batch comes whole, one batch ahead while work is done; "
    "pipelined deletes in one write with the next reserves; TTR as long as the lease, touched after half of it"};
  s.start = [](const server_options& o) { return std::make_unique<beanstalkd_server>(o); };
  s.make_producer = [](const std::string& a, const producer_options& o) { return std::make_unique<tube_producer>(a, o); };
  s.make_consumer = [](const std::string& a, const consumer_options& o) { return std::make_unique<tube_consumer>(a, o); };
  return {s};
}

} // namespace sallyport::bench
