// The SUPERVISOR: starts its children from left to right, watches them, restarts them as runtime::restart_policy says, stops them from
// right to left, and ends with an error when a budget is used up, which is its parent's to judge. Generic: children are data.
//
//   running ──(a child fails)──▶ stopping siblings ──▶ waiting ──▶ starting ──▶ running
//      │                              │ budget used up
//      └──(told to exit)──▶ stopping all ──▶ ended (with the reason; retries_exhausted)
//
// Every child is permanent: however it ends unasked, it has failed. A child that does not stop in time is killed; one that blocks a thread
// of its own is left to end by itself.
#pragma once

#include "protocol/result.hpp"
#include "protocol/time.hpp"
#include "runtime/core/restart_policy.hpp"

#include <caf/fwd.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::actors {

struct child_list;

struct child_spec {
  std::string name;
  /// Spawns the child. An error or a throw counts as its failure.
  std::function<caf::actor(caf::actor_system&)> start;
  runtime::restart_limits limits; // one_for_one only.
};

struct supervisor_spec {
  std::string name;
  runtime::restart_strategy strategy = runtime::restart_strategy::one_for_one;
  runtime::restart_limits limits;   // one_for_all: of the children together.
  milliseconds stop_timeout{5'000}; // Per child.
  std::vector<child_spec> children;
  std::function<mono_time()> now;
  /// Waits look at `now` this often at least: somebody may step it.
  milliseconds longest_nap = milliseconds::max();
  /// Told which children live: after all of them were started, after each restart, and after each loss.
  std::function<void(const child_list&)> on_change;
  /// Told of each failure: the child, why, and what is done about it.
  std::function<void(const std::string& child, const std::string& why, const runtime::restart_decision& decision)> on_failure;
};

/// Errors: invalid_config, before anything was started.
[[nodiscard]] result<caf::actor> spawn_supervisor(caf::actor_system& system, supervisor_spec spec);

} // namespace sallyport::actors
