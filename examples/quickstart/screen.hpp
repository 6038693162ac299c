// What the quickstart shows: a table that is drawn over and over on a terminal, and a line each second elsewhere. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace quickstart {

struct agent_line {
  std::string name;
  std::string state; // up, killed, ...
  std::uint64_t held = 0;
  std::uint64_t settled = 0;
};

struct picture {
  std::uint64_t sent = 0, records = 0, depth = 0, rows = 0;
  std::string hub; // up, killed, ...
  std::vector<agent_line> agents;
};

class screen {
public:
  screen();
  /// Is it time to show a new picture?
  [[nodiscard]] bool is_due() const { return clock::now() >= next_; }
  void show(const picture& now);
  /// Something worth remembering: a line of its own that stays.
  void say(const std::string& what);
  [[nodiscard]] double seconds() const;

private:
  using clock = std::chrono::steady_clock;

  void erase();

  clock::time_point began_ = clock::now();
  clock::time_point next_{};
  bool terminal_ = false;
  unsigned drawn_ = 0; // Lines of the table on the screen.
};

} // namespace quickstart
