// The state of a lease table, as plain structs. Owned by lease_table; nobody else includes this but its own .cpp files and tests.
//
//                 ┌───────────── returned: lost, released, retry, taken ─────────────┐
//                 ▼                                                                  │
//   enqueued ─▶ waiting (ready | delayed | behind its key) ──────granted──────▶ granted
//                 │                                                                  │
//                 └────────────▶ settled | dead | expired | cancelled ◀──────────────┘     dead ─redriven─▶ waiting
#pragma once

#include "cloud/core/commands.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace sallyport::cloud {

/// Index of a message in the table's slab; of a queue; of an agent. Stable while the thing lives; never stored.
using slot = std::uint32_t;
using queue_index = std::uint32_t;
using agent_index = std::uint32_t;
inline constexpr std::uint32_t nowhere = ~std::uint32_t{0};
inline constexpr wall_time never = wall_time::max();
inline constexpr std::uint32_t suspects_max = 256; // Suspects of one session at the first try; halved with every further loss.
inline constexpr std::uint8_t suspect_losses = 2;  // Lost so often, a message is tried apart from the innocent.
inline constexpr std::uint8_t solo_losses_max = 3; // Lost so often as the only grant of its session, it is a dead letter.
inline constexpr std::size_t losses_kept = 16;     // Of one message, to be taken back: older ones count for good.
inline constexpr std::size_t lanes_max = 8;
inline constexpr std::uint8_t no_lane = 0xff;  // Of a grant that was carried into its session by the opening.
inline constexpr std::size_t history_max = 64; // Notes kept of one message; older ones give way, but for the first few.
inline constexpr std::size_t error_bytes_max = 1024;

enum class message_state : std::uint8_t { waiting, granted, settled, dead, expired, cancelled };
[[nodiscard]] inline bool is_final(message_state s) {
  return s >= message_state::settled;
}

/// What a note of a message's history says. The names are the wire's words (lease_table_view.cpp); numbers are stored.
enum class note_kind : std::uint8_t {
  granted = 1,
  lost,
  disconnected,
  released,
  settled,
  failed,
  target_failed,
  taken_back,
  hold_limit,
  stale_settle,
  late_settle,
  dead,
  expired,
  cancelled,
  redriven,
  loss_forgiven,
  rebound,
  closed,
  elided,
};
struct note {
  wall_time at{};
  note_kind what{};
  agent_index agent = nowhere;
  session_id session;
  fence_token fence;
  std::string detail;
};

/// A grant that ended with its session, until the process that suffered it comes back and shows that it lived.
struct loss {
  agent_index agent = nowhere;
  std::uint64_t process = 0; // Of its incarnation.
  fence_token fence;
  bool solo = false; // It was its session's only grant.
};

/// What few messages have to tell beside their lease; most are granted once and settled.
struct lease_story {
  std::string error;        // Of the last failure.
  std::string result;       // Kept here for calls only; else it is content.
  std::vector<loss> losses; // Those that may still be taken back; the latest ones.
  std::vector<note> history;

  [[nodiscard]] bool is_empty() const { return error.empty() && result.empty() && losses.empty() && history.empty(); }
};

/// What a message has once it has been granted, or once something unusual has happened to it. Settled messages are kept by the million.
struct lease_info {
  fence_token fence;         // The latest: of the live or last grant, or minted when it was burnt.
  fence_token burnt;         // The fence that was burnt last, if any.
  fence_token settled_under; // The fence of the last settlement that counted.
  wire::outcome_kind settled_as = wire::outcome_kind::done;
  agent_index agent = nowhere; // Of the live or last grant.
  session_id session;          // The same.
  wall_time granted_at{};
  mono_time hold_until{};
  std::uint64_t seq = 0;       // Of the claim that granted it,
  std::uint8_t lane = 0;       // on this lane of the agent.
  bool started_before = false; // maybe_started as it was before the last grant.
  bool as_suspect = false;     // Granted as one.

  [[nodiscard]] const lease_story& story() const;
  [[nodiscard]] lease_story& tell() {
    if (!told_)
      told_ = std::make_unique<lease_story>();
    return *told_;
  }

private:
  std::unique_ptr<lease_story> told_;
};

/// What producers call a message: source and id, in one allocation.
struct message_name {
  static constexpr std::size_t bytes_max = 0xffff; // Of each.
  std::unique_ptr<char[]> text;                    // source, id: not terminated.
  std::uint16_t source_bytes = 0, id_bytes = 0;
  std::uint32_t hash = 0; // Kept, because an index that grows asks for it, and the text lies far away.

  message_name() = default;
  message_name(std::string_view source, std::string_view id);
  [[nodiscard]] std::string_view source() const { return {text.get(), source_bytes}; }
  [[nodiscard]] std::string_view id() const { return {text.get() + source_bytes, id_bytes}; }
  [[nodiscard]] static std::uint32_t hash_of(std::string_view source, std::string_view id);
};

struct message {
  message_id id;
  digest128 content;
  wall_time enqueued_at{};
  wall_time due_at{}; // waiting: not before; final: when it became so.
  wall_time expires_at = never;
  std::uint64_t key = 0; // Hash of the partition key; 0 means unordered. A collision only orders more than was asked.
  message_name name;
  std::uint32_t bytes = 0; // Of the event.
  queue_index queue = 0;
  slot prev = nowhere, next = nowhere; // In exactly one chain: fifo, key lane, held, dead or final.
  std::uint16_t attempts = 0;
  std::uint8_t losses = 0, solo_losses = 0;
  message_state state = message_state::waiting;
  bool delayed : 1 = false;
  bool call : 1 = false;
  bool awaited : 1 = false; // A plain message that somebody called for.
  bool maybe_started : 1 = false;
  bool has_result : 1 = false;
  bool dirty : 1 = false;
  bool offered : 1 = false; // In `early` or `suspects` of its queue.
  std::unique_ptr<lease_info> lease;

  [[nodiscard]] std::string_view source() const { return name.source(); }
  [[nodiscard]] std::string_view event_id() const { return name.id(); }
  [[nodiscard]] bool is_suspect() const { return losses >= suspect_losses; }
  [[nodiscard]] fence_token fence() const { return lease ? lease->fence : fence_token{}; }
};

/// Messages linked through their prev and next.
struct chain {
  slot head = nowhere, tail = nowhere;
  std::uint64_t count = 0;
};

/// The messages of one partition key that wait, in order. One session holds a run of them at a time.
struct key_lane {
  chain waiting;
  slot offered = nowhere;     // Its head, while it may be granted.
  std::uint32_t held = 0;     // Granted messages of this key.
  std::uint32_t blocking = 0; // Dead letters that block the key (on_dead = block).
};

/// The circuit breaker of one target, shared by its group.
struct circuit {
  enum class phase : std::uint8_t { closed, open, probing };
  phase now = phase::closed;
  std::uint32_t failures = 0;
  wall_time retry_at{};
  slot probe = nowhere; // probing: the one message that tries.
};

struct queue_info {
  group_name group;
  connection_name name;
  wire::queue_policy policy;
  chain fifo;                                     // Never granted, unordered: by id because appended so.
  std::set<std::pair<message_id, slot>> early;    // Came back, or heads of key lanes: by id.
  std::set<std::pair<message_id, slot>> suspects; // The same, of those lost too often to travel with others.
  boost::unordered_flat_map<std::uint64_t, key_lane> lanes;
  chain dead, finals;
  circuit target;
  std::uint64_t live = 0, granted = 0, delayed = 0, lane_waiting = 0, lane_delayed = 0, lane_offered = 0;
  std::uint64_t enqueued_total = 0, settled_total = 0, failed_total = 0, lost_total = 0;
  agent_index suspect_host = nowhere; // Whose session is being emptied, or holds suspects, of this queue.
  wall_time retention_at = never;     // When its first final message is to be forgotten: its one entry among the table's timers.
  bool dirty = false;
  bool woken = false;
};

struct agent_lane {
  lane_id name;
  std::uint64_t seq = 0;         // The last that arrived.
  std::uint64_t granted_seq = 0; // The last that was answered with grants: repeated, it gets those again or nothing.
};
struct agent_connection {
  queue_index queue = nowhere;
  wire::announced_connection announced;
};
struct lost_grant {
  slot message = nowhere;
  fence_token fence;
};
/// An agent and, while it has one, its session.
struct agent_info {
  group_name group;
  agent_name name;
  agent_id id;
  incarnation life;
  std::string version;
  session_id session; // The live or last one.
  bool live = false;
  mono_time deadline{};                        // live: when the session expires.
  mono_time looked_at{};                       // When the sweep looks at it next: its one entry among the table's timers.
  mono_time hold_looked_at = mono_time::max(); // The same for the hold limits of what it holds; none: max().
  mono_time list_asked{};                      // When the last list was asked for.
  bool asked_once = false;
  std::vector<agent_lane> lanes;
  std::vector<agent_connection> connections;
  chain held;
  std::uint32_t suspects_held = 0;
  std::vector<lost_grant> lost;          // By this process, and not taken back yet.
  std::vector<wire::held_grant> notices; // Taken from it and not told yet.
  std::uint64_t granted_total = 0, settled_total = 0, lost_total = 0;
  bool dirty = false;

  [[nodiscard]] const agent_connection* find(queue_index queue) const;
};

} // namespace sallyport::cloud
