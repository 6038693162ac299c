// Child processes that never outlive their purpose: each has a process group of its own, is killed and reaped by its owner's destructor,
// and dies with us even when we are killed. Used from the main thread only: a child dies with the *thread* that started it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace quickstart {

class process {
public:
  process() = default;
  /// Starts argv[0] with its output appended to the log file. With `stays` it may outlive us. Throws std::system_error.
  process(const std::vector<std::string>& argv, const std::string& log_file, bool stays = false);
  process(process&& other) noexcept;
  process& operator=(process&& other) noexcept;
  ~process();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Has it ended by itself? Reaps it if so.
  [[nodiscard]] bool running();
  void signal(int number) const;
  /// The exit code, 128 + signal for a death by signal; nothing when it still runs at the end of the wait.
  std::optional<int> wait(std::chrono::milliseconds at_most);
  /// SIGKILL to its group, and reaps it.
  void kill();
  /// Lets it live on.
  void release() { pid_ = 0; }

private:
  pid_t pid_ = 0;
  std::optional<int> exit_code_;
};

} // namespace quickstart
