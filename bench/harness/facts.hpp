// The machine that figures come from, and what was installed on it: without these a figure says nothing.
#pragma once

#include "bench/harness/system.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::bench {

/// How long a 4 KiB write and its fdatasync take: what a durable system cannot go below, but by letting several messages share it.
struct sync_latency {
  std::uint64_t p50_ns = 0, p99_ns = 0;
};

struct machine_facts {
  std::string date;  // "2026-01-31 12:00 UTC"
  std::string build; // Our commit and build type.
  unsigned cores = 0;
  std::string cpu, kernel, distribution, file_system; // The file system servers wrote to: "ext4 on /dev/vda1".
  std::uint64_t memory_bytes = 0;
  sync_latency appended, overwritten;
  std::vector<std::pair<std::string, std::string>> versions; // Of Debian packages.
};

/// Measures and asks now; takes a second or two. Folder: where servers will write to. What cannot be found out is "unknown".
machine_facts facts_of_this_machine(const std::filesystem::path& folder, const std::string& commit,
                                    const std::vector<const system*>& systems);

/// Writes and syncs blocks of a file in this folder, which is removed again: at its end, or the same few over and over. At most so many
/// times and about a second. Throws std::runtime_error when the file cannot be written.
sync_latency measure_sync(const std::filesystem::path& folder, bool append, int times);

// -- the reading of what the system says, for tests

/// Of a package in the text of /var/lib/dpkg/status; empty when it is not installed.
std::string version_in(std::string_view dpkg_status, std::string_view package);
/// Of the mount in the text of /proc/self/mountinfo that holds this absolute path; "unknown" when none does.
std::string file_system_in(std::string_view mountinfo, std::string_view path);
/// The value of the first "key<spaces>: value" line or "KEY=value" line; empty when there is none.
std::string value_in(std::string_view text, std::string_view key, char separator);

} // namespace sallyport::bench
