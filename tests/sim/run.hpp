// One run of the simulator: a hub, some agents and a producer under one seed, first in bad weather, then healed; and the judgement.
#pragma once

#include "tests/sim/history.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sallyport::sim {

struct run_result {
  std::vector<std::string> violations;
  std::uint64_t steps = 0, crashes = 0, faults = 0, events = 0;
  std::string trace; // Only when asked for.
};

/// The same seed and steps give the same result.
[[nodiscard]] run_result run(std::uint64_t seed, std::uint64_t steps, bool trace);

} // namespace sallyport::sim
