// Waiting for a condition that another thread or process brings about, with a bound that only a failure reaches.
#pragma once

#include <chrono>
#include <thread>

namespace sallyport::testing {

/// Asks until the condition holds; false when the bound has passed.
template <class Condition>
[[nodiscard]] bool eventually(Condition&& holds, std::chrono::milliseconds bound = std::chrono::seconds(20)) {
  const auto give_up = std::chrono::steady_clock::now() + bound;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up)
      return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

} // namespace sallyport::testing
