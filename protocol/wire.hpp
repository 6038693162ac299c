// The requests and replies of the wire (docs/openapi.yaml), as values shared by hub, agent and command line: what one side encodes the
// other decodes. Durations are chrono inside and `<name>_ms` in JSON; fences and ids are strings in JSON. Optional fields are left out
// when they hold their default.
#pragma once

#include "protocol/errors.hpp"
#include "protocol/ids.hpp"
#include "protocol/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::wire {

/// Bytes of an event, shared between store, cache and socket, never changed.
using shared_bytes = std::shared_ptr<const std::string>;

// ---- enqueue -----------------------------------------------------------------------------------------------------------------

struct enqueued_item {
  message_id message;
  std::string source, id;
  bool duplicate = false; // The event was stored before; message is the first one's id.
};
struct enqueue_reply {
  std::vector<enqueued_item> messages;
};

// ---- sessions ----------------------------------------------------------------------------------------------------------------

/// What an agent's last probe of a target said.
enum class reach : std::uint8_t { unknown, up, down };

/// What an adapter promises about its effect (DESIGN section 3, promise 4).
enum class effect_promise : std::uint8_t { exactly_once, idempotent, at_least_once };

struct announced_connection {
  connection_name name;
  std::string adapter; // "sql", "file", "http", ... or the embedder's own word.
  effect_promise effect = effect_promise::at_least_once;
  std::string fingerprint; // Kind, host, port, database of the target; never credentials.
  reach state = reach::unknown;
  std::string detail; // Why it is down.
};

struct held_grant {
  message_id message;
  fence_token fence;
  friend auto operator<=>(const held_grant&, const held_grant&) = default;
};

/// POST /v1/sessions
struct open_session {
  group_name group;
  agent_name agent;
  agent_id id;
  incarnation life;
  std::string version; // Of the agent's software.
  std::vector<announced_connection> connections;
  epoch_number highest_epoch; // The highest the agent has ever seen; a hub below it has been restored from a backup.
  std::vector<held_grant> held;
};
struct session_opened {
  session_id session;
  milliseconds ttl{};
  milliseconds heartbeat{}; // How often to send one at most: a quarter of the ttl.
  epoch_number epoch;
  std::vector<held_grant> lost; // Of those held: no longer the latest. Their work must not be started.
};

struct connection_state {
  connection_name name;
  reach state = reach::unknown;
  std::string detail;
};
struct lane_position {
  lane_id lane;
  std::uint64_t seq = 0;
};
/// Everything the agent knows it holds, sent when the hub asked for it.
struct held_list {
  std::vector<lane_position> lanes; // The last seq received (not sent) per lane.
  std::vector<held_grant> held;     // Includes grants whose settlement is unanswered.
};
/// POST /v1/sessions/{s}/heartbeat
struct heartbeat {
  std::vector<connection_state> connections; // All of them, or only those that changed.
  std::uint64_t held_count = 0;
  std::uint64_t held_hash = 0; // held_summary::hash(), 16 hex digits on the wire.
  std::optional<held_list> list;
};
enum class session_command : std::uint8_t {
  list_held, // Send a held_list with the next heartbeat, at once.
  drain,     // Stop claiming, finish, close.
};
struct heartbeat_reply {
  milliseconds ttl{};
  epoch_number epoch;
  std::vector<session_command> commands;
  std::vector<held_grant> lost; // Taken from this session: do not start them; cancel what runs if the adapter can.
};

/// DELETE /v1/sessions/{s}
struct session_closed {
  std::uint64_t returned = 0; // Grants given back to their queues.
};

// ---- claims ------------------------------------------------------------------------------------------------------------------

struct connection_credit {
  connection_name name;
  std::uint32_t credit = 0; // How many more messages of this connection the lane wants.
};
/// POST /v1/sessions/{s}/claims
struct claim {
  lane_id lane;
  std::uint64_t seq = 0;
  std::uint32_t max_messages = 0;
  std::uint64_t max_bytes = 0;
  milliseconds wait{};
  std::vector<connection_credit> connections;
};
struct grant {
  message_id message;
  fence_token fence;
  connection_name connection;
  std::uint32_t attempt = 1; // The number this attempt will have, from 1.
  milliseconds attempt_timeout{};
  std::string partition_key; // Read from the event; grants of one key are in order and to be executed one after the other.
  bool call = false;         // Somebody waits for the result.
  shared_bytes event;        // Raw JSON of the CloudEvent.
};
struct claim_reply {
  std::vector<grant> grants;
};

// ---- settlements -------------------------------------------------------------------------------------------------------------

enum class outcome_kind : std::uint8_t { done, failed, release };
enum class failure_scope : std::uint8_t { message, target };
/// After a failure: was nothing done, or is it not known?
enum class effect_state : std::uint8_t { none, unknown };

struct settlement {
  message_id message;
  fence_token fence;
  outcome_kind outcome = outcome_kind::done;
  // failed:
  failure_scope scope = failure_scope::message;
  bool retryable = true;
  effect_state effect = effect_state::none;
  std::string error; // One line for people; cut at 1 KiB by the hub.
  // failed, release: how long to wait at least (Retry-After of the target).
  std::optional<milliseconds> delay;
  // release: the work was begun (so maybe_started stays set).
  bool started = false;
  // done: raw JSON, at most 256 KiB; empty means none.
  std::string result;
};
/// POST /v1/sessions/{s}/settlements. The agent id (may be empty) lets settlements be judged after the session was forgotten.
struct settle {
  agent_id agent;
  std::vector<settlement> items;
};
enum class verdict_kind : std::uint8_t {
  settled, // This settlement ended the attempt.
  already, // It, or another outcome under the same fence, had ended it before; `outcome` is the first one.
  stale,   // A newer fence exists. Nothing changed.
  burnt,   // The message was taken from this holder; `state` says what became of it. Kept as evidence.
  unknown, // No such grant, or its window has passed.
};
struct verdict {
  message_id message;
  fence_token fence;
  verdict_kind kind = verdict_kind::unknown;
  std::string state;                   // The message's state now, as in message_view.
  std::optional<outcome_kind> outcome; // For settled and already: the outcome that counted.
  // Why the item changed nothing. Left out, stale, burnt and unknown are encoded as stale_fence, burnt_fence and unknown_fence; set it
  // where another code says more (not_holder). On the wire it comes with its status and sentence.
  std::optional<errc> code;
};
struct settle_reply {
  std::vector<verdict> items;
};

/// POST /v1/sessions/{s}/extensions
struct extension {
  message_id message;
  fence_token fence;
  milliseconds more{}; // The hold limit is moved to at least this far from now.
};
struct extend {
  std::vector<extension> items;
};
struct extend_reply {
  std::vector<verdict> items; // settled here means extended.
};

// ---- messages and calls --------------------------------------------------------------------------------------------------------

struct history_entry {
  wall_time at{};
  std::string what;  // queued, granted, lost, settled, stale_settle, ...: the enum of HistoryEntry in docs/openapi.yaml
  std::string agent; // Whom it concerns; may be empty.
  std::string session;
  fence_token fence; // None when no fence is concerned.
  std::string detail;
};
/// GET /v1/messages/{id}
struct message_view {
  message_id message;
  group_name group;
  connection_name connection;
  std::string state; // ready, delayed, behind_key, granted, settled, dead, expired, cancelled
  std::string source, id;
  std::uint32_t attempts = 0;
  std::uint32_t losses = 0;
  bool maybe_started = false;
  wall_time enqueued_at{};
  std::optional<wall_time> due_at; // delayed
  std::string holder;              // granted: the agent
  std::string error;               // Last failure.
  std::string result;              // Raw JSON of a settled message, if any.
  std::vector<history_entry> history;
};
struct cancel_reply {
  message_id message;
  bool may_have_run = false;
};
/// POST .../calls, 200.
struct call_reply {
  message_id message;
  std::string result; // Raw JSON.
};

// ---- operating -----------------------------------------------------------------------------------------------------------------

enum class on_dead : std::uint8_t { skip, block };
enum class on_unknown_effect : std::uint8_t { retry, dead_letter };
enum class fingerprint_policy : std::uint8_t { warn, refuse };

/// What the hub decides by, per queue. PUT /v1/groups/{g}/connections/{c}: fields left out keep their value (or take the default).
struct queue_policy {
  std::uint32_t max_attempts = 5;
  milliseconds backoff_min{1000};
  milliseconds backoff_max{600'000};
  milliseconds attempt_timeout{60'000};
  milliseconds hold_limit{0};                // 0: max(15 min, 10 × attempt_timeout)
  milliseconds message_ttl{0};               // 0: none
  std::uint32_t max_in_flight = 0;           // 0: no limit of its own
  std::uint64_t max_messages = 0;            // 0: as much as the store holds
  milliseconds retention{24 * 3'600'000};    // How long a final message is remembered (dedup, settle, explain)
  std::uint64_t retention_count = 1'000'000; // ... and how many of them at most
  bool paused = false;
  on_dead dead = on_dead::skip;
  on_unknown_effect unknown_effect = on_unknown_effect::retry;
  fingerprint_policy fingerprints = fingerprint_policy::warn;
  friend bool operator==(const queue_policy&, const queue_policy&) = default;
};
/// The same with only the fields that a PUT named.
struct policy_patch {
  std::optional<std::uint32_t> max_attempts;
  std::optional<milliseconds> backoff_min, backoff_max, attempt_timeout, hold_limit, message_ttl, retention;
  std::optional<std::uint32_t> max_in_flight;
  std::optional<std::uint64_t> max_messages, retention_count;
  std::optional<bool> paused;
  std::optional<on_dead> dead;
  std::optional<on_unknown_effect> unknown_effect;
  std::optional<fingerprint_policy> fingerprints;
};

struct connection_view {
  connection_name name;
  queue_policy policy;
  std::uint64_t ready = 0, delayed = 0, behind_key = 0, granted = 0, dead = 0, retained = 0; // Messages by state.
  std::uint64_t enqueued_total = 0, settled_total = 0, failed_total = 0, lost_total = 0;     // Since the hub's start.
  std::optional<milliseconds> oldest_age;                                                    // Of the oldest message not final.
  milliseconds retention_now{}; // How far back the window really reaches.
  std::string target_state;     // closed (in order), open (paused after target failures), probing
  std::optional<wall_time> target_retry_at;
  bool fingerprints_differ = false;
  std::string adapter;
  std::optional<effect_promise> effect; // As announced by the agents.
};
struct agent_view {
  agent_name name;
  std::string session; // Empty when it has none.
  std::string version;
  bool live = false;
  std::uint64_t held = 0;
  std::uint64_t granted_total = 0, settled_total = 0, lost_total = 0; // Since the hub's start.
  std::vector<announced_connection> connections;
};
struct group_view {
  group_name name;
  std::vector<agent_view> agents;
  std::vector<connection_view> connections;
};
struct groups_reply {
  std::vector<group_view> groups;
};

struct queued_view { // A line of a listing.
  message_id message;
  std::string source, id, state;
  std::uint32_t attempts = 0, losses = 0;
  wall_time enqueued_at{};
  std::string error;
  std::string event; // Raw JSON; only when peeking.
};
struct queue_page {
  std::vector<queued_view> messages;
  std::string next; // Pass as ?after= for the next page; empty at the end.
};
/// POST .../dead/redrive: these, or all when empty.
struct redrive {
  std::vector<message_id> messages;
};
struct count_reply { // redrive, purge
  std::uint64_t count = 0;
};

// ---- words ---------------------------------------------------------------------------------------------------------------------

[[nodiscard]] std::string_view to_string(reach v);
[[nodiscard]] std::string_view to_string(effect_promise v);
[[nodiscard]] std::string_view to_string(session_command v);
[[nodiscard]] std::string_view to_string(outcome_kind v);
[[nodiscard]] std::string_view to_string(failure_scope v);
[[nodiscard]] std::string_view to_string(effect_state v);
[[nodiscard]] std::string_view to_string(verdict_kind v);
[[nodiscard]] std::string_view to_string(on_dead v);
[[nodiscard]] std::string_view to_string(on_unknown_effect v);
[[nodiscard]] std::string_view to_string(fingerprint_policy v);

} // namespace sallyport::wire
