// What time alone brings about.
#include "cloud/core/lease_table.hpp"

#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::cloud {

fact::finished lease_table::expiry(slot s, wall_time at, fence_token minted) const {
  fact::finished f{s, message_state::expired, note_kind::expired, at, minted};
  f.detail = messages_[s].maybe_started ? "may have run" : "never ran";
  return f;
}

std::vector<any_fact> lease_table::expire(message_id message, const context& c) const {
  const auto s = find(message);
  if (s == nowhere || messages_[s].state != message_state::waiting)
    return {};
  SALLYPORT_MARK(expired_waiting);
  return beginning_with(expiry(s, c.now.wall, mint{*this}()));
}

std::vector<any_fact> lease_table::sweep(stage what, const context& c, std::size_t limit) const {
  std::vector<any_fact> facts;
  mint next{*this};
  const auto at = c.now.wall;
  switch (what) {
    case stage::sessions:
      for (auto& [early, a] : session_ends_) {
        if (early > c.now.mono || facts.size() >= limit)
          break;
        if (!agents_[a].live || agents_[a].deadline > c.now.mono)
          continue; // prune() moves the entry.
        SALLYPORT_MARK(session_expired);
        lose(facts, a, at, {}, next);
        facts.emplace_back(fact::session_ended{a, true});
      }
      break;
    case stage::due:
      for (auto& [due, s] : due_) {
        if (due > at || facts.size() >= limit)
          break;
        facts.emplace_back(fact::came_due{s});
      }
      break;
    case stage::expiries:
      for (auto& [when, s] : expiries_) {
        if (when > at || facts.size() >= limit)
          break;
        if (messages_[s].state == message_state::waiting)
          SALLYPORT_MARK(expired_waiting);
        facts.emplace_back(expiry(s, at, next()));
      }
      break;
    case stage::holds:
      for (auto& [early, a] : hold_ends_) {
        if (early > c.now.mono)
          break;
        for (slot s = agents_[a].held.head; s != nowhere && facts.size() < limit; s = messages_[s].next) {
          auto& m = messages_[s];
          if (m.lease->hold_until > c.now.mono)
            continue;
          SALLYPORT_MARK(hold_limit_passed);
          auto& policy = queues_[m.queue].policy;
          if (m.attempts + 1u >= policy.max_attempts) {
            fact::finished f{s, message_state::dead, note_kind::hold_limit, at, next()};
            f.counts_attempt = true;
            f.error = "held past its hold limit, for the last attempt it had";
            facts.emplace_back(std::move(f));
          } else {
            fact::returned f{s, note_kind::hold_limit, at};
            f.counts_attempt = true;
            f.due = at + backoff(policy, m.attempts + 1u, c.entropy ^ m.id.serial);
            f.burn = next();
            f.detail = "held past its hold limit";
            facts.emplace_back(std::move(f));
          }
        }
      }
      break;
    case stage::targets:
      for (auto q : open_targets_)
        if (queues_[q].target.retry_at <= at) {
          SALLYPORT_MARK(target_probed);
          facts.emplace_back(fact::target_tried{q});
        }
      break;
    case stage::retention:
      for (auto& [when, index] : retention_ends_) {
        if (when > at)
          break;
        auto& q = queues_[index];
        auto left = q.finals.count;
        for (slot s = q.finals.head; s != nowhere && facts.size() < limit; s = messages_[s].next, --left) {
          if (left <= q.policy.retention_count && messages_[s].due_at + q.policy.retention > at)
            break;
          facts.emplace_back(fact::forgotten{s});
        }
      }
      break;
  }
  return facts;
}

void lease_table::prune(instant now) {
  // Entries of sessions that have ended, or have been heard from since, move to where they belong.
  while (!session_ends_.empty() && session_ends_.begin()->first <= now.mono) {
    const auto a = session_ends_.begin()->second;
    if (agents_[a].live && agents_[a].deadline <= now.mono)
      break; // The sweep has not come to it yet.
    session_ends_.erase(session_ends_.begin());
    if (agents_[a].live)
      schedule(a);
  }
  while (!hold_ends_.empty() && hold_ends_.begin()->first <= now.mono) {
    const auto a = hold_ends_.begin()->second;
    auto first = mono_time::max();
    for (slot s = agents_[a].held.head; s != nowhere; s = messages_[s].next)
      first = std::min(first, messages_[s].lease->hold_until);
    if (first <= now.mono)
      break; // The same.
    hold_ends_.erase(hold_ends_.begin());
    agents_[a].hold_looked_at = mono_time::max();
    schedule_hold(a, first);
  }
}

mono_time lease_table::next_sweep(instant now) const {
  auto first = mono_time::max();
  const auto by = [&](mono_time t) { first = std::min(first, t); };
  const auto by_wall = [&](wall_time t) { by(now.mono + std::max(milliseconds{0}, t - now.wall)); };
  if (!session_ends_.empty())
    by(session_ends_.begin()->first);
  if (!due_.empty())
    by_wall(due_.begin()->first);
  if (!expiries_.empty())
    by_wall(expiries_.begin()->first);
  if (!hold_ends_.empty())
    by(hold_ends_.begin()->first);
  for (auto q : open_targets_)
    by_wall(queues_[q].target.retry_at);
  if (!retention_ends_.empty())
    retention_ends_.begin()->first == wall_time::min() ? by(now.mono) : by_wall(retention_ends_.begin()->first);
  return first;
}

} // namespace sallyport::cloud
