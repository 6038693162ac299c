// Settlements and extensions: how attempts end. Judged by fence and agent; the session only helps to find the agent.
#include "cloud/core/lease_table.hpp"

#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::cloud {

result<agent_index> lease_table::settler(const ask::settle& what, const context& c) const {
  auto known = sessions_.find(what.session);
  agent_index found = nowhere;
  if (known != sessions_.end() && (what.body.agent.empty() || agents_[known->second].id == what.body.agent))
    found = known->second;
  for (agent_index a = 0; found == nowhere && a < agents_.size(); ++a)
    if (!what.body.agent.empty() && agents_[a].id == what.body.agent && c.scope.covers(agents_[a].group))
      found = a;
  if (found == nowhere && known != sessions_.end())
    return {errc::not_holder, "session " + to_string(what.session) + " is not one of agent id \"" + what.body.agent.value
                                + "\", which has none here"};
  if (found == nowhere)
    return why_not_live(what.session);
  if (!c.scope.covers(agents_[found].group))
    return {errc::wrong_group, "session " + to_string(what.session) + " belongs to a group the token is not for"};
  return found;
}

namespace {

wire::verdict verdict_of(const wire::settlement& s, wire::verdict_kind kind, std::string_view state,
                         std::optional<wire::outcome_kind> outcome = {}) {
  wire::verdict v;
  v.message = s.message, v.fence = s.fence, v.kind = kind, v.state = std::string{state}, v.outcome = outcome;
  return v;
}

std::string cut(std::string text) {
  if (text.size() > error_bytes_max) {
    text.resize(error_bytes_max);
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80)
      text.pop_back(); // Not in the middle of a character.
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0)
      text.pop_back();
  }
  return text;
}

} // namespace

/// A fence that is not the live one: what may still be said about it.
wire::verdict lease_table::judge_old(slot s, fence_token fence, agent_index by) const {
  auto& m = messages_[s];
  wire::verdict v;
  v.message = m.id, v.fence = fence, v.state = std::string{state_word(m)};
  v.kind = wire::verdict_kind::unknown;
  if (!m.lease || m.lease->fence < fence || fence.epoch < m.id.epoch)
    return v; // Never minted, or before its birth.
  auto& lease = *m.lease;
  const auto counted = [&](wire::outcome_kind outcome) {
    v.kind = wire::verdict_kind::already, v.outcome = outcome;
    return v;
  };
  // The notes know who settled what, also when the message has been granted to others since.
  for (auto& n : lease.story().history)
    if (n.fence == fence && n.agent == by) {
      if (n.what == note_kind::released)
        return counted(wire::outcome_kind::release);
      const bool settled = n.what == note_kind::dead && !n.session.is_none(); // Else it died of its losses.
      if (settled || n.what == note_kind::failed || n.what == note_kind::target_failed)
        return counted(wire::outcome_kind::failed);
    }
  if (lease.settled_under == fence) {
    if (lease.agent == by && m.state == message_state::settled) // Its last holder's word: the lease alone tells it.
      return counted(lease.settled_as);
    v.outcome = lease.settled_as;
    return v;
  }
  v.kind = lease.burnt == fence ? wire::verdict_kind::burnt : wire::verdict_kind::stale;
  return v;
}

decision<wire::verdict> lease_table::decide(const wire::settlement& what, agent_index by, const context& c) const {
  const auto s = find(what.message);
  if (s == nowhere)
    return {verdict_of(what, wire::verdict_kind::unknown, ""), {}};
  auto& m = messages_[s];
  if (queues_[m.queue].group != agents_[by].group)
    return {verdict_of(what, wire::verdict_kind::unknown, ""), {}};
  const bool is_latest = m.lease && (m.lease->fence == what.fence || SALLYPORT_MUTANT(settle_ignores_fence));
  const bool live_fence = is_latest && !is_final(m.state) && m.lease->settled_under != what.fence;
  if (live_fence && m.lease->agent != by) {
    auto v = verdict_of(what, wire::verdict_kind::unknown, state_word(m));
    v.code = errc::not_holder;
    return {std::move(v), {}};
  }
  if (!live_fence) {
    auto v = judge_old(s, what.fence, by);
    std::vector<any_fact> facts;
    if (v.kind == wire::verdict_kind::already && v.outcome == what.outcome)
      SALLYPORT_MARK(settle_repeated),
        v.kind = wire::verdict_kind::settled; // The first answer was lost on its way: the same again.
    else if ((v.kind == wire::verdict_kind::stale || v.kind == wire::verdict_kind::burnt)) {
      // Evidence: what the late holder reported is kept, and changes nothing. Once for each fence.
      if (v.kind == wire::verdict_kind::burnt)
        SALLYPORT_MARK(settle_burnt);
      else
        SALLYPORT_MARK(settle_stale);
      const auto kind = v.kind == wire::verdict_kind::burnt ? note_kind::late_settle : note_kind::stale_settle;
      auto& history = m.lease->story().history;
      const bool known =
        std::any_of(history.begin(), history.end(), [&](const note& n) { return n.what == kind && n.fence == what.fence; });
      if (!known)
        facts.emplace_back(fact::noted{
          s, {c.now.wall, kind, by, {}, what.fence, "reported " + std::string{wire::to_string(what.outcome)} + ", late"}});
    }
    return {std::move(v), std::move(facts)};
  }
  if (m.state == message_state::waiting)
    SALLYPORT_MARK(settle_after_expiry);
  decision<wire::verdict> d{verdict_of(what, wire::verdict_kind::settled, ""), {}};
  mint next{*this};
  accept(d.facts, s, what, c, next);
  d.verdict->outcome = what.outcome;
  auto word = std::string_view{"ready"};
  if (auto* f = std::get_if<fact::finished>(&d.facts.front()))
    word = f->to == message_state::settled ? "settled" : f->to == message_state::dead ? "dead" : "expired";
  else if (auto* r = std::get_if<fact::returned>(&d.facts.front()); r && r->due > r->at)
    word = "delayed";
  d.verdict->state = std::string{word};
  return d;
}

/// The rest of a key's run goes back with the message that failed: it must not be carried out before it.
void lease_table::take_run(std::vector<any_fact>& facts, slot s, wall_time at, mint& next) const {
  auto& m = messages_[s];
  if (m.key == 0 || m.state != message_state::granted || SALLYPORT_MUTANT(run_goes_on))
    return;
  for (slot h = agents_[m.lease->agent].held.head; h != nowhere; h = messages_[h].next) {
    auto& other = messages_[h];
    if (h == s || other.queue != m.queue || other.key != m.key || other.id < m.id)
      continue;
    SALLYPORT_MARK(run_taken_back);
    fact::returned f{h, note_kind::taken_back, at};
    f.burn = next();
    f.clears_started = true; // Executed one after the other: it was not begun.
    f.detail = "behind " + to_string(m.id) + " of the same key";
    facts.emplace_back(std::move(f));
  }
}

milliseconds lease_table::backoff(const wire::queue_policy& policy, std::uint32_t failures, std::uint64_t entropy) const {
  const auto shift = std::min<std::uint32_t>(failures == 0 ? 0 : failures - 1, 30);
  const auto whole = std::min<std::int64_t>(policy.backoff_min.count() << shift, policy.backoff_max.count());
  // Between half and whole: enough spread that retries do not come in step, never sooner than half.
  entropy ^= entropy >> 33, entropy *= 0xff51afd7ed558ccdu, entropy ^= entropy >> 33;
  return milliseconds{whole / 2 + static_cast<std::int64_t>(entropy % static_cast<std::uint64_t>(whole / 2 + 1))};
}

void lease_table::accept(std::vector<any_fact>& facts, slot s, const wire::settlement& how, const context& c, mint& next) const {
  const auto at = c.now.wall;
  switch (how.outcome) {
    case wire::outcome_kind::done: {
      fact::finished f{s, message_state::settled, note_kind::settled, at, next()};
      f.settles = true;
      f.result = how.result;
      facts.emplace_back(std::move(f));
      return;
    }
    case wire::outcome_kind::release: {
      fact::returned f{s, note_kind::released, at};
      f.due = how.delay ? at + *how.delay : wall_time{};
      f.settles = true;
      f.outcome = wire::outcome_kind::release;
      f.clears_started = !how.started;
      f.detail = cut(how.error);
      facts.emplace_back(std::move(f));
      return take_run(facts, s, at, next);
    }
    case wire::outcome_kind::failed: break;
  }
  accept_failure(facts, s, how, c, next);
}

void lease_table::accept_failure(std::vector<any_fact>& facts, slot s, const wire::settlement& how, const context& c,
                                 mint& next) const {
  auto& m = messages_[s];
  auto& q = queues_[m.queue];
  const auto at = c.now.wall;
  const auto entropy = c.entropy ^ m.id.serial;
  const bool unknown_effect = how.effect == wire::effect_state::unknown;
  const bool kills = unknown_effect && q.policy.unknown_effect == wire::on_unknown_effect::dead_letter;

  if (how.scope == wire::failure_scope::target && !kills) {
    // The target is not there: nobody's attempt is burnt, the connection pauses for the whole group.
    fact::returned f{s, note_kind::target_failed, at};
    f.settles = true;
    f.outcome = wire::outcome_kind::failed;
    f.detail = cut(how.error);
    f.counts_attempt = SALLYPORT_MUTANT(outage_burns_attempts);
    facts.emplace_back(std::move(f));
    take_run(facts, s, at, next);
    const bool probing = q.target.now == circuit::phase::probing && q.target.probe == s;
    if (q.target.now == circuit::phase::closed || probing) {
      SALLYPORT_MARK(target_pauses);
      auto pause = backoff(q.policy, q.target.failures + 1, entropy);
      if (how.delay)
        pause = std::max(pause, *how.delay);
      facts.emplace_back(fact::target_failed{m.queue, at + pause});
    }
    return;
  }
  const bool last = m.attempts + 1u >= q.policy.max_attempts;
  // A call is final at its first failure, unless it is certain that nothing was done: its asker can decide better than a retry.
  const bool call_ends = m.call && (unknown_effect || !how.retryable || last);
  if (call_ends || kills || !how.retryable || last) {
    fact::finished f{s, call_ends ? message_state::settled : message_state::dead, call_ends ? note_kind::failed : note_kind::dead,
                     at, next()};
    f.counts_attempt = true;
    f.settles = true;
    f.outcome = wire::outcome_kind::failed;
    f.error = cut(how.error);
    f.detail = f.error.empty() ? "failed" : f.error;
    facts.emplace_back(std::move(f));
    return take_run(facts, s, at, next);
  }
  fact::returned f{s, note_kind::failed, at};
  f.counts_attempt = true;
  f.settles = true;
  f.outcome = wire::outcome_kind::failed;
  f.due = at + std::max(how.delay.value_or(milliseconds{0}), backoff(q.policy, m.attempts + 1u, entropy));
  f.detail = cut(how.error);
  facts.emplace_back(std::move(f));
  take_run(facts, s, at, next);
}

decision<wire::extend_reply> lease_table::decide(const ask::extend& what, const context& c) const {
  const auto who = live(what.session, c);
  if (who.refused)
    return {*who.refused, {}};
  auto facts = beginning_with(fact::touched{who.index, deadline(c.now)});
  wire::extend_reply reply;
  for (auto& item : what.body.items) {
    const auto s = find(item.message);
    wire::verdict v;
    v.message = item.message, v.fence = item.fence;
    if (s == nowhere || queues_[messages_[s].queue].group != agents_[who.index].group) {
      reply.items.push_back(std::move(v));
      continue;
    }
    auto& m = messages_[s];
    if (m.state == message_state::granted && m.lease->fence == item.fence) {
      v.state = std::string{state_word(m)};
      if (m.lease->agent == who.index) {
        v.kind = wire::verdict_kind::settled;
        facts.emplace_back(fact::extended{s, std::max(m.lease->hold_until, c.now.mono + item.more)});
      } else {
        v.code = errc::not_holder;
      }
    } else {
      v = judge_old(s, item.fence, who.index);
      if (v.kind == wire::verdict_kind::unknown && m.lease && m.lease->fence == item.fence)
        v.kind = wire::verdict_kind::stale; // Lost: the latest fence, but nobody's grant.
    }
    reply.items.push_back(std::move(v));
  }
  return {std::move(reply), std::move(facts)};
}

} // namespace sallyport::cloud
