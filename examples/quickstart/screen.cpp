#include "examples/quickstart/screen.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace quickstart {

using namespace std::chrono_literals;

screen::screen() {
  const char* kind = std::getenv("TERM");
  terminal_ = ::isatty(STDOUT_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

double screen::seconds() const {
  return std::chrono::duration<double>(clock::now() - began_).count();
}

void screen::erase() {
  if (drawn_ > 0)
    fmt::print("\x1b[{}A\x1b[J", drawn_); // Up, and clear to the end.
  drawn_ = 0;
}

void screen::say(const std::string& what) {
  erase();
  fmt::print("{:6.1f} s  {}\n", seconds(), what);
  std::fflush(stdout);
}

void screen::show(const picture& now) {
  next_ = clock::now() + (terminal_ ? 100ms : 1000ms);
  if (terminal_) {
    erase();
    fmt::print("\n{:6.1f} s  sent {} of {}, rows {}\n", seconds(), now.sent, now.records, now.rows);
    fmt::print("          {:10} {:8} {:>8} {:>8} {:>8}\n", "", "", "waiting", "held", "settled");
    fmt::print("          {:10} {:8} {:8}\n", "hub", now.hub, now.depth);
    for (const auto& agent : now.agents)
      fmt::print("          {:10} {:8} {:8} {:8} {:8}\n", agent.name, agent.state, "", agent.held, agent.settled);
    drawn_ = 4 + static_cast<unsigned>(now.agents.size());
  } else {
    std::string line =
      fmt::format("{:6.1f} s  sent {:6}  rows {:6}  hub {:6} depth {:5}", seconds(), now.sent, now.rows, now.hub, now.depth);
    for (const auto& agent : now.agents)
      line += fmt::format("  {} {:6} held {:4} settled {:6}", agent.name, agent.state, agent.held, agent.settled);
    fmt::print("{}\n", line);
  }
  std::fflush(stdout);
}

} // namespace quickstart
