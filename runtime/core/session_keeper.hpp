// Keeps the agent's session at the hub: opens it, keeps it alive, finds another way when the hub cannot be reached, opens it anew when it
// has ended, closes it. PURE: inputs are answers and the time, outputs are actions. It never gives up by itself.
//
//             presence           opened         close_session()
//   asking ────────────▶ opening ───────▶ open ────────────────▶ closing ──▶ over
//     ▲  ▲                  │ no           │
//     │  └── waiting ◀──────┘              │ expired or forgotten: opening + 1
//     └────────────────────────────────────┘
//   session_replaced leads from anywhere to over.
//
// Owned by the hub link; touched by its actor only. After a crash of the session unit the next one begins with the next opening.
#pragma once

#include "protocol/result.hpp"
#include "protocol/wire.hpp"
#include "runtime/core/backoff.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sallyport::runtime {

struct session_settings {
  group_name group;
  agent_name agent;
  agent_id id;
  std::uint64_t process = 0; // Incarnation of this process.
  std::uint64_t opening = 0; // The last one used by this process; the first session is opened with the next.
  epoch_number highest_epoch;
  std::string version;
  std::size_t hubs = 1;
  milliseconds margin{500};
  milliseconds request_timeout{10'000};
  milliseconds reconnect_min{200};
  milliseconds reconnect_max{30'000};
};

/// What the lease manager knows; asked for before each opening and each heartbeat.
struct presence {
  std::vector<wire::announced_connection> connections;
  std::vector<wire::held_grant> held; // For an opening: everything it wants to keep.
  std::uint64_t held_count = 0;
  std::uint64_t held_hash = 0;
  std::optional<wire::held_list> list; // When asked for.
};
/// Before an opening the lease manager must refuse what still arrives of the session before: only what it names here will be kept.
struct presence_ask {
  bool opening = false;
  bool list = false;
};

struct send_open {
  wire::open_session body;
  milliseconds timeout{};
};
struct send_heartbeat {
  session_id session;
  wire::heartbeat body;
  milliseconds timeout{};
};
struct send_close {
  session_id session;
  milliseconds timeout{};
};
/// Talk to another of the configured addresses from now on.
struct use_hub {
  std::size_t index = 0;
};
struct session_started {
  session_id session;
  mono_time deadline;                 // Nothing may be started later than this.
  std::vector<wire::held_grant> lost; // Of those named: they have a newer holder.
};
struct deadline_moved {
  mono_time deadline;
};
/// The hub has no session of ours any more. Another is being opened.
struct session_over {
  std::string why;
};
/// Taken from us while the session lives.
struct fences_lost {
  std::vector<wire::held_grant> grants;
};
struct drain_wanted {};
/// The heartbeat asked for by beat_for_drain() was answered: nothing more will be granted.
struct drain_heard {};
/// A newer process has our place: stop.
struct session_taken {
  std::string why;
};
struct session_closed {};
/// For people: logs and the embedder's events.
struct link_news {
  enum class kind : std::uint8_t { connected, disconnected, refused, waiting };
  kind what = kind::connected;
  std::string detail;
};
using session_action =
  std::variant<presence_ask, send_open, send_heartbeat, send_close, use_hub, session_started, deadline_moved, session_over,
               fences_lost, drain_wanted, drain_heard, session_taken, session_closed, link_news>;

class session_keeper {
public:
  using actions = std::vector<session_action>;

  session_keeper(session_settings settings, std::uint64_t seed);

  actions start(mono_time now);
  actions on(presence what, mono_time now);
  actions opened(result<wire::session_opened> reply, mono_time now);
  /// The answer to a heartbeat of this session; one of an earlier session changes nothing.
  actions heard(session_id session, result<wire::heartbeat_reply> reply, mono_time now);
  actions closed(const result<wire::session_closed>& reply, mono_time now);
  /// Any other request of this session was answered: `sent_at` is when it left. Counts as a sign of life, or tells that the session is
  /// gone. `proves` is false for settlements, which the hub accepts from expired sessions too.
  actions answered(session_id session, const error* failure, mono_time sent_at, bool proves, mono_time now);
  /// Something changed that the hub should know before the next heartbeat is due.
  actions beat_soon(mono_time now);
  /// The lease manager now announces that nothing more is wanted; drain_heard follows when the hub knows, or cannot be told.
  actions beat_for_drain(mono_time now);
  actions close_session(mono_time now);
  actions tick(mono_time now);

  [[nodiscard]] mono_time next_wake() const;
  [[nodiscard]] session_id session() const { return session_; }
  [[nodiscard]] std::uint64_t opening() const { return opening_; }
  [[nodiscard]] epoch_number highest_epoch() const { return highest_epoch_; }
  [[nodiscard]] bool may_work(mono_time now) const { return at_ == phase::open && now < deadline_; }

private:
  enum class phase : std::uint8_t { idle, waiting, asking, opening, open, closing, over };
  enum class beat : std::uint8_t { none, asking, sent };

  void ask_to_open(actions& out);
  void send_the_close(mono_time now, actions& out);
  void judge(const error& why, mono_time now, actions& out);
  void wait_and_say(link_news::kind what, const error& why, milliseconds least, mono_time now, actions& out);
  void next_hub(actions& out);
  void session_gone(const error& why, mono_time now, actions& out);
  void end(session_action last, actions& out);
  void extend(mono_time sent_at, mono_time now, actions& out);
  void say_drain_heard(actions& out);
  void saw(epoch_number epoch) { highest_epoch_ = std::max(highest_epoch_, epoch); }
  void live_for(milliseconds ttl, milliseconds interval);
  [[nodiscard]] mono_time next_beat() const;
  [[nodiscard]] milliseconds beat_timeout() const;

  session_settings settings_;
  dice chance_;
  phase at_ = phase::idle;
  beat beat_ = beat::none;
  std::uint64_t opening_ = 0;
  epoch_number highest_epoch_;
  session_id session_;
  milliseconds ttl_{10'000};
  milliseconds interval_{2'500};
  mono_time sent_at_{}; // The opening or heartbeat under way.
  mono_time deadline_{};
  mono_time announced_{};  // The deadline the lease manager knows.
  mono_time last_heard_{}; // When the last answered request left.
  mono_time last_beat_{};  // When the last answered heartbeat left.
  mono_time retry_at_{};   // After a failure: not before this.
  bool soon_ = false;      // Do not wait until the next heartbeat is due.
  bool list_ = false;      // The hub asked for a list of what is held.
  bool list_sent_ = false; // With the heartbeat under way.
  bool draining_ = false, drain_sent_ = false, drain_said_ = false;
  bool reachable_ = false;
  bool proven_ = false; // The session has lived for at least one heartbeat.
  std::size_t hub_ = 0;
  std::uint32_t misses_ = 0; // Heartbeats in a row.
  std::uint32_t close_tries_ = 0;
  backoff pause_;
};

} // namespace sallyport::runtime
