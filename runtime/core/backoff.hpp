// Jittered exponential backoff. The wait doubles with every failure up to a maximum; half of it is fixed and half is chance, so that a
// thousand agents that lost the same hub do not come back in the same millisecond, and none comes back at once.
// A value; no owner, any thread.
#pragma once

#include "protocol/time.hpp"
#include "runtime/core/dice.hpp"

#include <algorithm>
#include <cstdint>

namespace sallyport::runtime {

class backoff {
public:
  backoff(milliseconds min, milliseconds max) : min_(std::max(min, milliseconds{1})), max_(std::max(max, min_)) {}

  /// One more failure: how long to wait before the next attempt.
  [[nodiscard]] milliseconds next(dice& chance) {
    constexpr std::uint32_t doublings_max = 20;
    auto ceiling = std::min(max_, min_ * (std::int64_t{1} << std::min(failures_, doublings_max)));
    ++failures_;
    auto fixed = (ceiling + milliseconds{1}) / 2;
    return fixed + milliseconds{static_cast<std::int64_t>(chance.up_to(static_cast<std::uint64_t>((ceiling - fixed).count())))};
  }

  void reset() { failures_ = 0; }
  [[nodiscard]] std::uint32_t failures() const { return failures_; }

private:
  milliseconds min_, max_;
  std::uint32_t failures_ = 0;
};

} // namespace sallyport::runtime
