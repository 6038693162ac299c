// One run of the simulator: a hub, some agents and a producer under one seed, first in bad weather, then healed; and the judgement.
#pragma once

#include "tests/judge/history.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace sallyport::sim {

/// What is played. The same script gives the same run, byte for byte.
struct script {
  std::uint64_t seed = 1;
  std::uint64_t steps = 4'000; // In bad weather; then it is healed and must drain.
  std::set<unsigned> spared;   // Faults left out, by their number: to find the few that matter.
  std::size_t events_max = ~std::size_t{0};
  std::size_t agents_max = ~std::size_t{0};
  bool trace = false;
};

struct run_result {
  std::vector<judge::violation> violations;
  std::uint64_t steps = 0, crashes = 0, faults = 0, events = 0, agents = 0;
  unsigned acts = 0;              // Faults planned and reached: their numbers are below this.
  std::vector<std::string> trace; // Only when asked for.
};

[[nodiscard]] run_result run(const script& what);

} // namespace sallyport::sim
