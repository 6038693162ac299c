// From a failing seed to the story of its failure: the fewest faults, steps, events and agents that still break the same law.
#pragma once

#include "tests/sim/run.hpp"

namespace sallyport::sim {

struct story {
  script what;     // The smallest script found.
  run_result how;  // Its run, with the trace.
  std::string law; // The law that both break.
  std::uint64_t runs = 0;
};

/// The script must break a law. Bounded: at most `runs_max` runs.
[[nodiscard]] story shrink(const script& failing, const run_result& result, std::uint64_t runs_max = 400);
/// The lines of the trace that tell of the messages in the violations, and of what went wrong around them; as a report.
[[nodiscard]] std::string tell(const story& s);

} // namespace sallyport::sim
