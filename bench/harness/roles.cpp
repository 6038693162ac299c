#include "bench/harness/roles.hpp"

#include "bench/harness/clock.hpp"
#include "bench/harness/event.hpp"
#include "bench/harness/sql_sink.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sallyport::bench {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Bounds on what can only mean that the runner is gone.
constexpr auto patience = std::chrono::minutes(10);

void wait_for_go(const board& b) {
  const auto give_up = now_ns() + static_cast<std::uint64_t>(nanoseconds(patience).count());
  while (b.page().go.load() == 0) {
    if (b.page().stop.load() != 0 || now_ns() > give_up)
      throw std::runtime_error("told to stop before it began");
    std::this_thread::sleep_for(milliseconds(1));
  }
}

class counting_sink final : public sink {
public:
  counting_sink(const board& b, std::size_t seat, nanoseconds hold) : board_(b), seat_(b.seat(seat)), hold_(hold) {}

  void take(std::span<const std::string_view> events) override {
    const auto now = now_ns();
    seat_.held.fetch_add(events.size());
    if (hold_.count() > 0)
      std::this_thread::sleep_for(hold_);
    const std::lock_guard lock(mutex_); // The histogram has one writer at a time.
    std::uint64_t repeated = 0;
    for (const auto event : events) {
      const auto stamp = stamp_of(event);
      repeated += board_.mark(stamp.number) ? 0 : 1;
      seat_.latency.add(now > stamp.due_ns ? now - stamp.due_ns : 0);
    }
    seat_.repeated.fetch_add(repeated);
    seat_.taken.fetch_add(events.size());
    seat_.last_ns.store(hold_.count() > 0 ? now_ns() : now);
    seat_.held.fetch_sub(events.size());
  }

private:
  const board& board_;
  board_seat& seat_;
  nanoseconds hold_;
  std::mutex mutex_;
};

// Events due by now, and when the next one will be.
class schedule {
public:
  schedule(double rate, std::uint64_t begin_ns) : rate_(rate), begin_ns_(begin_ns) {}

  [[nodiscard]] std::uint64_t due_of(std::uint64_t n) const {
    return rate_ <= 0 ? now_ns() : begin_ns_ + static_cast<std::uint64_t>(static_cast<double>(n) * 1e9 / rate_);
  }
  [[nodiscard]] std::uint64_t due_by(std::uint64_t now) const {
    return rate_ <= 0 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(static_cast<double>(now - begin_ns_) * rate_ / 1e9) + 1;
  }

private:
  double rate_;
  std::uint64_t begin_ns_;
};

void produce_all(const produce_role& role) {
  const board b(role.board_file);
  auto& seat = b.seat(role.seat);
  const auto client = system_named(role.system)
                        .make_producer(role.address, {.in_flight = role.in_flight, .batch = role.batch, .queue = role.queue});
  event_maker maker(role.bytes);
  seat.ready.store(1);
  wait_for_go(b);

  const auto begin = now_ns();
  seat.first_ns.store(begin);
  const schedule plan(role.rate, begin);
  struct open_request {
    std::uint64_t events, sent_ns;
  };
  std::map<std::uint64_t, open_request> open;
  std::uint64_t sent = 0, acked = 0, requests = 0;
  std::vector<std::string> texts;
  std::vector<std::string_view> batch;
  auto last_progress = begin;
  while (acked < role.count && b.page().stop.load(std::memory_order_relaxed) == 0) {
    const auto now = now_ns();
    const auto due = std::min(role.count, plan.due_by(now));
    if (sent < due && open.size() < role.in_flight) {
      const auto n = std::min<std::uint64_t>(role.batch, due - sent);
      texts.resize(std::max<std::size_t>(texts.size(), n));
      batch.clear();
      for (std::uint64_t i = 0; i < n; ++i) {
        texts[i] = maker.make(role.first + sent + i, plan.due_of(sent + i));
        batch.push_back(texts[i]);
      }
      open.emplace(requests++, open_request{n, now_ns()});
      sent += n;
      seat.sent.store(sent);
      client->send(batch);
      continue;
    }
    auto wait = nanoseconds(std::chrono::seconds(1));
    if (sent < role.count && open.size() < role.in_flight) // Nothing due yet: until the next one is.
      wait = nanoseconds(static_cast<std::int64_t>(std::max(plan.due_of(sent), now) - now));
    if (open.empty()) {
      std::this_thread::sleep_for(wait);
      last_progress = now_ns();
      continue;
    }
    const auto answered = client->reap(wait);
    const auto heard = now_ns();
    for (const auto request : answered) {
      const auto at = open.find(request);
      if (at == open.end())
        throw std::runtime_error("request " + std::to_string(request) + " was acknowledged and never sent");
      seat.latency.add(heard - at->second.sent_ns);
      acked += at->second.events;
      open.erase(at);
    }
    if (!answered.empty()) {
      last_progress = heard;
      seat.acked.store(acked);
      seat.last_ns.store(heard);
    } else if (heard - last_progress > static_cast<std::uint64_t>(nanoseconds(std::chrono::minutes(1)).count())) {
      throw std::runtime_error("no acknowledge for a minute, with " + std::to_string(open.size()) + " requests open");
    }
  }
}

void consume_all(const consume_role& role) {
  const board b(role.board_file);
  auto& seat = b.seat(role.seat);
  const auto& what = system_named(role.system);
  const auto client = what.make_consumer(role.address, {.batch = role.batch,
                                                        .window = role.window,
                                                        .queue = role.queue,
                                                        .name = role.name,
                                                        .folder = role.folder,
                                                        .database = role.database});
  counting_sink counter(b, role.seat, nanoseconds(role.hold_us * 1000));
  std::unique_ptr<sink> worker;
  if (!role.database.empty() && !what.package.empty()) // We bring our own sql adapter.
    worker = make_sql_sink(role.database, counter);
  std::stop_source stop;
  std::jthread listener([&](const std::stop_token& ended) {
    while (!ended.stop_requested() && b.page().stop.load(std::memory_order_relaxed) == 0)
      std::this_thread::sleep_for(milliseconds(5));
    stop.request_stop();
  });
  client->run(worker ? *worker : static_cast<sink&>(counter), stop.get_token(), [&seat] { seat.ready.store(1); });
}

template <class Role>
int guarded(const Role& role, const char* what, void (*run)(const Role&)) {
  try {
    run(role);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sallyport_bench: %s of %s: %s\n", what, role.system.c_str(), e.what());
    return 1;
  }
}

} // namespace

int produce(const produce_role& role) {
  return guarded(role, "the producer", produce_all);
}

int consume(const consume_role& role) {
  return guarded(role, "a consumer", consume_all);
}

} // namespace sallyport::bench
