#include "cloud/core/shard.hpp"

#include "cloud/core/enqueue_pace.hpp"
#include "cloud/core/lease_table.hpp"
#include "protocol/probe.hpp"

#include <algorithm>
#include <list>
#include <map>
#include <unordered_map>

namespace sallyport::cloud {

namespace {

constexpr std::size_t sweep_limit = 4096; // Facts of one stage in one tick: a long list must not hold up what arrives.
constexpr std::chrono::hours epoch_ahead_max{24 * 366};
constexpr unsigned busy_retry_s = 1; // Retry-After where there is no better guess.

error refusal(errc code, std::string detail, unsigned retry_after_s = busy_retry_s) {
  return {code, std::move(detail), std::nullopt, retry_after_s};
}

} // namespace

struct shard::body {
  explicit body(shard_settings s)
    : settings(std::move(s)),
      table({settings.session_ttl, settings.policy, settings.claim_messages, settings.payload_cache_bytes}) {}

  // A claim that waits for something to claim.
  struct parked_claim {
    ticket from;
    agent_index agent;
    session_id session;
    wire::claim claim;
    mono_time until;
  };
  // A call that waits for its result.
  struct waiting_call {
    message_id message;
    mono_time until;    // Then 202,
    mono_time deadline; // or 504 when this comes first.
  };
  using held_answer = enqueue_pace::held_answer;

  shard_settings settings;
  lease_table table;
  std::uint64_t tail = 0;      // Of the store, after the last durable append.
  std::uint64_t gathering = 1; // Position of the batch that gathers.
  std::uint64_t durable = 0;   // Highest durable position. At most one append is under way: gathering - 1.
  bool appending = false;
  bool broken = false; // Memory is ahead of the disk: nothing is decided until a new life begins.
  bool filling = true;
  bool draining = false;
  bool room = true;
  std::string no_room_why;
  instant last{}; // The latest time anybody has told.
  mono_time last_tick{};
  shard_counters counted;

  std::vector<duty_item> duties;
  std::deque<held_answer> held; // Until their positions are durable.
  enqueue_pace pace;
  std::uint64_t paced_at = 0; // How many were granted and settled when it was last asked for answers.
  std::unordered_map<std::string, std::list<parked_claim>> parked; // By group, oldest first.
  std::map<std::uint64_t, std::pair<std::string, std::list<parked_claim>::iterator>> parked_by_ticket;
  std::map<std::pair<agent_index, lane_id>, std::uint64_t> parked_by_lane; // A lane asks one thing at a time.
  std::set<std::pair<mono_time, std::uint64_t>> timeouts;                  // Of parked claims and waiting calls, by ticket.
  std::map<std::uint64_t, waiting_call> calls;                             // By ticket.
  std::multimap<message_id, std::uint64_t> calls_by_message;

  // ---- answers
  void answer_to(ticket to, answer what) {
    // What was decided now is durable when everything that has changed so far is.
    const auto position = decided_at();
    if (position <= durable || SALLYPORT_MUTANT(answer_before_durable))
      duties.emplace_back(duty::reply{to, std::move(what)});
    else
      held.push_back({position, to, std::move(what)});
  }
  [[nodiscard]] std::uint64_t decided_at() const { return table.is_dirty() ? gathering : gathering - 1; }
  void release_durable() {
    while (!held.empty() && held.front().position <= durable) {
      duties.emplace_back(duty::reply{held.front().to, std::move(held.front().what)});
      held.pop_front();
    }
  }
  template <class Reply>
  void conclude(ticket to, decision<Reply>&& d) {
    table.apply(std::move(d.facts));
    if (d.verdict)
      answer_to(to, std::move(*std::move(d.verdict)));
    else
      answer_to(to, std::move(d.verdict).err());
  }
  template <class Reply>
  void conclude(ticket to, result<Reply>&& r) {
    if (r)
      answer_to(to, std::move(*std::move(r)));
    else
      answer_to(to, std::move(r).err());
  }

  // ---- commands
  /// Only what would store something is refused: a repetition gets its first answer also when the store is full.
  template <class Reply>
  bool is_refused(ticket from, const decision<Reply>& d) {
    if (room || !d.verdict || d.facts.empty())
      return false;
    answer_to(from, refusal(errc::store_full, no_room_why, 5));
    return true;
  }
  void on(ticket from, const ask::enqueue& what, const context& c) {
    auto d = table.decide(what, c);
    if (is_refused(from, d))
      return;
    if (d.verdict)
      for (auto& item : d.verdict->messages)
        counted.duplicates += item.duplicate;
    if (!d.verdict || d.facts.empty() || !may_be_paced(what))
      return conclude(from, std::move(d));
    table.apply(std::move(d.facts));
    pace_answer(from, what, std::move(*std::move(d.verdict)), c.now);
  }
  /// A first look, which costs nothing: whether the queue may be longer than it should be.
  [[nodiscard]] bool may_be_paced(const ask::enqueue& what) const {
    return !draining && settings.pace_messages > 0 && table.live_messages() > what.items.size();
  }
  void pace_answer(ticket to, const ask::enqueue& what, wire::enqueue_reply reply, instant now) {
    enqueue_pace::delivery d{table.find(what.group, what.connection), what.items.size()};
    SALLYPORT_ASSERT(d.queue != nowhere);
    for (auto& item : what.items)
      d.bytes += item.bytes->size();
    // Half of what is in memory at most, to grant what is not costs a read; but of great events a few all the same.
    const auto in_memory = settings.payload_cache_bytes / 2 / std::max<std::uint64_t>(1, d.bytes / d.messages);
    d.limit = std::min<std::uint64_t>(settings.pace_messages, std::max<std::uint64_t>(in_memory, 64));
    if (!pace.advises(d, table.load_of(d.queue), now.mono))
      return answer_to(to, std::move(reply));
    pace.hold({decided_at(), to, std::move(reply)}, d, now.mono);
  }
  /// Answers that were held for the sake of a short queue.
  void answer_paced(mono_time now) {
    const auto moved = table.counted().granted + table.counted().settled;
    if (pace.empty() || (std::exchange(paced_at, moved) == moved && now < pace.next_wake()))
      return;
    answer_again(pace.take(now, [this](queue_index q) { return table.load_of(q); }));
  }
  /// Decided before: their position may be durable by now, and is not above that of anything that is held after them.
  void answer_again(std::vector<held_answer> given) {
    for (auto& g : given)
      if (g.position <= durable)
        duties.emplace_back(duty::reply{g.to, std::move(g.what)});
      else
        held.insert(std::find_if(held.begin(), held.end(), [&](auto& h) { return h.position > g.position; }), std::move(g));
  }
  void on(ticket from, const ask::call& what, const context& c) {
    if (calls.size() + parked_by_ticket.size() >= settings.parked_max)
      return answer_to(from, refusal(errc::too_many_requests, "as many claims and calls wait as the hub allows"));
    auto d = table.decide(what, c);
    if (is_refused(from, d))
      return;
    table.apply(std::move(d.facts));
    if (!d.verdict)
      return answer_to(from, std::move(d.verdict).err());
    if (answer_call(from, *d.verdict))
      return;
    // The deadline is the message's own: one who asks again, or with less patience, does not shorten it for the others.
    waiting_call w{*d.verdict, c.now.mono + what.wait, table.await(*d.verdict, c.now)};
    if (what.wait.count() == 0)
      return answer_to(from, call_pending{w.message});
    timeouts.emplace(std::min(w.until, w.deadline), from.value);
    calls_by_message.emplace(w.message, from.value);
    calls.emplace(from.value, w);
  }
  void on(ticket from, const ask::bury& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::open& what, const context& c) {
    if (what.body.highest_epoch > table.epoch() && c.scope.covers(what.body.group)) {
      // Epochs are wall-clock milliseconds or little above: a number far in the future would use up the fences for good.
      const auto latest = static_cast<std::uint64_t>((c.now.wall.time_since_epoch() + epoch_ahead_max).count());
      if (what.body.highest_epoch.value > latest)
        return answer_to(
          from, error{errc::invalid_request,
                      "highest_epoch " + std::to_string(what.body.highest_epoch.value) + " is no epoch that a hub can have had",
                      {},
                      {}});
      // An agent has seen a later life of this hub: the store was restored from a backup. Go on above what it has seen.
      const auto why = "agent \"" + what.body.agent.value + "\" has seen epoch " + std::to_string(what.body.highest_epoch.value)
                       + ", this store is at " + std::to_string(table.epoch().value)
                       + ": it was restored from a backup; what was decided since is not known here";
      duties.emplace_back(duty::alarm{why});
      reopen({what.body.highest_epoch.value + 1}, why);
      answer_now(from, refusal(errc::not_ready, "the hub goes on in a higher epoch; open again"));
      return;
    }
    conclude(from, table.decide(what, c));
  }
  void on(ticket from, const ask::beat& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::close& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::extend& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::cancel& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::redrive& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::purge& what, const context& c) { conclude(from, table.decide(what, c)); }
  void on(ticket from, const ask::view_message& what, const context& c) { conclude(from, table.view(what, c)); }
  void on(ticket from, const ask::view_connection& what, const context& c) { conclude(from, table.view(what, c)); }
  void on(ticket from, const ask::list& what, const context& c) { conclude(from, table.view(what, c)); }
  void on(ticket from, const ask::view_groups& what, const context& c) {
    auto v = table.view(what, c);
    if (v && what.group)
      return answer_to(from, std::move(v->groups.front()));
    conclude(from, std::move(v));
  }
  void on(ticket from, const ask::configure& what, const context& c) {
    auto d = table.decide(what, c);
    table.apply(std::move(d.facts));
    if (!d.verdict)
      return answer_to(from, std::move(d.verdict).err());
    auto view = table.view(ask::view_connection{what.group, what.connection}, c);
    SALLYPORT_ASSERT(view.ok());
    answer_to(from, configured{std::move(*view), *d.verdict});
  }
  void on(ticket from, const ask::settle& what, const context& c) {
    const auto who = table.settler(what, c);
    if (!who)
      return answer_to(from, who.err());
    if (auto* a = table.agent(*who); a && a->live && a->session == what.session)
      table.apply(table.heard_from(*who, c.now));
    wire::settle_reply reply;
    reply.items.reserve(what.body.items.size());
    for (auto& item : what.body.items) {
      auto d = table.decide(item, *who, c);
      table.apply(std::move(d.facts));
      reply.items.push_back(std::move(*d.verdict));
    }
    answer_to(from, std::move(reply));
  }
  void on(ticket from, const ask::claim& what, const context& c) {
    auto d = table.admit(what, c);
    table.apply(std::move(d.facts));
    if (!d.verdict)
      return answer_to(from, std::move(d.verdict).err());
    supersede(d.verdict->agent, what.body.lane);
    if (d.verdict->repeated)
      return answer_to(from, wire::claim_reply{std::move(d.verdict->again)});
    parked_claim p{from, d.verdict->agent, what.session, what.body, c.now.mono + what.body.wait};
    if (serve(p, c.now))
      return;
    if (p.claim.wait.count() == 0 || draining)
      return answer_to(from, wire::claim_reply{});
    if (calls.size() + parked_by_ticket.size() >= settings.parked_max)
      return answer_to(from, refusal(errc::too_many_requests, "as many claims and calls wait as the hub allows"));
    auto& group = table.agent(p.agent)->group.value;
    auto& waiting = parked[group];
    timeouts.emplace(p.until, from.value);
    parked_by_lane.emplace(std::pair{p.agent, p.claim.lane}, from.value);
    waiting.push_back(std::move(p));
    parked_by_ticket.emplace(from.value, std::pair{group, std::prev(waiting.end())});
  }

  // ---- claims
  bool serve(const parked_claim& p, instant now) {
    auto chosen = table.select(p.agent, p.claim, now);
    if (chosen.messages.empty())
      return false;
    table.apply(table.grant(p.agent, p.claim, chosen, now));
    answer_to(p.from, wire::claim_reply{table.granted(chosen)});
    return true;
  }
  void unpark(std::uint64_t from) {
    auto found = parked_by_ticket.find(from);
    SALLYPORT_ASSERT(found != parked_by_ticket.end());
    const auto claim = found->second.second;
    timeouts.erase({claim->until, from});
    parked_by_lane.erase({claim->agent, claim->claim.lane});
    parked[found->second.first].erase(claim);
    parked_by_ticket.erase(found);
  }
  /// What the lane asked before is answered with nothing.
  void supersede(agent_index agent, const lane_id& lane) {
    const auto before = parked_by_lane.find({agent, lane});
    if (before == parked_by_lane.end())
      return;
    SALLYPORT_MARK(claim_superseded);
    const ticket from{before->second};
    unpark(from.value);
    answer_to(from, wire::claim_reply{});
  }
  void match(instant now) {
    for (auto woken = table.take_woken(); !woken.empty(); woken = table.take_woken())
      for (auto queue : woken) {
        auto group = parked.find(table.queue(queue).group.value);
        if (group == parked.end())
          continue;
        for (auto p = group->second.begin(); p != group->second.end() && table.has_work(queue);) {
          auto next = std::next(p);
          if (serve(*p, now))
            unpark(p->from.value);
          p = next;
        }
      }
  }
  void end_sessions() {
    for (auto a : table.take_ended()) {
      std::vector<std::uint64_t> waiting;
      for (auto p = parked_by_lane.lower_bound({a, {}}); p != parked_by_lane.end() && p->first.first == a; ++p)
        waiting.push_back(p->second);
      std::sort(waiting.begin(), waiting.end()); // In the order of asking.
      for (const auto from : waiting) {
        answer_to({from}, table.why_not_live(parked_by_ticket.at(from).second->session));
        unpark(from);
      }
    }
  }

  // ---- calls
  /// Answers a call whose message has ended. False: it goes on.
  bool answer_call(ticket to, message_id message) {
    const auto state = table.call_state(message);
    if (!state.final)
      return false;
    if (state.result_is_content) // Of a plain message, settled before anybody called for it.
      answer_to(to, call_answer{{message, {}}});
    else if (state.state == message_state::settled && !state.failed)
      answer_to(to, wire::call_reply{message, state.result});
    else if (state.state == message_state::settled || state.state == message_state::dead)
      answer_to(to, error{errc::adapter_failed, "message " + to_string(message) + ": " + state.error, {}, {}});
    else if (state.maybe_started && !SALLYPORT_MUTANT(not_started_after_grant)) {
      SALLYPORT_MARK(call_unknown);
      answer_to(to, error{errc::call_outcome_unknown,
                          "message " + to_string(message) + " was " + state.word + ", after it may have been begun",
                          {},
                          {}});
    } else {
      SALLYPORT_MARK(call_not_started);
      answer_to(
        to, error{errc::call_not_started, "message " + to_string(message) + " was " + state.word + " and never begun", {}, {}});
    }
    return true;
  }
  void drop_call(std::map<std::uint64_t, waiting_call>::iterator call) {
    timeouts.erase({std::min(call->second.until, call->second.deadline), call->first});
    auto [from, to] = calls_by_message.equal_range(call->second.message);
    for (; from != to; ++from)
      if (from->second == call->first) {
        calls_by_message.erase(from);
        break;
      }
    calls.erase(call);
  }
  void end_calls() {
    for (auto message : table.take_finished_calls())
      for (auto it = calls_by_message.find(message); it != calls_by_message.end(); it = calls_by_message.find(message)) {
        const auto from = it->second;
        drop_call(calls.find(from));
        answer_call({from}, message);
      }
  }
  void time_out(const context& c) {
    const auto now = c.now;
    while (!timeouts.empty() && timeouts.begin()->first <= now.mono) {
      const auto from = timeouts.begin()->second;
      if (parked_by_ticket.count(from) != 0) {
        unpark(from);
        answer_to({from}, wire::claim_reply{});
        continue;
      }
      auto call = calls.find(from);
      SALLYPORT_ASSERT(call != calls.end());
      const auto message = call->second.message;
      const bool waits_on = call->second.until < call->second.deadline;
      drop_call(call);
      if (waits_on) {
        answer_to({from}, call_pending{message});
        continue;
      }
      // Its own deadline has passed. What no agent has is ended now, also when the wall clock is a little behind and the sweep has left
      // it; else an agent has it, and nobody knows what it has done.
      table.apply(table.expire(message, c));
      if (!answer_call({from}, message))
        answer_to({from}, error{errc::call_outcome_unknown,
                                "message " + to_string(message) + " may have been carried out; ask for it again",
                                {},
                                {}});
    }
  }

  /// What follows from every change: queues served, sessions and calls ended.
  void settle_down(instant now) {
    end_sessions();
    end_calls();
    match(now);
    answer_paced(now.mono);
  }

  // ---- life and death
  /// Not held back: nothing was decided that could be lost.
  void answer_now(ticket to, error e) { duties.emplace_back(duty::reply{to, std::move(e)}); }

  void reopen(epoch_number at_least, std::string why) {
    // Keyed by epoch: nobody who waited in this one may be answered by a position of the next.
    broken = true;
    const auto lost = refusal(errc::outcome_unknown, "the hub could not make it durable; ask again with the same key");
    answer_again(pace.take_all()); // What is durable is given its answer, the rest is lost with the others.
    if (!SALLYPORT_MUTANT(waiters_survive_reopen)) {
      for (auto& h : held)
        answer_now(h.to, lost);
      held.clear();
    }
    for (auto& [from, where] : parked_by_ticket)
      answer_now({from}, lost);
    for (auto& [from, call] : calls)
      answer_now({from}, lost);
    parked.clear(), parked_by_ticket.clear(), parked_by_lane.clear(), timeouts.clear(), calls.clear(), calls_by_message.clear();
    duties.emplace_back(duty::reopen{at_least, std::move(why)});
  }
};

shard::shard(shard_settings settings) : body_(std::make_unique<body>(std::move(settings))) {}
shard::~shard() = default;
shard::shard(shard&&) noexcept = default;
shard& shard::operator=(shard&&) noexcept = default;

void shard::reopened(opened_store store) {
  auto& b = *body_;
  // A new life with the same settings; what people count goes on.
  auto fresh = std::make_unique<body>(b.settings);
  fresh->table.begin_epoch(store.epoch);
  fresh->tail = store.tail;
  fresh->counted = counters();
  fresh->draining = b.draining, fresh->room = b.room, fresh->no_room_why = b.no_room_why;
  fresh->duties = std::move(b.duties);
  if (SALLYPORT_MUTANT(waiters_survive_reopen))
    fresh->held = std::move(b.held);
  body_ = std::move(fresh);
}

bool shard::restore(std::string_view key, std::string_view value) {
  SALLYPORT_ASSERT(body_->filling);
  return body_->table.restore(key, value);
}

void shard::started(instant now) {
  auto& b = *body_;
  b.table.restored(now);
  b.filling = false;
  b.last = now, b.last_tick = now.mono;
}

void shard::submit(ticket from, command what, instant now) {
  auto& b = *body_;
  if (b.broken || b.filling)
    return b.answer_now(from, refusal(errc::not_ready, "the hub is reading its store"));
  if (b.draining)
    return b.answer_now(from, refusal(errc::shutting_down, "the hub is stopping"));
  b.last = now;
  const context c{what.scope, now, what.entropy};
  std::visit([&](auto& one) { b.on(from, one, c); }, what.what);
  if (!b.broken)
    b.settle_down(now);
}

void shard::forget(ticket from) {
  auto& b = *body_;
  if (b.parked_by_ticket.count(from.value) != 0)
    return b.unpark(from.value);
  if (auto call = b.calls.find(from.value); call != b.calls.end())
    return b.drop_call(call);
  // Decided already: the claim's seq, the event's id or the fence is the key to ask again with.
  std::erase_if(b.held, [&](auto& h) { return h.to == from; });
  b.pace.forget(from);
}

void shard::tick(instant now) {
  auto& b = *body_;
  if (b.broken || b.filling)
    return;
  // A hub that was itself away cannot tell who else was: everybody gets a full ttl.
  if (now.mono - b.last_tick > b.settings.session_ttl / 3 && !SALLYPORT_MUTANT(pause_expires_sessions)) {
    SALLYPORT_MARK(sessions_renewed);
    b.table.renew_sessions(now);
  }
  b.last = now, b.last_tick = now.mono;
  const group_scope everything{true, {}};
  const context c{everything, now, static_cast<std::uint64_t>(now.mono.time_since_epoch().count())};
  for (auto stage : lease_table::stages) {
    b.table.apply(b.table.sweep(stage, c, sweep_limit));
    b.end_calls();
  }
  b.table.prune(now);
  b.settle_down(now);
  b.time_out(c);
}

mono_time shard::next_wake() const {
  auto& b = *body_;
  // Often enough that a gap means the hub was away, not that it slept.
  auto wake = std::min(b.last_tick + b.settings.session_ttl / 4, b.table.next_sweep(b.last));
  if (!b.timeouts.empty())
    wake = std::min(wake, b.timeouts.begin()->first);
  wake = std::min(wake, b.pace.next_wake());
  return wake;
}

void shard::appended(const append_outcome& outcome, instant now) {
  auto& b = *body_;
  b.last = now;
  SALLYPORT_ASSERT(b.appending || b.broken);
  b.appending = false;
  if (b.broken)
    return; // Its waiters have been told.
  switch (outcome.status) {
    case append_status::durable:
      b.tail = outcome.tail;
      b.durable = b.gathering - 1;
      return b.release_durable();
    case append_status::fenced:
      ++b.counted.append_failures;
      b.reopen({}, "another owner has opened the store");
      b.duties.emplace_back(duty::stop{"another hub has taken the store over: " + outcome.detail});
      return;
    case append_status::full:
    case append_status::failed:
    case append_status::unknown:
      if (outcome.status == append_status::unknown)
        SALLYPORT_MARK(append_unknown);
      else
        SALLYPORT_MARK(append_failed);
      ++b.counted.append_failures;
      b.duties.emplace_back(duty::alarm{"an append failed: " + outcome.detail});
      b.reopen({}, "an append failed: " + outcome.detail);
      if (outcome.sync_failed)
        b.duties.emplace_back(duty::stop{"a sync failed, so what the disk holds is not known: " + outcome.detail});
      return;
  }
}

void shard::set_room(bool room, std::string why) {
  body_->room = room;
  body_->no_room_why = std::move(why);
}

void shard::drain() {
  auto& b = *body_;
  b.draining = true;
  b.answer_again(b.pace.take_all());
  while (!b.parked_by_ticket.empty()) {
    const auto from = b.parked_by_ticket.begin()->first;
    b.unpark(from);
    b.answer_to({from}, wire::claim_reply{});
  }
  while (!b.calls.empty()) {
    const auto from = b.calls.begin()->first;
    const auto message = b.calls.begin()->second.message;
    b.drop_call(b.calls.begin());
    b.answer_to({from}, call_pending{message});
  }
}

std::vector<duty_item> shard::take_duties() {
  auto& b = *body_;
  if (!b.appending && !b.broken && !b.filling && b.table.is_dirty()) {
    auto changes = b.table.collect();
    b.appending = true;
    ++b.gathering;
    ++b.counted.appends;
    b.duties.emplace_back(duty::append{b.table.epoch(), b.tail, std::move(changes)});
  }
  return std::exchange(b.duties, {});
}

shard_counters shard::counters() const {
  auto& b = *body_;
  auto c = b.counted;
  auto& t = b.table.counted();
  c.enqueued += t.enqueued, c.granted += t.granted, c.settled += t.settled, c.failed += t.failed, c.lost += t.lost;
  c.dead += t.dead, c.expired += t.expired, c.cancelled += t.cancelled;
  c.stale_settles += t.stale_settles, c.burnt_settles += t.burnt_settles;
  c.sessions_opened += t.sessions_opened, c.sessions_expired += t.sessions_expired;
  c.messages_live = b.table.live_messages(), c.messages_retained = b.table.retained_messages();
  c.sessions_live = b.table.live_sessions(), c.claims_parked = b.parked_by_ticket.size(), c.calls_waiting = b.calls.size();
  return c;
}

epoch_number shard::epoch() const {
  return body_->table.epoch();
}

} // namespace sallyport::cloud
