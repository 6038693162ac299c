// Time as data. Nothing here reads a clock: whoever has the effect passes the reading in.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Schedules: not before, time to live, backoff, retention. Stored. Unix time in milliseconds.
using wall_time = std::chrono::sys_time<milliseconds>;

/// Leases: never stored, never compared across machines. Counts on while the machine sleeps (CLOCK_BOOTTIME).
struct boot_clock {
  using duration = milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<boot_clock>;
  static constexpr bool is_steady = true;
};
using mono_time = boot_clock::time_point;

/// Both clocks, read together. A field of every command that a pure core decides.
struct instant {
  mono_time mono{};
  wall_time wall{};
  friend bool operator==(const instant&, const instant&) = default;
};

/// "2026-01-31T12:00:00.123Z".
[[nodiscard]] std::string to_rfc3339(wall_time t);
/// RFC 3339 with any offset; fractions beyond milliseconds are cut. Nothing for anything else, leap seconds included.
[[nodiscard]] std::optional<wall_time> parse_rfc3339(std::string_view text);

} // namespace sallyport
