// The simulator's stage: pretend time, a queue of what will happen, and one source of chance. Single-threaded; no clock, no sleep.
// The same seed gives the same run, byte for byte.
#pragma once

#include "protocol/time.hpp"
#include "runtime/core/dice.hpp"

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <vector>

namespace sallyport::sim {

class stage {
public:
  explicit stage(std::uint64_t seed) : chance_(seed) {}

  // -- chance
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : chance_.up_to(n - 1); }
  bool one_in(std::uint64_t n) { return n != 0 && below(n) == 0; }
  milliseconds between(std::int64_t from, std::int64_t to) {
    return milliseconds{from + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(to - from + 1)))};
  }
  std::uint64_t roll() { return chance_.roll(); }

  // -- time
  [[nodiscard]] instant now() const { return now_; }
  void after(milliseconds wait, std::function<void()> what) { pending_.push({now_.mono + wait, next_++, std::move(what)}); }
  /// Carries out the next thing. False: there is none.
  bool step();
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  /// The wall clock steps; the monotonic one never does.
  void shift_wall(milliseconds by) { now_.wall += by; }

  // -- the trace
  bool tracing = false;
  void say(const std::string& line);
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }

private:
  struct event {
    mono_time at;
    std::uint64_t order; // Of two at the same time, the one that was planned first.
    std::function<void()> what;
    bool operator<(const event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  runtime::dice chance_;
  instant now_{mono_time{milliseconds{10'000'000}}, wall_time{milliseconds{1'800'000'000'000}}};
  std::priority_queue<event> pending_;
  std::uint64_t next_ = 0, steps_ = 0;
  std::vector<std::string> trace_; // A line each.
};

} // namespace sallyport::sim
