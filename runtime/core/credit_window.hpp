// How many grants of one connection the agent holds at once, and how that is stated in claims. PURE.
//
// The window follows the adapter: it starts at what the workers can begin, doubles each time they ran dry while it was the window that
// held them back, and is halved while messages wait longer than `patience` before they are begun. So a slow adapter hoards no work that
// another agent of the group could do, and a fast one never waits for the hub.
// A lease_keeper owns one window per connection; claim_lanes splits what they leave free.
#pragma once

#include "protocol/time.hpp"

#include <cstdint>
#include <vector>

namespace sallyport::runtime {

class credit_window {
public:
  static constexpr milliseconds patience{1'000};

  explicit credit_window(std::uint32_t limit_max) : limit_max_(limit_max == 0 ? 1 : limit_max) {}

  /// What the adapter host can begin at once: workers × batch.
  void slots(std::uint32_t count);
  /// Grants arrived; `held` counts them.
  void holds(std::uint32_t held);
  /// A message was begun after it had waited so long.
  void began(milliseconds waited, mono_time now);
  /// A worker is idle and nothing waits for it.
  void ran_dry();

  [[nodiscard]] std::uint32_t limit() const { return limit_; }
  [[nodiscard]] std::uint32_t room(std::uint32_t held) const { return limit_ > held ? limit_ - held : 0; }

private:
  std::uint32_t limit_max_;
  std::uint32_t floor_ = 1;
  std::uint32_t limit_ = 1;
  bool was_full_ = false; // Since the limit last changed.
  mono_time shrunk_at_{};
};

/// What the lease manager would take of one connection.
struct connection_room {
  std::uint32_t room = 0;     // Free of its window, not counting what is under way.
  std::uint32_t limit = 0;    // The window itself.
  std::uint64_t received = 0; // Grants ever received: tells which of those under way are counted in room already.
};
struct room_report {
  std::uint32_t total = 0;                  // Free of the window over all connections.
  std::vector<connection_room> connections; // By connection_index.
};

} // namespace sallyport::runtime
