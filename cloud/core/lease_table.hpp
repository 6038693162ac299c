// The lease table: who may work on what, and under which fence. PURE.
//
//   decide(command) const → what it comes to, and the facts that make it so      apply(fact) cannot fail
//
// Time, randomness and hashes are fields of the command; the sweep that expires things is a command like any other. Owned by the shard;
// one thread. After a crash it is rebuilt from the records that collect() handed to the store.
#pragma once

#include "cloud/core/enqueue_pace.hpp"
#include "cloud/core/facts.hpp"
#include "cloud/core/message_index.hpp"
#include "cloud/core/message_slab.hpp"
#include "cloud/store/port.hpp"
#include "protocol/probe.hpp"

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include <deque>
#include <functional>
#include <unordered_map>

namespace sallyport::cloud {

/// What every decision may look at besides the table.
struct context {
  const group_scope& scope;
  instant now;
  std::uint64_t entropy = 0;
};

template <class Reply>
struct decision {
  result<Reply> verdict;
  std::vector<any_fact> facts;
};

struct table_settings {
  milliseconds session_ttl{10'000};
  wire::queue_policy policy;
  std::uint32_t claim_messages = 1024;
  std::uint64_t payload_cache_bytes = 64 << 20;
};

/// What one claim may take: the slots in the order of granting.
struct selection {
  std::vector<slot> messages;
  bool suspects = false;
};

class lease_table {
public:
  explicit lease_table(table_settings settings);
  lease_table(const lease_table&) = delete; // Its indexes point into it.
  lease_table& operator=(const lease_table&) = delete;

  void begin_epoch(epoch_number epoch) { epoch_ = epoch; }
  [[nodiscard]] epoch_number epoch() const { return epoch_; }
  [[nodiscard]] bool restore(std::string_view key, std::string_view value);
  /// Rebuilds what is derived from the restored rows. Sessions get a full ttl from now.
  void restored(instant now);

  // -- decisions, one for each thing that can be asked
  [[nodiscard]] decision<wire::enqueue_reply> decide(const ask::enqueue& what, const context& c) const;
  [[nodiscard]] decision<message_id> decide(const ask::call& what, const context& c) const;
  [[nodiscard]] decision<wire::session_opened> decide(const ask::open& what, const context& c) const;
  [[nodiscard]] decision<wire::heartbeat_reply> decide(const ask::beat& what, const context& c) const;
  [[nodiscard]] decision<wire::session_closed> decide(const ask::close& what, const context& c) const;
  [[nodiscard]] decision<wire::extend_reply> decide(const ask::extend& what, const context& c) const;
  [[nodiscard]] decision<wire::cancel_reply> decide(const ask::cancel& what, const context& c) const;
  [[nodiscard]] decision<wire::count_reply> decide(const ask::bury& what, const context& c) const;
  [[nodiscard]] decision<wire::count_reply> decide(const ask::redrive& what, const context& c) const;
  [[nodiscard]] decision<wire::count_reply> decide(const ask::purge& what, const context& c) const;
  [[nodiscard]] decision<bool> decide(const ask::configure& what, const context& c) const; // True: created.

  /// Settlements are decided one by one, each applied before the next: an item may change what a later one of the same request meets.
  /// The settler is known by its session or, when that is forgotten, by its agent id.
  [[nodiscard]] result<agent_index> settler(const ask::settle& what, const context& c) const;
  [[nodiscard]] decision<wire::verdict> decide(const wire::settlement& what, agent_index by, const context& c) const;
  [[nodiscard]] fact::touched heard_from(agent_index a, instant now) const { return {a, deadline(now)}; }

  /// A claim is admitted first (session, lane, seq: errors, or the same grants again) and served when there is something for it.
  struct admitted {
    agent_index agent = nowhere;
    bool repeated = false;          // The seq was answered before with grants:
    std::vector<wire::grant> again; // these are still the latest.
  };
  [[nodiscard]] decision<admitted> admit(const ask::claim& what, const context& c) const;
  /// What the claim would get now; empty when nothing.
  [[nodiscard]] selection select(agent_index agent, const wire::claim& claim, instant now) const;
  [[nodiscard]] fact::granted grant(agent_index agent, const wire::claim& claim, const selection& chosen, instant now) const;
  [[nodiscard]] std::vector<wire::grant> granted(const selection& chosen) const;

  /// What time alone brings about, at most `limit` facts of one stage. Each stage is applied before the next is decided.
  enum class stage : std::uint8_t { sessions, due, expiries, holds, targets, retention };
  static constexpr stage stages[] = {stage::sessions, stage::due,     stage::expiries,
                                     stage::holds,    stage::targets, stage::retention};
  [[nodiscard]] std::vector<any_fact> sweep(stage what, const context& c, std::size_t limit) const;
  /// Ends a message that waits although its time is up. Nothing for others.
  [[nodiscard]] std::vector<any_fact> expire(message_id message, const context& c) const;
  /// When the sweep has something to do next; mono_time::max() for nothing.
  [[nodiscard]] mono_time next_sweep(instant now) const;

  // -- views
  [[nodiscard]] error why_not_live(session_id session) const;
  [[nodiscard]] result<message_answer> view(const ask::view_message& what, const context& c) const;
  [[nodiscard]] result<wire::groups_reply> view(const ask::view_groups& what, const context& c) const;
  [[nodiscard]] result<wire::connection_view> view(const ask::view_connection& what, const context& c) const;
  [[nodiscard]] result<page_answer> view(const ask::list& what, const context& c) const;
  [[nodiscard]] bool is_reachable(const group_name& group, const connection_name& connection) const;
  struct final_call {
    bool final = false;
    message_state state{};
    bool failed = false;
    bool maybe_started = false;
    bool result_is_content = false;
    std::string word; // "expired", "cancelled", ...
    std::string error, result;
  };
  [[nodiscard]] final_call call_state(message_id message) const;
  /// Somebody waits for this message's end: take_finished_calls() will tell it. Returns when its time is up; never for a plain message.
  mono_time await(message_id message, instant now);
  [[nodiscard]] const agent_info* agent(agent_index index) const { return index < agents_.size() ? &agents_[index] : nullptr; }
  [[nodiscard]] std::uint64_t live_messages() const { return live_; }
  [[nodiscard]] std::uint64_t retained_messages() const { return retained_; }
  [[nodiscard]] std::uint64_t live_sessions() const { return live_sessions_; }
  [[nodiscard]] bool has_work(queue_index queue) const;
  /// nowhere: there is no such connection.
  [[nodiscard]] queue_index find(const group_name& group, const connection_name& name) const;
  [[nodiscard]] enqueue_pace::load load_of(queue_index queue) const;

  // -- changes
  void apply(any_fact f);
  void apply(std::vector<any_fact> facts);
  /// Every session gets a full ttl: the hub itself was away.
  void renew_sessions(instant now);
  /// Tidies the timers of sessions that were heard from. To be called after the sweep.
  void prune(instant now);
  [[nodiscard]] bool is_dirty() const { return dirty_ > 0; }
  /// What has changed since the last call.
  [[nodiscard]] batch collect();
  /// Queues that may have something to grant since the last call; calls that became final; sessions that ended.
  [[nodiscard]] std::vector<queue_index> take_woken();
  [[nodiscard]] std::vector<message_id> take_finished_calls() { return std::exchange(finished_calls_, {}); }
  [[nodiscard]] std::vector<agent_index> take_ended() { return std::exchange(ended_now_, {}); }
  [[nodiscard]] const queue_info& queue(queue_index q) const { return queues_[q]; }

  struct totals {
    std::uint64_t enqueued = 0, granted = 0, settled = 0, failed = 0, lost = 0, dead = 0, expired = 0, cancelled = 0;
    std::uint64_t stale_settles = 0, burnt_settles = 0, sessions_opened = 0, sessions_expired = 0;
  };
  [[nodiscard]] const totals& counted() const { return totals_; }

private:
  struct name_ref { // A dedup key to look up.
    queue_index queue;
    std::string_view source, id;
  };
  struct name_hash {
    using is_transparent = void;
    const message_slab* messages;
    std::size_t operator()(slot s) const;
    std::size_t operator()(const name_ref& n) const;
  };
  struct name_equal {
    using is_transparent = void;
    const message_slab* messages;
    bool operator()(slot a, slot b) const { return a == b; }
    bool operator()(const name_ref& n, slot s) const;
    bool operator()(slot s, const name_ref& n) const { return (*this)(n, s); }
  };
  struct mint { // Hands out consecutive fences within one decision.
    const lease_table& table;
    std::uint64_t used = 0;
    fence_token operator()() { return {SALLYPORT_MUTANT(fence_restarts) ? 1 : table.epoch_.value, table.next_fence_ + used++}; }
  };
  struct live_agent {
    agent_index index = nowhere;
    std::optional<error> refused;
  };

  // Looking things up.
  [[nodiscard]] slot find(message_id id) const;
  [[nodiscard]] agent_index find(const group_name& group, const agent_name& name) const;
  [[nodiscard]] error no_such_connection(const group_name& group, const connection_name& name) const;
  [[nodiscard]] result<slot> visible(message_id id, const context& c) const;
  [[nodiscard]] result<queue_index> visible(const group_name& group, const connection_name& name) const;
  [[nodiscard]] live_agent live(session_id session, const context& c) const;
  [[nodiscard]] mono_time deadline(instant now) const { return now.mono + settings_.session_ttl; }

  // Parts of decisions.
  [[nodiscard]] static std::vector<std::string> problems(const wire::queue_policy& policy);
  [[nodiscard]] result<std::pair<message_id, bool>> place(std::vector<any_fact>& facts, queue_index q,
                                                          const wire::queue_policy& policy, const event_item& item, message_id id,
                                                          bool call, wall_time call_deadline, instant now) const;
  [[nodiscard]] fact::finished expiry(slot s, wall_time at, fence_token minted) const;
  [[nodiscard]] std::optional<error> too_many(queue_index q, const wire::queue_policy& policy, std::uint64_t added,
                                              const connection_name& name) const;
  void accept(std::vector<any_fact>& facts, slot s, const wire::settlement& how, const context& c, mint& next) const;
  void accept_failure(std::vector<any_fact>& facts, slot s, const wire::settlement& how, const context& c, mint& next) const;
  void take_run(std::vector<any_fact>& facts, slot s, wall_time at, mint& next) const;
  void lose(std::vector<any_fact>& facts, agent_index a, wall_time at, const std::function<bool(slot)>& kept, mint& next) const;
  void give_back(std::vector<any_fact>& facts, agent_index a, note_kind why, wall_time at,
                 const std::function<bool(slot)>& kept) const;
  [[nodiscard]] bool is_granted(slot s, agent_index to, fence_token under) const;
  [[nodiscard]] bool can_rebind(agent_index a, const wire::held_grant& held) const;
  [[nodiscard]] std::vector<slot> rebindable(agent_index a, const std::vector<wire::held_grant>& held) const;
  [[nodiscard]] wire::verdict judge_old(slot s, fence_token fence, agent_index by) const;
  [[nodiscard]] milliseconds backoff(const wire::queue_policy& policy, std::uint32_t failures, std::uint64_t entropy) const;
  [[nodiscard]] wire::grant describe(slot s) const;
  [[nodiscard]] std::string_view state_word(const message& m) const;
  [[nodiscard]] wire::connection_view view_of(queue_index q, wall_time now) const;
  [[nodiscard]] std::uint64_t in_flight_room(const queue_info& q) const;

  // Applying.
  void on(fact::queue_made&& f);
  void on(fact::policy_set&& f);
  void on(fact::enqueued&& f);
  void on(fact::granted&& f);
  void on(fact::returned&& f);
  void on(fact::finished&& f);
  void on(fact::redriven&& f);
  void on(fact::session_opened&& f);
  void on(fact::session_ended&& f);
  void on(fact::rebound&& f);
  void on(fact::loss_forgiven&& f);
  void on(fact::losses_closed&& f);
  void on(fact::touched&& f);
  void on(fact::reach_changed&& f);
  void on(fact::list_asked&& f);
  void on(fact::notices_told&& f);
  void on(fact::lane_confirmed&& f);
  void on(fact::extended&& f);
  void on(fact::noted&& f);
  void on(fact::came_due&& f);
  void on(fact::target_failed&& f);
  void on(fact::target_tried&& f);
  void on(fact::forgotten&& f);

  void push_back(chain& c, slot s);
  void insert_by_id(chain& c, slot s);
  void unlink(chain& c, slot s);
  void wait(slot s); // Into the waiting structures, as its due time, key and losses say.
  void stop_waiting(slot s);
  void offer(slot s);
  void withdraw(slot s);
  void refresh_lane(queue_info& q, std::uint64_t key);
  void keep_lane(const lease_info& lease);
  void end_grant(slot s); // Out of its holder's hands.
  [[nodiscard]] static milliseconds hold_limit(const wire::queue_policy& policy);
  void burn(message& m, fence_token minted);
  void remember(message& m, note n);
  void remember_grant(message& m); // The grant that is about to end, as a note.
  lease_info& lease_of(message& m);
  void wake(queue_index q);
  void touch(slot s);
  void record(slot s); // Like touch, at once: whoever closes the append has less to do.
  void touch_queue(queue_index q);
  void touch_agent(agent_index a);
  void used_fence(fence_token f);
  [[nodiscard]] wire::shared_bytes cached(slot s) const;
  void cache(slot s, wire::shared_bytes event);
  void uncache(slot s);
  slot new_slot();
  void settle_target(queue_info& q, slot s, bool proved_alive);
  void schedule(agent_index a);
  void schedule_hold(agent_index a, mono_time until);
  void schedule_retention(queue_index q);
  void choose_suspect_host(queue_index q);
  void release_suspect_host(agent_index a);

  table_settings settings_;
  epoch_number epoch_;
  std::uint64_t next_fence_ = 1, next_message_ = 1, next_session_ = 1;

  message_slab messages_;
  std::vector<slot> free_;
  message_index by_id_;
  // Holds slots only, and looks into messages_ for what it compares: five bytes a message instead of the name's.
  boost::unordered_flat_set<slot, name_hash, name_equal> by_name_;
  boost::unordered_flat_map<slot, wire::shared_bytes> events_; // Of some: as many as settings allow. Others are fetched.
  std::deque<queue_info> queues_;
  std::unordered_map<std::string, queue_index> queue_by_name_; // "group/connection"
  std::deque<agent_info> agents_;
  std::unordered_map<std::string, agent_index> agent_by_name_; // "group/agent"
  std::unordered_map<session_id, agent_index> sessions_;       // Live and lately ended ones.
  std::deque<session_id> ended_sessions_;                      // Lately ended, oldest first; bounded.

  std::set<std::pair<wall_time, slot>> due_;
  std::set<std::pair<wall_time, slot>> expiries_;
  std::set<std::pair<mono_time, agent_index>> session_ends_;   // Lazy: an entry may be early.
  std::set<std::pair<mono_time, agent_index>> hold_ends_;      // The same.
  std::set<std::pair<wall_time, queue_index>> retention_ends_; // Exact.
  std::set<queue_index> open_targets_;
  std::uint64_t live_ = 0, retained_ = 0, live_sessions_ = 0, cached_bytes_ = 0;

  std::vector<slot> dirty_messages_;
  std::vector<queue_index> dirty_queues_;
  std::vector<agent_index> dirty_agents_;
  batch changes_; // Of content, and rows that hardly ever change again or go: since the last collect().
  std::size_t dirty_ = 0;

  std::vector<queue_index> woken_;
  std::vector<message_id> finished_calls_;
  std::vector<agent_index> ended_now_;
  totals totals_;
};

/// FNV-1a with a final mix: for partition keys and lane order. Never 0.
[[nodiscard]] std::uint64_t hash_key(std::string_view text);

} // namespace sallyport::cloud
