// A peer's server process, from its Debian package: on a free port of 127.0.0.1, stopped by its own process id and gone with its object.
#pragma once

#include "tests/support/process.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::bench {

struct daemon_options {
  std::string name;             // For errors.
  std::filesystem::path folder; // Where its output goes.
  int stop_signal = SIGTERM;    // What its operator's tools send.
  std::function<std::vector<std::string>(std::uint16_t port)> argv;
  std::function<bool(std::uint16_t port)> serves; // Asked again and again until it is true; may throw while it is not.
};

/// Throws std::runtime_error with the server's own words.
class daemon {
public:
  /// Returns when it serves clients.
  explicit daemon(daemon_options options);
  ~daemon();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// The process and what it started.
  [[nodiscard]] std::vector<pid_t> processes() const;
  /// Stopped, and started again on the same port; how long from the start until it served clients.
  std::chrono::nanoseconds restart();

private:
  /// False when it has ended instead: its port may be somebody else's.
  bool start();
  [[nodiscard]] std::string last_words() const;

  daemon_options options_;
  std::uint16_t port_ = 0;
  int lives_ = 0;
  std::unique_ptr<testing::process> process_;
};

} // namespace sallyport::bench
