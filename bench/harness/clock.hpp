// The one clock of a benchmark: CLOCK_MONOTONIC, the same in every process of the machine.
#pragma once

#include <cstdint>
#include <ctime>

namespace sallyport::bench {

[[nodiscard]] inline std::uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

} // namespace sallyport::bench
