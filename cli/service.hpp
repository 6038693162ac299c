// What hub and agent need of the system they run under: signals as values, systemd's notifications, logs on stderr.
// One per process, made before any other thread, so that every thread inherits the blocked signals.
#pragma once

#include "protocol/time.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::cli {

enum class wake_reason : std::uint8_t { stop, woken, timeout };

class service {
public:
  /// Blocks SIGTERM, SIGINT and SIGUSR1 for this and all later threads. `level` is one of log_levels().
  explicit service(const std::string& level);

  /// Waits for SIGTERM or SIGINT (stop), wake() or the end of the wait. Main thread only.
  wake_reason wait(milliseconds at_most);
  /// From any thread.
  static void wake();

  /// Waits like wait(), and tells systemd's watchdog that the process is alive, as often as it wants to hear it and `alive` (if there
  /// is one) agrees.
  wake_reason wait_watched(std::optional<milliseconds> at_most, const std::function<bool()>& alive = {});

  /// Tells systemd, if it started us: "READY=1", "STOPPING=1", "STATUS=...". Lines, not terminated.
  static void notify(std::string_view state);

private:
  std::optional<milliseconds> watchdog_; // How often systemd wants to hear from us: half of what it allows.
};

[[nodiscard]] const std::vector<std::string>& log_levels();
/// One line "event=... key=value ..." in the process's log.
void log_info(const std::string& line);
void log_warning(const std::string& line);
void log_error(const std::string& line);
/// A value for such a line: quoted if it has blanks.
[[nodiscard]] std::string log_value(std::string_view text);

} // namespace sallyport::cli
