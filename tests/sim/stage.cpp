#include "tests/sim/stage.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

bool stage::step() {
  if (pending_.empty())
    return false;
  auto next = pending_.top();
  pending_.pop();
  const auto passed = next.at - now_.mono;
  now_.mono = next.at, now_.wall += passed;
  ++steps_;
  next.what();
  return true;
}

void stage::say(const std::string& line) {
  if (tracing)
    trace_.push_back(
      fmt::format("{:>9.3f}  {}", static_cast<double>((now_.mono.time_since_epoch().count() - 10'000'000)) / 1000.0, line));
}

} // namespace sallyport::sim
