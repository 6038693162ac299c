// The machine is back: the real store opens what is left, a real shard is filled from it, and everybody who was told something comes
// back to hear it again. What they hear is judged; then all that is left is worked off, and the whole history is judged by the laws
// (tests/judge).
#pragma once

#include "tests/crash/notebook.hpp"

#include <filesystem>
#include <vector>

namespace sallyport::crash {

/// What the disk in the directory breaks of what the notebook holds. Changes the directory.
[[nodiscard]] std::vector<judge::violation> judge_survivor(const std::filesystem::path& directory, const notebook& told);

} // namespace sallyport::crash
