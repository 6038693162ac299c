// Random numbers for pure code: a sequence that its seed decides, so that a run can be replayed. (splitmix64, Steele et al. 2014.)
// For jitter and lane names; never for secrets. A value; no owner, any thread.
#pragma once

#include <cstdint>

namespace sallyport::runtime {

class dice {
public:
  explicit dice(std::uint64_t seed) : state_(seed) {}

  std::uint64_t roll() {
    auto z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// 0 to limit, both included.
  std::uint64_t up_to(std::uint64_t limit) { return limit == UINT64_MAX ? roll() : roll() % (limit + 1); }

private:
  std::uint64_t state_;
};

} // namespace sallyport::runtime
