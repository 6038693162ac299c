// What happened, as people outside the code under test saw it. Simulator, crash images and chaos write it down; the laws (judge.hpp) judge
// by it alone. Plain data: whoever watches fills in what it can see, and a law whose facts nobody could see finds nothing to say.
#pragma once

#include "protocol/wire.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sallyport::judge {

/// A place in the one order of everything that was seen. Two facts with the same number happened at once.
using step_number = std::uint64_t;

/// How a call ended, as its caller was told.
enum class call_end : std::uint8_t { unanswered, result, failed, pending, not_started, unknown };

/// One event a producer wants delivered. Known by its id; its message by the first acknowledgement.
struct sent_event {
  std::string id;
  std::string queue; // Any word that tells one queue from another.
  std::string key;   // partitionkey; empty: none.
  bool tried = false;
  bool call = false;
  bool effect_counts = true;         // Its target keeps an inbox: at most one effect, whatever happens.
  std::optional<message_id> message; // As first acknowledged. Without one it may or may not be there, and once at most.
  std::vector<message_id> told;      // Every acknowledgement.
  wall_time not_before{}, expires_at = wall_time::max();
  bool cancel_asked = false;          // Its answer may have been lost.
  bool cancelled = false;             // A cancel was acknowledged,
  bool cancel_said_never_ran = false; // with these words.
  std::vector<call_end> call_ends;    // Every answer to the call.
};

/// A grant as its agent received it.
struct seen_grant {
  std::string agent;
  message_id message;
  fence_token fence;
  step_number step = 0;
};

/// An attempt was begun, or its effect was made, at the target.
struct effect {
  message_id message;
  fence_token fence; // None where the target does not keep it.
  std::string id, agent;
  step_number step = 0;
};

/// A verdict on a settlement, as its sender received it.
struct seen_verdict {
  std::string agent;
  message_id message;
  fence_token fence;
  wire::outcome_kind sent = wire::outcome_kind::done;
  wire::failure_scope scope = wire::failure_scope::message;
  wire::verdict_kind kind = wire::verdict_kind::unknown;
  std::optional<wire::outcome_kind> counted;
  std::string state; // The message's, after it.
  step_number step = 0;
};

// ---- what only one who stands at the hub's mouth can see -----------------------------------------------------------------------

/// A settlement reached the hub: what its sender says of the attempt, whatever comes of it.
struct sent_settlement {
  std::string agent; // Its agent id.
  wire::settlement what;
  step_number step = 0;
};
/// An opening reached the hub.
struct asked_opening {
  std::string agent; // Its agent id.
  incarnation life;
  step_number step = 0;
  wall_time at{};
};
/// The hub said: this session is yours.
struct said_opened {
  std::string agent; // Its agent id.
  incarnation life;
  session_id session;
  std::vector<wire::held_grant> held, lost; // As the opening named them; those it was told are gone.
  wall_time asked_at{}, at{};               // It was decided between them.
  step_number step = 0;
};
/// The hub answered a request under a session.
struct said_to_session {
  enum class how : std::uint8_t { served, expired, replaced, refused };
  session_id session;
  how what = how::served;
  wall_time arrived_at{};
  step_number arrived = 0, step = 0;
};
/// The hub answered a claim with grants, or with none.
struct said_claim {
  session_id session;
  lane_id lane;
  std::uint64_t seq = 0;
  std::vector<wire::held_grant> grants;
  step_number arrived = 0, step = 0;
};
/// The store was opened in a new epoch. Everything said before belongs to lower ones.
struct new_epoch {
  epoch_number epoch;
  step_number step = 0;
  wall_time at{};
};
/// The hub stood still: nothing of it ran.
struct standstill {
  milliseconds length{}; // By a clock that does not jump.
  wall_time until{};
};

/// What the hub tells of one message in the end, and what it is.
using final_word = wire::message_view;

struct violation {
  std::string law; // Stable, one word; the same fault found again has the same law.
  std::string what;
};

struct history {
  std::map<std::string, sent_event> events; // By id.
  std::vector<seen_grant> grants;
  std::vector<effect> started;   // In the order of starting.
  std::vector<effect> committed; // In the order of the target.
  std::vector<seen_verdict> verdicts;
  std::set<std::string> careless; // Agents that break the contract: they go on with a key when its head has failed.

  std::vector<sent_settlement> sent;
  std::vector<asked_opening> asked_openings;
  std::vector<said_opened> openings;
  std::vector<said_to_session> answers;
  std::vector<said_claim> claims;
  std::vector<seen_verdict> said_verdicts; // All of them, also those that were lost on the way.
  std::vector<new_epoch> epochs;
  std::vector<standstill> standstills;

  std::map<message_id, final_word> at_end; // Of every message that was acknowledged or granted, and that the hub still knows.

  std::uint64_t crashes = 0, faults = 0;
  std::vector<violation> violations;
  void violate(std::string law, std::string what) { violations.push_back({std::move(law), std::move(what)}); }
};

} // namespace sallyport::judge
