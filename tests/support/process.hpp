// A real child process: started with its output in files, waited for with a bound, signalled by its own pid, gone with its object.
// The child dies with the thread that started it (so that a killed test leaves nothing behind): start it from the test's main thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace sallyport::testing {

struct process_options {
  std::vector<std::string> argv; // argv[0] is looked for in PATH unless it has a slash.
  std::vector<std::string> env;  // "KEY=value", added to or replacing this process's own.
  std::string stdout_file;       // Written anew; empty: /dev/null.
  std::string stderr_file;       // Empty: where stdout goes.
  std::string stdin_file;        // Empty: /dev/null.
  std::string folder;            // Working directory; empty: this process's own.
};

/// How a process ended.
struct ending {
  int code = -1;  // Exit code, if it exited.
  int signal = 0; // Signal that killed it, or 0.
  friend bool operator==(const ending&, const ending&) = default;
};

class process {
public:
  using milliseconds = std::chrono::milliseconds;

  /// Throws std::runtime_error when it cannot be started.
  explicit process(process_options options);
  process(process&& other) noexcept;
  process& operator=(process&& other) noexcept;
  /// SIGTERM, and SIGKILL to its process group if that does not end it within two seconds.
  ~process();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running();
  void signal(int number);

  /// Nothing when it still runs after the bound.
  std::optional<ending> wait(milliseconds bound = std::chrono::seconds(30));
  /// Signals, then waits. Nothing when it still runs after the bound.
  std::optional<ending> stop(int number, milliseconds bound = std::chrono::seconds(30));

  /// The first whole line of stdout (or stderr) that contains the text, as soon as it is there. Nothing when the bound has passed or the
  /// process has ended without it.
  std::optional<std::string> wait_for_line(const std::string& text, milliseconds bound = std::chrono::seconds(30));

  [[nodiscard]] std::string out() const;
  [[nodiscard]] std::string err() const;

private:
  [[nodiscard]] std::optional<std::string> find_line(const std::string& text) const;
  void end() noexcept;

  process_options options_;
  pid_t pid_ = -1;
  int pidfd_ = -1; // Becomes readable when the process ends.
  std::optional<ending> ending_;
};

} // namespace sallyport::testing
