// Sessions: opening, heartbeats, closing, and what becomes of the grants they carried.
#include "cloud/core/lease_table.hpp"

#include "protocol/probe.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace sallyport::cloud {

error lease_table::why_not_live(session_id session) const {
  auto known = sessions_.find(session);
  if (known == sessions_.end())
    return make_error(errc::unknown_session, "session " + to_string(session) + " is not known; open one");
  auto& a = agents_[known->second];
  if (a.live && a.session != session)
    return make_error(errc::session_replaced, "session " + to_string(session) + " of agent \"" + a.name.value
                                                + "\" was replaced by " + to_string(a.session));
  return make_error(errc::session_expired, "session " + to_string(session) + " of agent \"" + a.name.value
                                             + "\" has ended; open a new one that names the fences still held");
}

lease_table::live_agent lease_table::live(session_id session, const context& c) const {
  auto known = sessions_.find(session);
  if (known == sessions_.end())
    return {nowhere, why_not_live(session)};
  auto& a = agents_[known->second];
  if (!c.scope.covers(a.group))
    return {nowhere, make_error(errc::wrong_group, "session " + to_string(session) + " belongs to a group the token is not for")};
  const bool is_current = a.session == session || SALLYPORT_MUTANT(old_session_served);
  if (!a.live || !is_current)
    return {nowhere, why_not_live(session)};
  return {known->second, std::nullopt};
}

bool lease_table::is_granted(slot s, agent_index to, fence_token under) const {
  return s != nowhere && messages_[s].state == message_state::granted && messages_[s].lease->agent == to
         && messages_[s].lease->fence == under;
}

/// Still the latest fence of a message that this agent holds, or held and lost to nobody.
bool lease_table::can_rebind(agent_index a, const wire::held_grant& held) const {
  const auto s = find(held.message);
  if (s == nowhere)
    return false;
  auto& m = messages_[s];
  return m.lease && m.lease->fence == held.fence && m.lease->agent == a && m.lease->settled_under != held.fence
         && (m.state == message_state::granted || m.state == message_state::waiting);
}

/// The slots of those held grants that an opening carries over, sorted. A message with a key comes along only if nothing before it in
/// its key waits, or is with somebody else: what was begun behind a lost head would overtake it.
std::vector<slot> lease_table::rebindable(agent_index a, const std::vector<wire::held_grant>& held) const {
  std::vector<slot> kept;
  for (auto& h : held)
    if (can_rebind(a, h))
      kept.push_back(find(h.message));
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  const auto is_kept = [&](slot s) { return std::binary_search(kept.begin(), kept.end(), s); };
  using key_of_queue = std::pair<queue_index, std::uint64_t>;
  std::map<key_of_queue, std::uint32_t> mine; // Kept and in hand.
  for (slot s = agents_[a].held.head; s != nowhere; s = messages_[s].next)
    if (messages_[s].key != 0 && is_kept(s))
      ++mine[{messages_[s].queue, messages_[s].key}];
  std::set<key_of_queue> seen;
  std::vector<slot> in_turn;
  for (slot s : kept) {
    auto& m = messages_[s];
    const key_of_queue key{m.queue, m.key};
    if (m.key == 0 || m.state != message_state::waiting || !seen.insert(key).second)
      continue;
    auto& lane = queues_[m.queue].lanes.at(m.key);
    if (lane.held != mine[key] || lane.blocking != 0)
      continue;
    for (slot w = lane.waiting.head; w != nowhere && is_kept(w); w = messages_[w].next)
      in_turn.push_back(w);
  }
  std::sort(in_turn.begin(), in_turn.end());
  std::erase_if(kept, [&](slot s) {
    auto& m = messages_[s];
    return m.key != 0 && m.state == message_state::waiting && !std::binary_search(in_turn.begin(), in_turn.end(), s);
  });
  return kept;
}

void lease_table::lose(std::vector<any_fact>& facts, agent_index a, wall_time at, const std::function<bool(slot)>& kept,
                       mint& next) const {
  const bool solo = agents_[a].held.count == 1;
  for (slot s = agents_[a].held.head; s != nowhere; s = messages_[s].next) {
    auto& m = messages_[s];
    if (kept && kept(s))
      continue;
    if (solo && m.solo_losses + 1 >= solo_losses_max) {
      SALLYPORT_MARK(dead_by_losses);
      fact::finished f{s, message_state::dead, note_kind::dead, at, next()};
      f.counts_loss = true;
      f.error = "lost " + std::to_string(m.losses + 1) + " times, the last " + std::to_string(int{solo_losses_max})
                + " as the only grant of its session: it seems to end the agents that try it";
      facts.emplace_back(std::move(f));
    } else {
      fact::returned f{s, note_kind::lost, at};
      f.counts_loss = true;
      f.solo = solo;
      facts.emplace_back(std::move(f));
    }
  }
}

void lease_table::give_back(std::vector<any_fact>& facts, agent_index a, note_kind why, wall_time at,
                            const std::function<bool(slot)>& kept) const {
  for (slot s = agents_[a].held.head; s != nowhere; s = messages_[s].next)
    if (!kept || !kept(s))
      facts.emplace_back(fact::returned{s, why, at});
}

decision<wire::session_opened> lease_table::decide(const ask::open& what, const context& c) const {
  auto& body = what.body;
  if (!c.scope.covers(body.group))
    return {error{errc::wrong_group, "the token is not for group \"" + body.group.value + "\"", {}, {}}, {}};
  const auto index = find(body.group, body.agent);
  const auto* old = index == nowhere ? nullptr : &agents_[index];
  const bool same_agent = old && old->id == body.id;
  if (old && !same_agent && old->live) {
    const auto left = std::max(milliseconds{0}, old->deadline - c.now.mono);
    auto e =
      make_error(errc::name_in_use, "agent \"" + body.agent.value + "\" of group \"" + body.group.value
                                      + "\" is another installation, whose session lives; choose another name, or stop it");
    e.retry_after_s = static_cast<unsigned>(left.count() / 1000 + 1);
    return {std::move(e), {}};
  }
  const auto running = [&] {
    return "agent \"" + body.agent.value + "\": incarnation " + std::to_string(old->life.process) + "."
           + std::to_string(old->life.opening);
  };
  if (same_agent && body.life < old->life && !SALLYPORT_MUTANT(old_life_accepted)) {
    SALLYPORT_MARK(open_refused_old);
    return {
      error{errc::session_replaced,
            running() + " has opened; this is " + std::to_string(body.life.process) + "." + std::to_string(body.life.opening),
            {},
            {}},
      {}};
  }
  if (same_agent && body.life == old->life && !old->live)
    return {error{errc::session_expired, running() + " had its session, and it has ended; open with a higher opening", {}, {}},
            {}};

  std::vector<any_fact> facts;
  wire::session_opened reply;
  reply.ttl = settings_.session_ttl, reply.heartbeat = settings_.session_ttl / 4, reply.epoch = epoch_;
  if (same_agent && body.life == old->life) { // Its answer was lost on the way: the same again.
    SALLYPORT_MARK(open_repeated);
    reply.session = old->session;
    for (auto& held : body.held)
      if (!is_granted(find(held.message), index, held.fence))
        reply.lost.push_back(held);
    facts.emplace_back(fact::touched{index, deadline(c.now)});
    return {std::move(reply), std::move(facts)};
  }

  // Its connections: known, or created by this announcement.
  std::vector<queue_index> queues;
  auto unborn = static_cast<queue_index>(queues_.size());
  for (auto& announced : body.connections) {
    auto q = find(body.group, announced.name);
    if (q == nowhere && !what.announce)
      return {error{errc::announce_refused,
                    "connection \"" + announced.name.value + "\" of group \"" + body.group.value
                      + "\" does not exist here; an admin creates it with PUT",
                    {},
                    {}},
              {}};
    if (q == nowhere) {
      q = unborn++;
      facts.emplace_back(fact::queue_made{body.group, announced.name, settings_.policy});
    } else if (queues_[q].policy.fingerprints == wire::fingerprint_policy::refuse) {
      for (auto& peer : agents_)
        if (auto* theirs = peer.live && &peer != old ? peer.find(q) : nullptr;
            theirs && theirs->announced.fingerprint != announced.fingerprint)
          return {error{errc::fingerprint_mismatch,
                        "connection \"" + announced.name.value + "\" is \"" + announced.fingerprint + "\" here and \""
                          + theirs->announced.fingerprint + "\" at agent \"" + peer.name.value + "\"",
                        {},
                        {}},
                  {}};
    }
    queues.push_back(q);
  }

  mint next{*this};
  std::vector<slot> rebind;
  if (old) {
    if (same_agent)
      rebind = rebindable(index, body.held);
    const auto kept = [&](slot s) { return std::binary_search(rebind.begin(), rebind.end(), s); };
    const bool same_process = same_agent && old->life.process == body.life.process;
    if (old->live) {
      if (!same_process)
        SALLYPORT_MARK(open_replaces_life);
      same_process ? give_back(facts, index, note_kind::disconnected, c.now.wall, kept)
                   : lose(facts, index, c.now.wall, kept, next);
      facts.emplace_back(fact::session_ended{index, false});
    }
    if (same_process && !SALLYPORT_MUTANT(flaps_count)) // The process lived: what its silence cost its messages is taken back.
      for (auto& lost : old->lost)
        if (auto& m = messages_[lost.message]; m.lease && !is_final(m.state))
          for (auto& l : m.lease->story().losses)
            if (l.fence == lost.fence && l.agent == index && l.process == body.life.process) {
              SALLYPORT_MARK(open_forgives_loss);
              facts.emplace_back(fact::loss_forgiven{lost.message, lost.fence, c.now.wall});
            }
    facts.emplace_back(fact::losses_closed{index});
  }
  for (auto& held : body.held)
    if (auto at = find(held.message);
        at == nowhere || !std::binary_search(rebind.begin(), rebind.end(), at) || messages_[at].fence() != held.fence)
      reply.lost.push_back(held);
  reply.session = {epoch_.value, next_session_};
  facts.emplace_back(fact::session_opened{index, reply.session, body, std::move(queues), deadline(c.now)});
  for (slot s : rebind) {
    SALLYPORT_MARK(open_rebinds);
    if (messages_[s].state == message_state::waiting)
      SALLYPORT_MARK(open_rebinds_lost);
    facts.emplace_back(fact::rebound{s, index, reply.session, c.now});
  }
  return {std::move(reply), std::move(facts)};
}

decision<wire::heartbeat_reply> lease_table::decide(const ask::beat& what, const context& c) const {
  const auto who = live(what.session, c);
  if (who.refused)
    return {*who.refused, {}};
  auto& a = agents_[who.index];
  auto facts = beginning_with(fact::touched{who.index, deadline(c.now)});
  wire::heartbeat_reply reply;
  reply.ttl = settings_.session_ttl, reply.epoch = epoch_;

  fact::reach_changed reach{who.index, {}};
  for (auto& state : what.body.connections)
    for (auto& mine : a.connections)
      if (queues_[mine.queue].name == state.name
          && (mine.announced.state != state.state || mine.announced.detail != state.detail))
        reach.states.emplace_back(mine.queue, state);
  if (!reach.states.empty())
    facts.emplace_back(std::move(reach));

  held_summary summary;
  for (slot s = a.held.head; s != nowhere; s = messages_[s].next)
    summary.add(messages_[s].lease->fence);
  if (what.body.list) {
    auto list = what.body.list->held;
    std::sort(list.begin(), list.end());
    // What this session was granted by claims it has the answers of, and does not have: it never arrived, so it goes back.
    for (slot s = a.held.head; s != nowhere; s = messages_[s].next) {
      auto& m = messages_[s];
      const auto& lanes = what.body.list->lanes;
      const bool answered = m.lease->lane == no_lane // By the answer to the opening.
                            || std::any_of(lanes.begin(), lanes.end(), [&](const wire::lane_position& p) {
                                 const bool has_answer = m.lease->seq <= p.seq || SALLYPORT_MUTANT(list_tears);
                                 return p.lane == a.lanes[m.lease->lane].name && has_answer;
                               });
      if (answered && m.lease->session == a.session
          && !std::binary_search(list.begin(), list.end(), wire::held_grant{m.id, m.lease->fence})) {
        SALLYPORT_MARK(list_takes_back);
        facts.emplace_back(fact::returned{s, note_kind::disconnected, c.now.wall});
      }
    }
    for (auto& held : list) {
      if (!is_granted(find(held.message), who.index, held.fence))
        reply.lost.push_back(held);
    }
  } else if ((what.body.held_count != summary.count() || what.body.held_hash != summary.hash())
             && (!a.asked_once || c.now.mono - a.list_asked >= settings_.session_ttl)) {
    reply.commands.push_back(wire::session_command::list_held);
    facts.emplace_back(fact::list_asked{who.index, c.now.mono});
  }
  if (!a.notices.empty()) {
    reply.lost.insert(reply.lost.end(), a.notices.begin(), a.notices.end());
    facts.emplace_back(fact::notices_told{who.index});
  }
  return {std::move(reply), std::move(facts)};
}

decision<wire::session_closed> lease_table::decide(const ask::close& what, const context& c) const {
  const auto who = live(what.session, c);
  if (who.refused)
    return {*who.refused, {}};
  std::vector<any_fact> facts;
  give_back(facts, who.index, note_kind::closed, c.now.wall, {});
  const auto returned = facts.size();
  facts.emplace_back(fact::session_ended{who.index, false});
  return {wire::session_closed{returned}, std::move(facts)};
}

} // namespace sallyport::cloud
