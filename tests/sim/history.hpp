// What happened in a run, as the people outside the hub saw it. The checkers judge by this alone.
#pragma once

#include "protocol/wire.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::sim {

/// One event a producer wants delivered. Known by its id; its message by the first acknowledgement.
struct sent_event {
  std::string id, key;
  std::optional<message_id> message; // Acknowledged as.
  bool tried = false;
  wall_time not_before{}, expires_at = wall_time::max();
  std::uint64_t cancelled_at = 0; // Step at which a cancel was acknowledged; 0: never.
  bool cancel_said_never_ran = false;
};

/// One grant as an agent received it.
struct seen_grant {
  std::string agent;
  message_id message;
  fence_token fence;
  std::uint64_t step = 0;
  std::uint32_t attempt = 0;
};

/// An agent began or ended an attempt at the target.
struct effect {
  message_id message;
  fence_token fence;
  std::string id, agent;
  std::uint64_t step = 0;
};

/// A verdict on a settlement, as its sender received it.
struct seen_verdict {
  std::string agent;
  message_id message;
  fence_token fence;
  wire::outcome_kind sent = wire::outcome_kind::done;
  wire::verdict_kind kind = wire::verdict_kind::unknown;
  std::optional<wire::outcome_kind> counted;
};

struct history {
  std::map<std::string, sent_event> events; // By id.
  std::vector<seen_grant> grants;
  std::vector<effect> started;   // In the order of starting.
  std::vector<effect> committed; // At the target, where the inbox let them pass.
  std::vector<seen_verdict> verdicts;
  std::uint64_t crashes = 0, faults = 0;
  std::vector<std::string> violations;
  void violate(std::string what) { violations.push_back(std::move(what)); }
};

} // namespace sallyport::sim
