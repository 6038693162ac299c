// Claims: who gets what.
#include "cloud/core/lease_table.hpp"

#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::cloud {

std::uint64_t lease_table::in_flight_room(const queue_info& q) const {
  if (q.policy.paused || q.target.now == circuit::phase::open)
    return 0;
  if (q.target.now == circuit::phase::probing)
    return q.target.probe == nowhere ? 1 : 0; // One tries for all.
  if (q.policy.max_in_flight == 0)
    return ~std::uint64_t{0};
  return q.policy.max_in_flight > q.granted ? q.policy.max_in_flight - q.granted : 0;
}

bool lease_table::has_work(queue_index queue) const {
  auto& q = queues_[queue];
  return (q.fifo.count != 0 || !q.early.empty() || !q.suspects.empty()) && in_flight_room(q) != 0;
}

enqueue_pace::load lease_table::load_of(queue_index queue) const {
  auto& q = queues_[queue];
  const auto there = q.live - q.delayed;
  return {there, there - q.granted, q.settled_total};
}

wire::grant lease_table::describe(slot s) const {
  auto& m = messages_[s];
  auto& q = queues_[m.queue];
  wire::grant g;
  g.message = m.id, g.fence = m.lease->fence, g.connection = q.name;
  g.attempt = m.attempts + 1u;
  g.attempt_timeout = q.policy.attempt_timeout;
  g.call = m.call;
  g.event = cached(s);
  return g;
}

std::vector<wire::grant> lease_table::granted(const selection& chosen) const {
  std::vector<wire::grant> grants;
  grants.reserve(chosen.messages.size());
  for (slot s : chosen.messages)
    grants.push_back(describe(s));
  return grants;
}

decision<lease_table::admitted> lease_table::admit(const ask::claim& what, const context& c) const {
  const auto who = live(what.session, c);
  if (who.refused)
    return {*who.refused, {}};
  auto& a = agents_[who.index];
  auto facts = beginning_with(fact::touched{who.index, deadline(c.now)});
  admitted answer{who.index, false, {}};
  auto lane = std::find_if(a.lanes.begin(), a.lanes.end(), [&](const agent_lane& l) { return l.name == what.body.lane; });
  if (lane == a.lanes.end() && a.lanes.size() == lanes_max)
    return {error{errc::too_many_lanes,
                  "session " + to_string(what.session) + " has used " + std::to_string(lanes_max)
                    + " lanes; a lane id is kept and its seq raised, not made anew for each claim",
                  {},
                  {}},
            std::move(facts)};
  if (lane != a.lanes.end() && what.body.seq < lane->seq) {
    SALLYPORT_MARK(claim_seq_stale);
    return {error{errc::claim_seq_stale,
                  "lane \"" + what.body.lane.value + "\" has claimed with seq " + std::to_string(lane->seq) + "; "
                    + std::to_string(what.body.seq) + " is lower",
                  {},
                  {}},
            std::move(facts)};
  }
  if (lane != a.lanes.end() && what.body.seq == lane->seq) {
    const auto index = static_cast<std::uint8_t>(lane - a.lanes.begin());
    for (slot s = a.held.head; s != nowhere; s = messages_[s].next) {
      auto& lease = *messages_[s].lease;
      if (lease.lane == index && lease.seq == what.body.seq && lease.session == a.session)
        answer.again.push_back(describe(s));
    }
    answer.repeated = what.body.seq == lane->granted_seq;
    if (answer.repeated)
      SALLYPORT_MARK(claim_repeated);
  } else {
    facts.emplace_back(fact::lane_confirmed{who.index, what.body.lane, what.body.seq});
  }
  return {std::move(answer), std::move(facts)};
}

selection lease_table::select(agent_index agent, const wire::claim& claim, instant now) const {
  selection chosen;
  auto& a = agents_[agent];
  if (!a.live || a.suspects_held != 0)
    return chosen; // Whoever holds suspects holds nothing else.
  const std::uint64_t most = std::min<std::uint64_t>(claim.max_messages, settings_.claim_messages);
  std::uint64_t bytes = 0;
  const auto full = [&](const message& m) {
    return chosen.messages.size() >= most || (!chosen.messages.empty() && bytes + m.bytes > claim.max_bytes);
  };
  const auto take = [&](slot s) {
    bytes += messages_[s].bytes;
    chosen.messages.push_back(s);
  };

  // The connections of the claim that may give something, turned by the seq so that none is always first.
  struct candidate {
    queue_index queue;
    std::uint64_t credit;
  };
  std::vector<candidate> candidates;
  bool is_host = false;
  for (std::size_t i = 0, n = claim.connections.size(); i < n; ++i) {
    auto& wanted = claim.connections[(i + claim.seq) % n];
    const auto q = find(a.group, wanted.name);
    if (q == nowhere || wanted.credit == 0)
      continue;
    is_host |= queues_[q].suspect_host == agent && !queues_[q].suspects.empty();
    auto* c = a.find(q);
    if (c && c->announced.state == wire::reach::up && has_work(q))
      candidates.push_back({q, std::min<std::uint64_t>(wanted.credit, in_flight_room(queues_[q]))});
  }

  if (a.held.count == 0) {
    // Suspects travel alone: as many as the most often lost among them allows.
    std::uint64_t cap = suspects_max;
    for (auto& [queue, credit] : candidates)
      for (auto& [id, s] : queues_[queue].suspects) {
        auto& m = messages_[s];
        const auto its_cap = std::max<std::uint64_t>(1, suspects_max >> std::min(m.losses - suspect_losses, 31));
        if (m.expires_at <= now.wall)
          continue;
        if (full(m) || credit == 0 || chosen.messages.size() + 1 > std::min(cap, its_cap))
          break;
        cap = std::min(cap, its_cap);
        take(s);
        --credit;
      }
    if (!chosen.messages.empty()) {
      SALLYPORT_MARK(suspects_alone);
      chosen.suspects = true;
      return chosen;
    }
  }
  if (is_host)
    return chosen; // It is being emptied for the suspects.

  for (auto& [queue, credit] : candidates) {
    auto& q = queues_[queue];
    slot fresh = q.fifo.head;
    auto early = q.early.begin();
    while (credit != 0 && (fresh != nowhere || early != q.early.end())) {
      const bool from_early = early != q.early.end() && (fresh == nowhere || early->first < messages_[fresh].id);
      slot s = from_early ? early->second : fresh;
      if (full(messages_[s]))
        break;
      if (from_early)
        ++early;
      else
        fresh = messages_[fresh].next;
      if (messages_[s].expires_at <= now.wall)
        continue; // The sweep will say so.
      take(s);
      --credit;
      // A run: the messages of this key that follow without a gap.
      if (messages_[s].key != 0)
        for (s = messages_[s].next; s != nowhere && credit != 0; s = messages_[s].next) {
          auto& m = messages_[s];
          if (m.delayed || m.is_suspect() || m.expires_at <= now.wall || full(m))
            break;
          take(s);
          --credit;
        }
    }
  }
  return chosen;
}

fact::granted lease_table::grant(agent_index agent, const wire::claim& claim, const selection& chosen, instant now) const {
  auto& lanes = agents_[agent].lanes;
  auto lane = std::find_if(lanes.begin(), lanes.end(), [&](const agent_lane& l) { return l.name == claim.lane; });
  SALLYPORT_ASSERT(lane != lanes.end()); // admit() has seen to it.
  return {agent, static_cast<std::uint8_t>(lane - lanes.begin()), claim.seq, mint{*this}(), now, chosen.messages};
}

} // namespace sallyport::cloud
