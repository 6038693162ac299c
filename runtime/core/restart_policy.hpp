// When a child of a supervisor fails: which children stop, which start again and when, or whether the supervisor gives up. PURE.
// The supervisor actor (actors/supervisor) owns one and only carries out what it says.
//
//   one_for_one   the failed child alone is started again; every child has a budget of its own
//   one_for_all   its siblings are stopped as well and all are started again; the children share one budget
#pragma once

#include "protocol/result.hpp"
#include "protocol/time.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace sallyport::runtime {

enum class restart_strategy : std::uint8_t { one_for_one, one_for_all };

/// A budget: more than `restarts` within `period` is given up. The wait before the nth restart within the period doubles each time.
struct restart_limits {
  std::uint32_t restarts = 5;
  milliseconds period{60'000};
  milliseconds wait_min{100};
  milliseconds wait_max{10'000};
};

/// A child as the policy sees it: its place in the list is its place in the start order.
struct supervised {
  std::string name;
  restart_limits limits; // one_for_one only.
};

struct supervision {
  restart_strategy strategy = restart_strategy::one_for_one;
  restart_limits limits; // one_for_all: of the children together.
  std::vector<supervised> children;
};

/// Errors: invalid_config for a list without children, a child without a name or with its sibling's, a period or wait that is not
/// positive, a shortest wait above the longest.
[[nodiscard]] result<void> validate(const supervision& plan);

struct restart_decision {
  bool give_up = false;
  std::vector<std::size_t> stop;  // Right to left, one after the other; the failed child is not among them.
  std::vector<std::size_t> start; // Left to right, when all of `stop` have ended and `wait` has passed.
  milliseconds wait{};
  std::uint32_t restarts = 0; // Within the period, this one included.
};

class restart_policy {
public:
  /// The plan must have been validated.
  explicit restart_policy(supervision plan);

  [[nodiscard]] restart_decision failed(std::size_t child, mono_time now);
  [[nodiscard]] const supervision& plan() const { return plan_; }

private:
  supervision plan_;
  std::vector<std::deque<mono_time>> failures_; // Per budget, within its period.
};

} // namespace sallyport::runtime
