// A short life of a hub with everything in it that must survive its end: enqueues, claims, settlements, retries, cancels, the sweep,
// restarts. Its seed decides all of it; faults aside, the same seed makes the same calls of the system, byte for byte.
#pragma once

#include "tests/crash/notebook.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace sallyport::crash {

struct play {
  std::uint64_t seed = 1;
  unsigned steps = 40;
  mistakes planted;
};

/// What was said, in order; each line is a mark in the shim's log, when there is a shim.
struct played {
  std::vector<line> lines;
  std::string why_stopped; // Empty: it came to its end.
};

[[nodiscard]] played perform(const play& p, const std::filesystem::path& directory);

/// The id that an event's bytes name.
[[nodiscard]] std::string id_in(std::string_view event);

} // namespace sallyport::crash
