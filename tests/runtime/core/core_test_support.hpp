// What the tests of the agent's cores share: times, grants and a look into lists of actions.
#pragma once

#include "protocol/time.hpp"
#include "protocol/wire.hpp"

#include <string>
#include <variant>
#include <vector>

namespace sallyport::runtime::test {

inline mono_time at(std::int64_t ms) {
  return mono_time{milliseconds{ms}};
}

/// All actions of one kind, in order.
template <class T, class Variant>
std::vector<T> all(const std::vector<Variant>& actions) {
  std::vector<T> found;
  for (const auto& a : actions)
    if (auto* t = std::get_if<T>(&a))
      found.push_back(*t);
  return found;
}
template <class T, class Variant>
bool has(const std::vector<Variant>& actions) {
  return !all<T>(actions).empty();
}
template <class T, class Variant>
T only(const std::vector<Variant>& actions) {
  auto found = all<T>(actions);
  return found.size() == 1 ? found.front() : T{};
}

inline message_id m(std::uint64_t serial) {
  return {1, serial};
}
inline fence_token f(std::uint64_t counter) {
  return {1, counter};
}

inline wire::grant grant(std::uint64_t n, std::string connection = "db", std::string key = {}, std::uint64_t fence = 0) {
  wire::grant g;
  g.message = m(n);
  g.fence = f(fence == 0 ? 100 + n : fence);
  g.connection = connection_name{std::move(connection)};
  g.attempt_timeout = milliseconds{60'000};
  g.partition_key = std::move(key);
  g.event = std::make_shared<const std::string>("{}");
  return g;
}

} // namespace sallyport::runtime::test
