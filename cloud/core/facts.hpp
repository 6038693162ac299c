// What a lease table decides: facts, applied to its memory at once and to the store with the next append.
#pragma once

#include "cloud/core/model.hpp"

namespace sallyport::cloud::fact {

struct queue_made {
  group_name group;
  connection_name name;
  wire::queue_policy policy;
};
struct policy_set {
  queue_index queue;
  wire::queue_policy policy;
};
struct enqueued {
  queue_index queue;
  message_id id;
  wall_time at, not_before, expires_at;
  std::uint64_t key = 0;
  bool call = false;
  message_name name;
  digest128 content;
  wire::shared_bytes bytes;
};
/// One claim's worth. Fences are consecutive from first_fence.
struct granted {
  agent_index agent;
  std::uint8_t lane;
  std::uint64_t seq;
  fence_token first_fence;
  instant at;
  std::vector<slot> messages;
};
/// Back to its queue.
struct returned {
  slot message;
  note_kind why;
  wall_time at;
  wall_time due{}; // In the past: at once.
  bool counts_attempt = false;
  bool counts_loss = false, solo = false;
  bool clears_started = false;
  bool settles = false; // The holder asked for it under the live fence: the answer is kept.
  wire::outcome_kind outcome = wire::outcome_kind::release;
  fence_token burn; // Minted when it was taken from its holder; none otherwise.
  std::string detail;
};
/// To a final state.
struct finished {
  slot message;
  message_state to;
  note_kind why;
  wall_time at;
  fence_token burn; // Always minted.
  bool counts_attempt = false;
  bool counts_loss = false;
  bool settles = false;
  wire::outcome_kind outcome = wire::outcome_kind::done;
  std::string error, result, detail;
};
/// A dead letter goes back to its place.
struct redriven {
  slot message;
  wall_time at;
};
struct session_opened {
  agent_index agent; // nowhere: a new agent.
  session_id session;
  wire::open_session body;
  std::vector<queue_index> queues; // One for each announced connection.
  mono_time deadline;
};
struct session_ended {
  agent_index agent;
  bool expired = false; // Its losses may still be taken back.
};
/// A held grant moves to the agent's new session, under the same fence.
struct rebound {
  slot message;
  agent_index agent;
  session_id session;
  instant at;
};
struct loss_forgiven {
  slot message;
  fence_token fence; // The one that was lost.
  wall_time at;
};
struct losses_closed { // The process that could have taken its losses back is gone.
  agent_index agent;
};
struct touched {
  agent_index agent;
  mono_time deadline;
};
struct reach_changed {
  agent_index agent;
  std::vector<std::pair<queue_index, wire::connection_state>> states;
};
struct list_asked {
  agent_index agent;
  mono_time at;
};
struct notices_told {
  agent_index agent;
};
struct lane_confirmed { // A new seq without grants: kept in memory only.
  agent_index agent;
  lane_id lane;
  std::uint64_t seq;
};
struct extended {
  slot message;
  mono_time until;
};
struct noted { // Evidence: nothing else changes.
  slot message;
  note what;
};
struct came_due {
  slot message;
};
struct target_failed {
  queue_index queue;
  wall_time retry_at;
};
struct target_tried { // The pause is over: one may try.
  queue_index queue;
};
struct forgotten {
  slot message;
};

} // namespace sallyport::cloud::fact

namespace sallyport::cloud {
using any_fact =
  std::variant<fact::queue_made, fact::policy_set, fact::enqueued, fact::granted, fact::returned, fact::finished, fact::redriven,
               fact::session_opened, fact::session_ended, fact::rebound, fact::loss_forgiven, fact::losses_closed, fact::touched,
               fact::reach_changed, fact::list_asked, fact::notices_told, fact::lane_confirmed, fact::extended, fact::noted,
               fact::came_due, fact::target_failed, fact::target_tried, fact::forgotten>;

/// A list to begin with; facts can be moved only.
[[nodiscard]] inline std::vector<any_fact> beginning_with(any_fact first) {
  std::vector<any_fact> facts;
  facts.push_back(std::move(first));
  return facts;
}
} // namespace sallyport::cloud
