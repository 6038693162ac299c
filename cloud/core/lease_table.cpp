#include "cloud/core/lease_table.hpp"

#include "cloud/core/content_keys.hpp"
#include "cloud/core/rows.hpp"
#include "protocol/probe.hpp"

#define XXH_INLINE_ALL // The whole of it is in the header: nothing to link.
#include <xxhash.h>

#include <algorithm>

namespace sallyport::cloud {

std::uint64_t hash_key(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (unsigned char c : text)
    h = (h ^ c) * 0x100000001b3u;
  h ^= h >> 32, h *= 0xd6e8feb86659fd93u, h ^= h >> 32;
  return h == 0 ? 1 : h;
}

const lease_story& lease_info::story() const {
  static const lease_story none;
  return told_ ? *told_ : none;
}

message_name::message_name(std::string_view source, std::string_view id)
  : text(new char[source.size() + id.size()]), // Not make_unique, which would clear it first.
    source_bytes(static_cast<std::uint16_t>(source.size())),
    id_bytes(static_cast<std::uint16_t>(id.size())),
    hash(hash_of(source, id)) {
  SALLYPORT_ASSERT(source.size() <= bytes_max);
  SALLYPORT_ASSERT(id.size() <= bytes_max);
  std::copy(id.begin(), id.end(), std::copy(source.begin(), source.end(), text.get()));
}

const agent_connection* agent_info::find(queue_index queue) const {
  for (auto& c : connections)
    if (c.queue == queue)
      return &c;
  return nullptr;
}

// ---- names -----------------------------------------------------------------------------------------------------------------

std::uint32_t message_name::hash_of(std::string_view source, std::string_view id) {
  return static_cast<std::uint32_t>(XXH3_64bits(source.data(), source.size()) * 31 + XXH3_64bits(id.data(), id.size()));
}

namespace {

std::size_t hash_in(queue_index queue, std::uint32_t name) {
  return name + queue * 0x9e3779b97f4a7c15u;
}

} // namespace

std::size_t lease_table::name_hash::operator()(slot s) const {
  auto& m = (*messages)[s];
  return hash_in(m.queue, m.name.hash);
}
std::size_t lease_table::name_hash::operator()(const name_ref& n) const {
  return hash_in(n.queue, message_name::hash_of(n.source, n.id));
}
bool lease_table::name_equal::operator()(const name_ref& n, slot s) const {
  auto& m = (*messages)[s];
  return m.queue == n.queue && m.event_id() == n.id && m.source() == n.source;
}

lease_table::lease_table(table_settings settings)
  : settings_(std::move(settings)),
    by_name_(0, name_hash{&messages_}, name_equal{&messages_}) {}

slot lease_table::find(message_id id) const {
  return by_id_.find(id);
}
queue_index lease_table::find(const group_name& group, const connection_name& name) const {
  auto found = queue_by_name_.find(group.value + "/" + name.value);
  return found == queue_by_name_.end() ? nowhere : found->second;
}
agent_index lease_table::find(const group_name& group, const agent_name& name) const {
  auto found = agent_by_name_.find(group.value + "/" + name.value);
  return found == agent_by_name_.end() ? nowhere : found->second;
}

// ---- chains ----------------------------------------------------------------------------------------------------------------

void lease_table::push_back(chain& c, slot s) {
  auto& m = messages_[s];
  m.prev = c.tail, m.next = nowhere;
  (c.tail == nowhere ? c.head : messages_[c.tail].next) = s;
  c.tail = s;
  ++c.count;
}

void lease_table::insert_by_id(chain& c, slot s) {
  auto& m = messages_[s];
  if (c.tail == nowhere || messages_[c.tail].id < m.id)
    return push_back(c, s);
  // What comes back is older than nearly all that waits, so the walk from the head is short.
  slot after = c.head;
  while (messages_[after].id < m.id)
    after = messages_[after].next;
  m.next = after, m.prev = messages_[after].prev;
  (m.prev == nowhere ? c.head : messages_[m.prev].next) = s;
  messages_[after].prev = s;
  ++c.count;
}

void lease_table::unlink(chain& c, slot s) {
  auto& m = messages_[s];
  (m.prev == nowhere ? c.head : messages_[m.prev].next) = m.next;
  (m.next == nowhere ? c.tail : messages_[m.next].prev) = m.prev;
  m.prev = m.next = nowhere;
  SALLYPORT_ASSERT(c.count > 0);
  --c.count;
}

// ---- waiting ---------------------------------------------------------------------------------------------------------------

void lease_table::wake(queue_index q) {
  if (std::exchange(queues_[q].woken, true) == false)
    woken_.push_back(q);
}

std::vector<queue_index> lease_table::take_woken() {
  for (auto q : woken_)
    queues_[q].woken = false;
  return std::exchange(woken_, {});
}

void lease_table::offer(slot s) {
  auto& m = messages_[s];
  auto& q = queues_[m.queue];
  SALLYPORT_ASSERT(!m.offered);
  (m.is_suspect() ? q.suspects : q.early).emplace(m.id, s);
  m.offered = true;
  q.lane_offered += m.key != 0;
  if (m.is_suspect())
    choose_suspect_host(m.queue);
  wake(m.queue);
}

void lease_table::withdraw(slot s) {
  auto& m = messages_[s];
  auto& q = queues_[m.queue];
  SALLYPORT_ASSERT(m.offered);
  // Its losses may have changed since it was offered, so look in both.
  if (q.early.erase({m.id, s}) == 0)
    q.suspects.erase({m.id, s});
  m.offered = false;
  q.lane_offered -= m.key != 0;
}

void lease_table::refresh_lane(queue_info& q, std::uint64_t key) {
  auto found = q.lanes.find(key);
  if (found == q.lanes.end())
    return;
  auto& lane = found->second;
  const bool free = lane.held == 0 && lane.blocking == 0 && lane.waiting.head != nowhere && !messages_[lane.waiting.head].delayed;
  const slot offered = free ? lane.waiting.head : nowhere;
  if (lane.offered != offered) {
    if (lane.offered != nowhere)
      withdraw(lane.offered);
    lane.offered = offered;
    if (offered != nowhere)
      offer(offered);
  }
  if (lane.waiting.count == 0 && lane.held == 0 && lane.blocking == 0)
    q.lanes.erase(found);
}

void lease_table::wait(slot s) {
  auto& m = messages_[s];
  auto& q = queues_[m.queue];
  m.state = message_state::waiting;
  if (m.expires_at != never)
    expiries_.emplace(m.expires_at, s);
  if (m.delayed) {
    due_.emplace(m.due_at, s);
    ++q.delayed;
  }
  if (m.key != 0) {
    auto& waiting = q.lanes[m.key].waiting;
    SALLYPORT_MUTANT(retry_breaks_order) ? push_back(waiting, s) : insert_by_id(waiting, s);
    ++q.lane_waiting;
    q.lane_delayed += m.delayed;
    return refresh_lane(q, m.key);
  }
  if (m.delayed)
    return;
  const bool fresh = !m.lease && (q.fifo.tail == nowhere || messages_[q.fifo.tail].id < m.id);
  if (!fresh)
    return offer(s);
  push_back(q.fifo, s);
  wake(m.queue);
}

void lease_table::stop_waiting(slot s) {
  auto& m = messages_[s];
  auto& q = queues_[m.queue];
  SALLYPORT_ASSERT(m.state == message_state::waiting);
  if (m.expires_at != never)
    expiries_.erase({m.expires_at, s});
  const bool was_delayed = m.delayed;
  if (was_delayed) {
    due_.erase({m.due_at, s});
    --q.delayed;
    m.delayed = false;
  }
  if (m.key != 0) {
    auto& lane = q.lanes[m.key];
    if (lane.offered == s) {
      withdraw(s);
      lane.offered = nowhere;
    }
    unlink(lane.waiting, s);
    --q.lane_waiting;
    q.lane_delayed -= was_delayed;
    return; // The caller says what the lane holds now, then refreshes it.
  }
  if (was_delayed)
    return;
  if (m.offered)
    withdraw(s);
  else
    unlink(q.fifo, s);
}

// ---- grants ----------------------------------------------------------------------------------------------------------------

lease_info& lease_table::lease_of(message& m) {
  if (!m.lease)
    m.lease = std::make_unique<lease_info>();
  return *m.lease;
}

void lease_table::used_fence(fence_token f) {
  if (f.epoch == epoch_.value || SALLYPORT_MUTANT(fence_restarts))
    next_fence_ = std::max(next_fence_, f.counter + 1);
}

milliseconds lease_table::hold_limit(const wire::queue_policy& policy) {
  return policy.hold_limit.count() != 0 ? policy.hold_limit : std::max(milliseconds{900'000}, 10 * policy.attempt_timeout);
}

void lease_table::burn(message& m, fence_token minted) {
  SALLYPORT_ASSERT(m.fence() < minted);
  auto& lease = lease_of(m);
  lease.burnt = lease.fence;
  lease.fence = minted;
  used_fence(minted);
}

void lease_table::remember(message& m, note n) {
  auto& history = lease_of(m).tell().history;
  if (history.size() >= history_max) {
    // The beginning explains most, the end matters most: drop from the middle, and say so once.
    constexpr std::size_t kept = 8;
    history.erase(history.begin() + kept);
    if (history[kept].what != note_kind::elided)
      history[kept] = {history[kept].at, note_kind::elided, nowhere, {}, {}, {}};
  }
  history.push_back(std::move(n));
}

void lease_table::remember_grant(message& m) {
  auto& lease = *m.lease;
  for (auto& n : lease.story().history)
    if (n.what == note_kind::granted && n.fence == lease.fence)
      return; // Told when it was lost; it came back to its holder since.
  remember(m, {lease.granted_at, note_kind::granted, lease.agent, lease.session, lease.fence, {}});
}

void lease_table::choose_suspect_host(queue_index qi) {
  auto& q = queues_[qi];
  if (q.suspect_host != nowhere || q.suspects.empty())
    return;
  // The one with the least in hand is empty first. It takes nothing else until then.
  for (agent_index a = 0; a < agents_.size(); ++a) {
    auto* c = agents_[a].live ? agents_[a].find(qi) : nullptr;
    if (c && c->announced.state == wire::reach::up
        && (q.suspect_host == nowhere || agents_[a].held.count < agents_[q.suspect_host].held.count))
      q.suspect_host = a;
  }
}

void lease_table::release_suspect_host(agent_index a) {
  for (auto& c : agents_[a].connections) {
    auto& q = queues_[c.queue];
    if (q.suspect_host == a && (!agents_[a].live || q.suspects.empty())) {
      q.suspect_host = nowhere;
      choose_suspect_host(c.queue);
    }
    if (has_work(c.queue))
      wake(c.queue);
  }
}

void lease_table::end_grant(slot s) {
  auto& m = messages_[s];
  SALLYPORT_ASSERT(m.state == message_state::granted);
  auto& q = queues_[m.queue];
  auto& a = agents_[m.lease->agent];
  unlink(a.held, s);
  --q.granted;
  if (m.expires_at != never && !m.call)
    expiries_.erase({m.expires_at, s});
  if (m.key != 0)
    --q.lanes[m.key].held;
  if (std::exchange(m.lease->as_suspect, false))
    --a.suspects_held;
  if (q.policy.max_in_flight != 0)
    wake(m.queue);
  if (a.held.count == 0)
    release_suspect_host(m.lease->agent);
}

void lease_table::settle_target(queue_info& q, slot s, bool proved_alive) {
  if (q.target.now == circuit::phase::probing && q.target.probe == s) {
    q.target.probe = nowhere;
    if (proved_alive)
      q.target = {};
    wake(messages_[s].queue);
  } else if (proved_alive && q.target.now == circuit::phase::closed) {
    q.target.failures = 0;
  }
}

// ---- dirt ------------------------------------------------------------------------------------------------------------------

void lease_table::touch(slot s) {
  if (messages_[s].dirty)
    return;
  messages_[s].dirty = true;
  dirty_messages_.push_back(s);
  ++dirty_;
}
void lease_table::touch_queue(queue_index q) {
  if (std::exchange(queues_[q].dirty, true))
    return;
  dirty_queues_.push_back(q);
  ++dirty_;
}
void lease_table::touch_agent(agent_index a) {
  if (std::exchange(agents_[a].dirty, true))
    return;
  dirty_agents_.push_back(a);
  ++dirty_;
}

wire::shared_bytes lease_table::cached(slot s) const {
  const auto at = events_.find(s);
  return at == events_.end() ? nullptr : at->second;
}
void lease_table::cache(slot s, wire::shared_bytes event) {
  const auto bytes = messages_[s].bytes;
  if (!event || cached_bytes_ + bytes > settings_.payload_cache_bytes)
    return; // The oldest stay: they are wanted first.
  events_.emplace(s, std::move(event));
  cached_bytes_ += bytes;
}
void lease_table::uncache(slot s) {
  if (events_.erase(s))
    cached_bytes_ -= messages_[s].bytes;
}

slot lease_table::new_slot() {
  if (!free_.empty()) {
    auto s = free_.back();
    free_.pop_back();
    return s;
  }
  return messages_.add();
}

void lease_table::schedule(agent_index a) {
  session_ends_.erase({agents_[a].looked_at, a});
  agents_[a].looked_at = agents_[a].deadline;
  session_ends_.emplace(agents_[a].looked_at, a);
}

/// An entry may be early, because what it was made for is gone: prune() moves it.
void lease_table::schedule_hold(agent_index a, mono_time until) {
  auto& entry = agents_[a].hold_looked_at;
  if (until >= entry)
    return;
  if (entry != mono_time::max())
    hold_ends_.erase({entry, a});
  entry = until;
  hold_ends_.emplace(entry, a);
}

/// After anything that changes which final message of a queue is the first to be forgotten, or when.
void lease_table::schedule_retention(queue_index qi) {
  auto& q = queues_[qi];
  auto at = never;
  if (q.finals.count > q.policy.retention_count)
    at = wall_time::min();
  else if (q.finals.count != 0)
    at = messages_[q.finals.head].due_at + q.policy.retention;
  if (at == q.retention_at)
    return;
  if (q.retention_at != never)
    retention_ends_.erase({q.retention_at, qi});
  q.retention_at = at;
  if (at != never)
    retention_ends_.emplace(at, qi);
}

// ---- applying --------------------------------------------------------------------------------------------------------------

void lease_table::apply(any_fact f) {
  std::visit([this](auto&& one) { on(std::move(one)); }, std::move(f));
}
void lease_table::apply(std::vector<any_fact> facts) {
  for (auto& f : facts)
    apply(std::move(f));
}

void lease_table::on(fact::queue_made&& f) {
  const auto index = static_cast<queue_index>(queues_.size());
  queue_by_name_.emplace(f.group.value + "/" + f.name.value, index);
  auto& q = queues_.emplace_back();
  q.group = std::move(f.group), q.name = std::move(f.name), q.policy = f.policy;
  touch_queue(index);
}

void lease_table::on(fact::policy_set&& f) {
  auto& q = queues_[f.queue];
  const bool dead_changes = q.policy.dead != f.policy.dead;
  q.policy = f.policy;
  touch_queue(f.queue);
  if (dead_changes)
    for (slot s = q.dead.head; s != nowhere; s = messages_[s].next)
      if (auto key = messages_[s].key; key != 0) {
        auto& lane = q.lanes[key];
        f.policy.dead == wire::on_dead::block ? ++lane.blocking : --lane.blocking;
        refresh_lane(q, key);
      }
  schedule_retention(f.queue);
  wake(f.queue);
}

void lease_table::on(fact::enqueued&& f) {
  const slot s = new_slot();
  auto& m = messages_[s];
  m.id = f.id, m.queue = f.queue, m.content = f.content, m.enqueued_at = f.at, m.expires_at = f.expires_at;
  m.key = f.key, m.call = f.call;
  m.name = std::move(f.name);
  m.bytes = static_cast<std::uint32_t>(f.bytes->size());
  m.delayed = f.not_before > f.at && !SALLYPORT_MUTANT(early_grant);
  m.due_at = f.not_before;
  next_message_ = std::max(next_message_, f.id.serial + 1);

  changes_.push_back({tree::content, change::kind::put, event_key(m.id), {}, f.bytes});
  cache(s, std::move(f.bytes));
  by_id_.insert(f.id, s);
  by_name_.insert(s);
  auto& q = queues_[f.queue];
  ++q.live, ++q.enqueued_total, ++live_, ++totals_.enqueued;
  wait(s);
  touch(s);
}

/// Where a claim's seq is stored in this grant alone, and the grant is about to be overwritten or forgotten, the agent's row keeps it.
void lease_table::keep_lane(const lease_info& lease) {
  if (lease.agent == nowhere || agents_[lease.agent].session != lease.session || lease.lane >= agents_[lease.agent].lanes.size())
    return;
  if (agents_[lease.agent].lanes[lease.lane].granted_seq == lease.seq)
    touch_agent(lease.agent);
}

void lease_table::on(fact::granted&& f) {
  auto& agent = agents_[f.agent];
  auto fence = f.first_fence;
  for (slot s : f.messages) {
    stop_waiting(s);
    auto& m = messages_[s];
    auto& q = queues_[m.queue];
    SALLYPORT_ASSERT(m.fence() < fence);
    auto& lease = lease_of(m);
    keep_lane(lease);
    lease.fence = fence, lease.agent = f.agent, lease.session = agent.session, lease.granted_at = f.at.wall;
    lease.hold_until = f.at.mono + hold_limit(q.policy);
    lease.lane = f.lane, lease.seq = f.seq;
    lease.as_suspect = m.is_suspect();
    agent.suspects_held += lease.as_suspect;
    m.state = message_state::granted;
    lease.started_before = m.maybe_started;
    m.maybe_started = true;
    if (m.expires_at != never && !m.call)
      expiries_.emplace(m.expires_at, s); // A call that is being made is not taken away: its effect may be on its way.
    if (m.key != 0)
      ++q.lanes[m.key].held;
    push_back(agent.held, s);
    schedule_hold(f.agent, lease.hold_until);
    ++q.granted, ++agent.granted_total, ++totals_.granted;
    if (q.target.now == circuit::phase::probing)
      q.target.probe = s;
    touch(s);
    ++fence.counter;
  }
  for (slot s : f.messages)
    if (auto& m = messages_[s]; m.key != 0)
      refresh_lane(queues_[m.queue], m.key);
  fence.counter -= 1;
  used_fence(fence);
  auto& lane = agent.lanes[f.lane];
  SALLYPORT_ASSERT(f.seq >= lane.seq);
  lane.seq = lane.granted_seq = f.seq;
}

void lease_table::on(fact::returned&& f) {
  auto& m = messages_[f.message];
  auto& q = queues_[m.queue];
  auto& lease = lease_of(m);
  const auto fence = lease.fence;
  if (m.state == message_state::granted) {
    remember_grant(m);
    end_grant(f.message);
  } else {
    stop_waiting(f.message);
  }
  remember(m, {f.at, f.why, lease.agent, lease.session, fence, std::move(f.detail)});
  if (f.counts_loss) {
    ++m.losses, ++q.lost_total, ++totals_.lost;
    m.solo_losses += f.solo;
    auto& a = agents_[lease.agent];
    a.lost.push_back({f.message, fence});
    auto& losses = lease.tell().losses;
    if (losses.size() == losses_kept)
      losses.erase(losses.begin());
    losses.push_back({lease.agent, a.life.process, fence, f.solo});
    ++a.lost_total;
  }
  m.attempts += f.counts_attempt;
  if (f.counts_attempt)
    ++q.failed_total, ++totals_.failed, lease.tell().error = lease.story().history.back().detail;
  if (f.clears_started)
    m.maybe_started = lease.started_before; // Not begun this time; an earlier holder may still have begun it.
  if (f.settles)
    lease.settled_under = fence, lease.settled_as = f.outcome;
  settle_target(q, f.message, f.counts_attempt);
  if (!f.burn.is_none()) {
    if (!SALLYPORT_MUTANT(taken_keeps_fence))
      burn(m, f.burn);
    if (agents_[lease.agent].live && agents_[lease.agent].session == lease.session)
      agents_[lease.agent].notices.push_back({m.id, fence});
  }
  m.delayed = f.due > f.at;
  m.due_at = f.due;
  wait(f.message);
  touch(f.message);
}

void lease_table::on(fact::finished&& f) {
  auto& m = messages_[f.message];
  auto& q = queues_[m.queue];
  const auto before = m.state;
  const auto fence = m.fence();
  auto& lease = lease_of(m);
  if (before == message_state::granted) {
    if (f.to != message_state::settled)
      remember_grant(m);
    end_grant(f.message);
    if (!f.settles && !f.counts_loss && agents_[lease.agent].live)
      agents_[lease.agent].notices.push_back({m.id, fence});
  } else if (before == message_state::waiting) {
    stop_waiting(f.message);
  } else {
    SALLYPORT_ASSERT(before == message_state::dead);
    unlink(q.dead, f.message);
    if (m.key != 0 && q.policy.dead == wire::on_dead::block)
      --q.lanes[m.key].blocking;
  }
  if (f.to != message_state::settled || before != message_state::granted || !f.detail.empty())
    remember(m, {f.at, f.why, f.settles || f.counts_loss ? lease.agent : nowhere, f.settles ? lease.session : session_id{}, fence,
                 f.detail.empty() ? f.error : std::move(f.detail)});
  if (f.settles)
    lease.settled_under = fence, lease.settled_as = f.outcome, ++agents_[lease.agent].settled_total;
  if (f.counts_loss)
    ++m.losses, ++m.solo_losses, ++q.lost_total, ++totals_.lost, ++agents_[lease.agent].lost_total;
  m.attempts += f.counts_attempt;
  if (f.counts_attempt)
    ++q.failed_total, ++totals_.failed;
  settle_target(q, f.message, f.settles);
  burn(m, f.burn);
  if (f.settles)
    lease.burnt = {}; // Not taken: given.
  if (!lease.story().losses.empty())
    lease.tell().losses.clear();
  if (!f.error.empty())
    lease.tell().error = std::move(f.error);
  m.state = f.to;
  m.delayed = false;
  m.due_at = f.at;
  uncache(f.message);
  if (before != message_state::dead)
    --q.live, --live_;
  if (f.to == message_state::dead) {
    push_back(q.dead, f.message);
    ++totals_.dead;
    if (m.key != 0 && q.policy.dead == wire::on_dead::block)
      ++q.lanes[m.key].blocking;
  } else {
    push_back(q.finals, f.message);
    schedule_retention(m.queue);
    ++retained_;
    changes_.push_back({tree::content, change::kind::del, event_key(m.id), {}, {}});
    if (m.call || m.awaited) {
      lease.tell().result = std::move(f.result);
    } else if (!f.result.empty()) {
      m.has_result = true;
      changes_.push_back({tree::content, change::kind::put, result_key(m.id), std::move(f.result), {}});
    }
    auto& counter = f.to == message_state::settled   ? totals_.settled
                    : f.to == message_state::expired ? totals_.expired
                                                     : totals_.cancelled;
    ++counter;
    q.settled_total += f.to == message_state::settled;
  }
  if (m.key != 0)
    refresh_lane(q, m.key);
  if (m.call || m.awaited)
    finished_calls_.push_back(m.id);
  record(f.message);
}

void lease_table::on(fact::redriven&& f) {
  auto& m = messages_[f.message];
  auto& q = queues_[m.queue];
  SALLYPORT_ASSERT(m.state == message_state::dead);
  unlink(q.dead, f.message);
  if (m.key != 0 && q.policy.dead == wire::on_dead::block)
    --q.lanes[m.key].blocking;
  m.attempts = 0, m.losses = 0, m.solo_losses = 0;
  remember(m, {f.at, note_kind::redriven, nowhere, {}, {}, {}});
  ++q.live, ++live_;
  wait(f.message);
  touch(f.message);
}

void lease_table::on(fact::session_opened&& f) {
  auto index = f.agent;
  if (index == nowhere) {
    index = static_cast<agent_index>(agents_.size());
    agent_by_name_.emplace(f.body.group.value + "/" + f.body.agent.value, index);
    auto& fresh = agents_.emplace_back();
    fresh.group = f.body.group, fresh.name = f.body.agent;
  }
  auto& a = agents_[index];
  SALLYPORT_ASSERT(!a.live);
  a.id = std::move(f.body.id), a.life = f.body.life, a.version = std::move(f.body.version);
  a.session = f.session, a.live = true, a.deadline = f.deadline, a.asked_once = false;
  a.lanes.clear(), a.notices.clear(), a.connections.clear();
  for (std::size_t i = 0; i < f.queues.size(); ++i)
    a.connections.push_back({f.queues[i], std::move(f.body.connections[i])});
  sessions_[a.session] = index;
  next_session_ = std::max(next_session_, f.session.serial + 1);
  ++live_sessions_, ++totals_.sessions_opened;
  schedule(index);
  for (auto& c : a.connections) {
    choose_suspect_host(c.queue);
    wake(c.queue);
  }
  touch_agent(index);
}

void lease_table::on(fact::session_ended&& f) {
  auto& a = agents_[f.agent];
  SALLYPORT_ASSERT(a.live);
  a.live = false;
  --live_sessions_;
  totals_.sessions_expired += f.expired;
  ended_now_.push_back(f.agent);
  ended_sessions_.push_back(a.session);
  if (ended_sessions_.size() > 10'000) {
    // Remembered only to tell "ended" from "never was", and for settlements, which are judged by agent id as well.
    if (auto old = sessions_.find(ended_sessions_.front()); old != sessions_.end() && agents_[old->second].session != old->first)
      sessions_.erase(old);
    ended_sessions_.pop_front();
  }
  release_suspect_host(f.agent);
  touch_agent(f.agent);
}

void lease_table::on(fact::rebound&& f) {
  auto& m = messages_[f.message];
  auto& lease = *m.lease;
  auto& a = agents_[f.agent];
  keep_lane(lease);
  lease.lane = no_lane, lease.seq = 0; // The new session's lanes never claimed it.
  if (m.state == message_state::granted) {
    SALLYPORT_ASSERT(lease.agent == f.agent);
    lease.session = f.session;
    return touch(f.message);
  }
  stop_waiting(f.message);
  auto& q = queues_[m.queue];
  // Counted anew: what was left of it is in no store.
  lease.hold_until = f.at.mono + hold_limit(q.policy);
  remember(m, {f.at.wall, note_kind::rebound, f.agent, f.session, lease.fence, {}});
  lease.session = f.session;
  lease.as_suspect = m.is_suspect();
  a.suspects_held += lease.as_suspect;
  m.state = message_state::granted;
  if (m.expires_at != never && !m.call)
    expiries_.emplace(m.expires_at, f.message);
  push_back(a.held, f.message);
  schedule_hold(f.agent, lease.hold_until);
  ++q.granted;
  if (m.key != 0) {
    ++q.lanes[m.key].held;
    refresh_lane(q, m.key);
  }
  touch(f.message);
}

void lease_table::on(fact::loss_forgiven&& f) {
  auto& m = messages_[f.message];
  auto& lease = *m.lease;
  auto& losses = lease.tell().losses;
  const auto lost = std::find_if(losses.begin(), losses.end(), [&](const loss& l) { return l.fence == f.fence; });
  SALLYPORT_ASSERT(lost != losses.end());
  SALLYPORT_ASSERT(m.losses > 0);
  const bool offered = m.offered;
  if (offered)
    withdraw(f.message);
  --m.losses;
  m.solo_losses -= lost->solo;
  remember(m, {f.at, note_kind::loss_forgiven, lost->agent, {}, f.fence, {}});
  losses.erase(lost);
  if (offered)
    offer(f.message);
  touch(f.message);
}

void lease_table::on(fact::losses_closed&& f) {
  agents_[f.agent].lost.clear();
}

void lease_table::on(fact::touched&& f) {
  agents_[f.agent].deadline = f.deadline;
}

void lease_table::on(fact::reach_changed&& f) {
  for (auto& [queue, state] : f.states)
    for (auto& c : agents_[f.agent].connections)
      if (c.queue == queue) {
        // A target seen to be back need not wait for the end of its pause: one may try at once.
        auto& target = queues_[queue].target;
        if (state.state == wire::reach::up && c.announced.state == wire::reach::down && target.now == circuit::phase::open)
          target.retry_at = {};
        c.announced.state = state.state;
        c.announced.detail = std::move(state.detail);
        choose_suspect_host(queue);
        wake(queue);
      }
  touch_agent(f.agent);
}

void lease_table::on(fact::list_asked&& f) {
  agents_[f.agent].list_asked = f.at;
  agents_[f.agent].asked_once = true;
}
void lease_table::on(fact::notices_told&& f) {
  agents_[f.agent].notices.clear();
}

void lease_table::on(fact::lane_confirmed&& f) {
  auto& a = agents_[f.agent];
  for (auto& lane : a.lanes)
    if (lane.name == f.lane)
      return void(lane.seq = f.seq);
  SALLYPORT_ASSERT(a.lanes.size() < lanes_max);
  a.lanes.push_back({std::move(f.lane), f.seq, 0});
  touch_agent(f.agent); // Grants name their lane by its place in this list.
}

void lease_table::on(fact::extended&& f) {
  messages_[f.message].lease->hold_until = f.until;
}

void lease_table::on(fact::noted&& f) {
  auto& counter = f.what.what == note_kind::late_settle ? totals_.burnt_settles : totals_.stale_settles;
  ++counter;
  remember(messages_[f.message], std::move(f.what));
  touch(f.message);
}

void lease_table::on(fact::came_due&& f) {
  stop_waiting(f.message); // Clears `delayed`.
  wait(f.message);
  // Not touched: a restarted hub sees by the clock that it is due.
}

void lease_table::on(fact::target_failed&& f) {
  auto& target = queues_[f.queue].target;
  target.now = circuit::phase::open;
  target.retry_at = f.retry_at;
  target.probe = nowhere;
  ++target.failures;
  open_targets_.insert(f.queue);
}
void lease_table::on(fact::target_tried&& f) {
  auto& target = queues_[f.queue].target;
  target.now = circuit::phase::probing;
  target.probe = nowhere;
  open_targets_.erase(f.queue);
  wake(f.queue);
}

void lease_table::on(fact::forgotten&& f) {
  auto& m = messages_[f.message];
  SALLYPORT_ASSERT(is_final(m.state) && m.state != message_state::dead);
  if (m.lease)
    keep_lane(*m.lease);
  unlink(queues_[m.queue].finals, f.message);
  schedule_retention(m.queue);
  by_name_.erase(f.message);
  by_id_.erase(m.id);
  --retained_;
  changes_.push_back({tree::meta, change::kind::del, message_key('m', m.id), {}, {}});
  if (m.has_result)
    changes_.push_back({tree::content, change::kind::del, result_key(m.id), {}, {}});
  ++dirty_;
  m = {};
  free_.push_back(f.message);
}

mono_time lease_table::await(message_id message, instant now) {
  auto& m = messages_[find(message)];
  if (m.call)
    return m.expires_at == never ? mono_time::max() : now.mono + std::max(milliseconds{0}, m.expires_at - now.wall);
  m.awaited = true;
  return mono_time::max();
}

void lease_table::renew_sessions(instant now) {
  for (auto& a : agents_)
    if (a.live)
      a.deadline = deadline(now);
}

} // namespace sallyport::cloud
