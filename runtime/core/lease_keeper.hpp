// Owns every grant from its arrival to its settlement: when it is begun and where, when it is cancelled, how its end is reported until
// the hub has answered. PURE: inputs are what happened and when, outputs are actions.
//
//   granted ─▶ queued ──(a worker is free, the lease is good)──▶ running ──(outcome)──▶ settling ──(verdict)──▶ gone
//                │  ▲ behind its key                               │                        ▲
//                │  └ until the message before it is done          └─(attempt overdue)──────┤
//                ├─(key broken, target down, drain over)─▶ given back, not begun ───────────┘
//                └─(lost)─▶ gone                             lost while running: cancelled or finished, settled as evidence
//
// Owned by the lease manager; touched by its actor only. After a crash a new one learns what still runs, and which outcomes the hub has
// not answered yet, from the adapter hosts; what was only queued returns to the hub with the next opening.
#pragma once

#include "protocol/result.hpp"
#include "protocol/wire.hpp"
#include "runtime/core/agent_status.hpp"
#include "runtime/core/backoff.hpp"
#include "runtime/core/claim_lanes.hpp"
#include "runtime/core/credit_window.hpp"
#include "runtime/core/session_keeper.hpp"
#include "runtime/core/work.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

namespace sallyport::runtime {

struct lease_settings {
  struct connection {
    connection_name name;
    std::string adapter; // Announced to the hub, as are effect and fingerprint.
    wire::effect_promise effect = wire::effect_promise::at_least_once;
    std::string fingerprint;
    bool cancel_when_lost = true;
    std::uint32_t credit = 4'096;
  };
  std::vector<connection> connections; // By connection_index.
  std::uint64_t life = 1;              // Of the lease manager, rising within the process.
  std::uint32_t window = 8'192;
  std::uint64_t window_bytes = 64 << 20;
  std::size_t settle_items_max = 1'000;
  std::size_t settle_bytes_max = 4 << 20;
  milliseconds settle_linger{0};
  milliseconds retry_min{200};
  milliseconds retry_max{5'000};
};

namespace lease {
/// Hand these to the connection's host: a worker is free.
struct dispatch {
  std::shared_ptr<const job_batch> jobs;
};
enum class cancel_reason : std::uint8_t { lost_lease, attempt_timeout, shutdown };
/// Raise the cancel signal of these messages.
struct cancel {
  connection_index connection = 0;
  batch_id batch;
  std::vector<fence_token> fences;
  cancel_reason why = cancel_reason::lost_lease;
};
/// Send these to the hub; call settled() with the answer. One at a time.
struct settle {
  std::shared_ptr<const std::vector<wire::settlement>> items;
};
/// The hub has answered every outcome of these batches: the host may forget them.
struct confirm {
  connection_index connection = 0;
  std::vector<batch_id> batches;
};
/// The hub should hear soon what presence() says now.
struct announce {};
/// There is room for more, or less: ask room().
struct room_changed {};
/// Something a person may want to know.
struct remark {
  std::string text;
};
/// While draining: nothing is held, runs, or waits for the hub (any more, or again).
struct idle {};
} // namespace lease
using lease_action = std::variant<lease::dispatch, lease::cancel, lease::settle, lease::confirm, lease::announce,
                                  lease::room_changed, lease::remark, lease::idle>;

class lease_keeper {
public:
  using actions = std::vector<lease_action>;

  explicit lease_keeper(lease_settings settings, std::uint64_t seed);

  // -- the session
  /// For an opening or a heartbeat. An opening makes everything granted under the session before, and not yet arrived, void.
  [[nodiscard]] presence presence_for(const presence_ask& ask);
  actions started(const session_started& session, mono_time now);
  actions deadline(mono_time until, mono_time now);
  actions lost(const std::vector<wire::held_grant>& grants, mono_time now);
  actions granted(grant_batch batch, mono_time now);
  actions settled(const result<wire::settle_reply>& reply, mono_time now);

  // -- the adapter hosts
  struct host_hello {
    std::size_t workers = 1;
    std::size_t batch_max = 1;
    std::vector<running_batch> running;
    std::vector<std::shared_ptr<const outcome_batch>> unconfirmed;
  };
  actions host_joined(connection_index c, const host_hello& hello, mono_time now);
  actions host_state(connection_index c, wire::reach state, std::string detail, mono_time now);
  /// It takes no more work, but what it runs will still be reported.
  actions host_leaving(connection_index c, mono_time now);
  /// It is dead: nothing it ran will be reported.
  actions host_gone(connection_index c, mono_time now);
  actions ended(const outcome_batch& outcomes, mono_time now);

  // -- time and the end
  actions tick(mono_time now);
  [[nodiscard]] mono_time next_wake() const;
  /// Works off what is held until `until`; then gives back what was not begun, cancels what runs and gives it up after the grace.
  /// Asked again it can only end sooner.
  actions drain(mono_time until, milliseconds grace, mono_time now);
  [[nodiscard]] bool draining() const { return drain_until_.has_value(); }
  [[nodiscard]] bool is_idle() const { return entries_.empty() && outbox_.empty() && !in_flight_; }

  // -- views
  [[nodiscard]] room_report room() const;
  [[nodiscard]] std::vector<connection_snapshot> snapshot() const;
  [[nodiscard]] std::size_t held() const { return entries_.size(); }

private:
  enum class phase : std::uint8_t { queued, running, settling };
  struct entry {
    message_id message;
    connection_index connection = 0;
    phase at = phase::queued;
    bool lost = false; // No longer counted as held; its work is settled all the same.
    batch_id batch;    // While running and settling, if it was begun.
    std::string key;
    std::size_t bytes = 0; // Of its event; not known of what an earlier lease manager took.
  };
  using entry_map = boost::unordered_flat_map<fence_token, entry, std::hash<fence_token>>; // Looked into several times a message.
  struct waiting_grant {
    wire::grant grant;
    mono_time since{};
  };
  struct run { // Of one partition key: its first message is in `ready`, or running; the rest waits here.
    std::deque<waiting_grant> rest;
  };
  struct broken_run { // Of a key whose message failed here: what was granted behind it must not overtake its retry.
    message_id head;
    std::optional<mono_time> answered_at; // When the hub answered the failure: claims sent later know of it.
    std::optional<fence_token> retried;   // The head came back to us; what has an older fence belongs to the broken run.
  };
  struct connection_state {
    explicit connection_state(std::uint32_t credit) : window(credit) {}
    credit_window window;
    bool host = false;
    std::size_t workers = 0, busy = 0, batch_max = 1;
    wire::reach state = wire::reach::unknown;
    std::string detail;
    std::deque<waiting_grant> ready;
    std::unordered_map<std::string, run> runs;
    std::unordered_map<std::string, broken_run> broken;
    std::size_t queued = 0, running = 0, settling = 0;
    std::size_t stuck = 0;   // Workers whose adapter ignores that its time is up.
    std::size_t careful = 0; // After a crash: this many more messages are handed out one by one.
    std::uint64_t received = 0;
    lease_counters counters;
  };
  struct batch_state {
    connection_index connection = 0;
    std::vector<wire::held_grant> grants;
    std::size_t unanswered = 0;
    milliseconds attempt_timeout{};
    mono_time cancel_at{};
    mono_time give_up_at = mono_time::max();
    bool reported = false;
    bool stuck = false;
  };

  [[nodiscard]] bool may_start(mono_time now) const;
  [[nodiscard]] static bool takes_work(const connection_state& c) {
    return c.host && c.state != wire::reach::down && c.stuck < c.workers;
  }
  void queue(wire::grant grant, mono_time asked_at, mono_time now);
  [[nodiscard]] static bool belongs_to_broken_run(connection_state& c, const wire::grant& g, mono_time asked_at);
  void dispatch(connection_index i, mono_time now, actions& out);
  void take_outcome(wire::settlement s, mono_time now);
  void break_run(connection_state& c, const std::string& key, message_id head, mono_time now);
  void give_back(const waiting_grant& w);
  void give_back_queued(connection_index i, mono_time now);
  void give_up_running(const std::string& why, mono_time now);
  void lose(fence_token fence, mono_time now, actions& out);
  void cancel_running(lease::cancel_reason why, actions& out);
  void tick_attempts(mono_time now, actions& out);
  void tick_drain(mono_time now, actions& out);
  void send_settlements(mono_time now, actions& out);
  void take_back_settlements();
  [[nodiscard]] bool take_verdict(const wire::settlement& s, const wire::verdict& v, mono_time now, actions& out);
  void forget(entry_map::iterator at, actions& out);
  void erase(entry_map::iterator at);
  void drop_if_answered(std::map<batch_id, batch_state>::iterator at, actions& out);
  void finish(mono_time now, actions& out);
  [[nodiscard]] connection_index index_of(const connection_name& name) const;

  lease_settings settings_;
  dice chance_;
  std::vector<connection_state> connections_;
  entry_map entries_;
  std::uint64_t held_bytes_ = 0; // Of their events.
  boost::unordered_flat_map<message_id, fence_token, std::hash<message_id>>
    newest_; // The highest fence among a message's entries.
  std::map<batch_id, batch_state> batches_;
  std::uint64_t last_batch_ = 0;
  mono_time next_attempt_end_ = mono_time::max(); // Not later than the first; may be early.

  session_id session_; // None from the asking for an opening to its answer.
  mono_time deadline_{};
  bool lease_was_good_ = false;
  std::map<lane_id, std::uint64_t> lanes_; // Last seq received.

  std::deque<wire::settlement> outbox_;
  std::shared_ptr<const std::vector<wire::settlement>> in_flight_;
  std::size_t settle_items_now_; // Less than the maximum while looking for the item the hub refuses.
  std::optional<mono_time> linger_until_;
  mono_time settle_after_{}; // After a failure: not before this.
  backoff settle_pause_;

  std::optional<mono_time> drain_until_;
  milliseconds drain_grace_{};
  mono_time give_up_at_ = mono_time::max();
  bool drain_over_ = false;
  bool said_idle_ = false;
};

} // namespace sallyport::runtime
