// The crash runs: one scenario recorded, and every disk it could have left behind; then the same scenario again for each call that can
// fail. Single-threaded, in one process, which must have been started under the shim.
#pragma once

#include "tests/crash/scenario.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sallyport::crash {

struct run_settings {
  play what;
  unsigned lmdb_flags = 0;       // Added to those the store opens LMDB with; or journal_not_synced.
  unsigned subsets = 64;         // Of the sectors that may be lost, for each moment.
  bool until_caught = false;     // Stop at the first violation.
  std::filesystem::path scratch; // A directory in memory, the caller's, for the hub's life and for the images.
};

struct found {
  judge::violation what;
  std::string where; // The image, or the fault.
};
struct outcome {
  std::uint64_t appends = 0, answers = 0, writes = 0, syncs = 0, images = 0, io_faults = 0, stops = 0;
  std::vector<found> violations;
};

/// Whether the process runs under the shim.
[[nodiscard]] bool has_shim();

/// Everything up to the last sync, every prefix of what follows, and subsets of its sectors, at every moment.
[[nodiscard]] outcome crash_images(const run_settings& s);
/// EIO, ENOSPC and short writes at the n-th call, for every n that the scenario reaches.
[[nodiscard]] outcome io_errors(const run_settings& s);
/// The scenario and its calls as a report.
[[nodiscard]] std::string tell(const run_settings& s, const std::filesystem::path& directory);

} // namespace sallyport::crash
