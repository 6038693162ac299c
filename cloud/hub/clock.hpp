// The hub's two clocks. Leases run on CLOCK_BOOTTIME, which nobody can set. Schedules (not before, time to live, backoff, retention) run
// on a wall clock that is followed with care: it never goes back within a life of the hub, and a big jump forward is not believed,
// because believing it would expire every message at once and cannot be taken back.
//
// wall_keeper is pure; real_time may be read from any thread.
#pragma once

#include "protocol/time.hpp"

namespace sallyport::cloud {

/// Where the hub's time comes from: the machine, or a test that steps it.
class time_source {
public:
  virtual ~time_source() = default;
  virtual instant now() = 0;
};

class real_time final : public time_source {
public:
  instant now() override;
};

/// Turns readings of the machine's clocks into the wall time that schedules may use. One owner, one thread.
///
///   following ──(forward by more than `believable`)──▶ holding ──(reading is believable again)──▶ following
class wall_keeper {
public:
  /// A step forward of at most this much between two readings is followed.
  static constexpr milliseconds believable{10 * 60'000};
  /// Differences up to this are the grain of two readings and the pull of a time server: the clocks go in step, so that a deadline on
  /// the one is past when the same deadline on the other is.
  static constexpr milliseconds in_step{5};

  /// The reading with its wall time corrected. While the machine's clock is behind, ours goes on at half speed until it is met.
  [[nodiscard]] instant correct(instant reading);
  /// True once after each jump that was not believed.
  [[nodiscard]] bool take_alarm();
  [[nodiscard]] bool holding() const { return holding_; }

private:
  bool started_ = false, holding_ = false, alarm_ = false;
  instant last_;
  milliseconds crawled_{}; // At half speed: what has passed and was not yet counted.
};

} // namespace sallyport::cloud
