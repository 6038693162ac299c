// What people see: messages with their history, queues, agents.
#include "cloud/core/lease_table.hpp"

#include <algorithm>

namespace sallyport::cloud {

namespace {

std::string_view word(note_kind k) {
  switch (k) {
    case note_kind::granted: return "granted";
    case note_kind::lost: return "lost";
    case note_kind::disconnected: return "disconnected";
    case note_kind::released: return "released";
    case note_kind::settled: return "settled";
    case note_kind::failed: return "failed";
    case note_kind::target_failed: return "target_failed";
    case note_kind::taken_back: return "taken_back";
    case note_kind::hold_limit: return "hold_limit";
    case note_kind::stale_settle: return "stale_settle";
    case note_kind::late_settle: return "late_settle";
    case note_kind::dead: return "dead";
    case note_kind::expired: return "expired";
    case note_kind::cancelled: return "cancelled";
    case note_kind::redriven: return "redriven";
    case note_kind::loss_forgiven: return "loss_forgiven";
    case note_kind::rebound: return "rebound";
    case note_kind::closed: return "closed";
    case note_kind::elided: return "elided";
  }
  return "unknown";
}

std::string_view word(circuit::phase p) {
  switch (p) {
    case circuit::phase::closed: return "closed";
    case circuit::phase::open: return "open";
    case circuit::phase::probing: return "probing";
  }
  return "unknown";
}

constexpr std::uint32_t page_max = 1000;

} // namespace

std::string_view lease_table::state_word(const message& m) const {
  switch (m.state) {
    case message_state::waiting:
      if (m.delayed)
        return "delayed";
      return m.key != 0 && !m.offered ? "behind_key" : "ready";
    case message_state::granted: return "granted";
    case message_state::settled: return "settled";
    case message_state::dead: return "dead";
    case message_state::expired: return "expired";
    case message_state::cancelled: return "cancelled";
  }
  return "unknown";
}

result<message_answer> lease_table::view(const ask::view_message& what, const context& c) const {
  const auto found = visible(what.message, c);
  if (!found)
    return found.err();
  auto& m = messages_[*found];
  auto& q = queues_[m.queue];
  message_answer answer;
  auto& v = answer.view;
  v.message = m.id, v.group = q.group, v.connection = q.name, v.state = std::string{state_word(m)};
  v.source = std::string{m.source()}, v.id = std::string{m.event_id()};
  v.attempts = m.attempts, v.losses = m.losses, v.maybe_started = m.maybe_started, v.enqueued_at = m.enqueued_at;
  if (m.state == message_state::waiting && m.delayed)
    v.due_at = m.due_at;
  answer.fetch_result = m.has_result;
  const auto add = [&](wall_time at, std::string_view what_happened, agent_index a, session_id session, fence_token fence,
                       std::string detail) {
    wire::history_entry e;
    e.at = at, e.what = std::string{what_happened}, e.fence = fence, e.detail = std::move(detail);
    if (a != nowhere)
      e.agent = agents_[a].name.value;
    if (!session.is_none())
      e.session = to_string(session);
    v.history.push_back(std::move(e));
  };
  add(m.enqueued_at, "queued", nowhere, {}, {}, {});
  if (!m.lease)
    return answer;
  auto& l = *m.lease;
  auto& story = l.story();
  v.error = story.error, v.result = story.result;
  // The straight way leaves no notes: its grant and settlement are read from the fields.
  const auto noted = [&](note_kind k, fence_token f) {
    return std::any_of(story.history.begin(), story.history.end(), [&](const note& n) { return n.what == k && n.fence == f; });
  };
  for (auto& n : story.history)
    add(n.at, word(n.what), n.agent, n.session, n.fence, n.detail);
  if (m.state == message_state::granted) {
    v.holder = agents_[l.agent].name.value;
    if (!noted(note_kind::granted, l.fence))
      add(l.granted_at, "granted", l.agent, l.session, l.fence, {});
  } else if (m.state == message_state::settled) {
    if (!noted(note_kind::granted, l.settled_under))
      add(l.granted_at, "granted", l.agent, l.session, l.settled_under, {});
    if (l.settled_as == wire::outcome_kind::done && !noted(note_kind::settled, l.settled_under))
      add(m.due_at, "settled", l.agent, l.session, l.settled_under, {});
  }
  std::stable_sort(v.history.begin(), v.history.end(), [](auto& a, auto& b) { return a.at < b.at; });
  return answer;
}

lease_table::final_call lease_table::call_state(message_id message) const {
  const auto s = find(message);
  if (s == nowhere)
    return {.final = true, .state = message_state::expired, .word = "forgotten"};
  auto& m = messages_[s];
  final_call f{.final = is_final(m.state), .state = m.state, .maybe_started = m.maybe_started, .result_is_content = m.has_result};
  f.word = state_word(m);
  if (m.lease) {
    f.failed = f.final && m.lease->settled_as == wire::outcome_kind::failed;
    f.error = m.lease->story().error;
    f.result = m.lease->story().result;
  }
  return f;
}

wire::connection_view lease_table::view_of(queue_index qi, wall_time now) const {
  auto& q = queues_[qi];
  wire::connection_view v;
  v.name = q.name, v.policy = q.policy;
  v.delayed = q.delayed;
  v.behind_key = q.lane_waiting - q.lane_delayed - q.lane_offered;
  v.ready = q.fifo.count + q.early.size() + q.suspects.size();
  v.granted = q.granted, v.dead = q.dead.count, v.retained = q.finals.count;
  v.enqueued_total = q.enqueued_total, v.settled_total = q.settled_total, v.failed_total = q.failed_total,
  v.lost_total = q.lost_total;
  auto oldest = never;
  const auto see = [&](slot s) {
    if (s != nowhere)
      oldest = std::min(oldest, messages_[s].enqueued_at);
  };
  see(q.fifo.head);
  see(q.early.empty() ? nowhere : q.early.begin()->second);
  see(q.suspects.empty() ? nowhere : q.suspects.begin()->second);
  for (auto& [key, lane] : q.lanes)
    see(lane.waiting.head);
  if (q.delayed != q.lane_delayed)
    for (auto& [due, s] : due_)
      if (messages_[s].queue == qi)
        see(s);
  v.fingerprints_differ = false;
  const agent_connection* first = nullptr;
  for (auto& a : agents_) {
    if (q.granted != 0)
      for (slot s = a.held.head; s != nowhere; s = messages_[s].next)
        if (messages_[s].queue == qi)
          see(s);
    auto* c = a.find(qi);
    if (!c)
      continue;
    if (v.adapter.empty())
      v.adapter = c->announced.adapter, v.effect = c->announced.effect;
    if (!a.live)
      continue;
    if (first && first->announced.fingerprint != c->announced.fingerprint)
      v.fingerprints_differ = true;
    first = c;
  }
  if (oldest != never)
    v.oldest_age = std::max(milliseconds{0}, now - oldest);
  v.retention_now = q.policy.retention;
  if (q.finals.count >= q.policy.retention_count && q.finals.head != nowhere)
    v.retention_now = std::min(v.retention_now, std::max(milliseconds{0}, now - messages_[q.finals.head].due_at));
  v.target_state = std::string{word(q.target.now)};
  if (q.target.now == circuit::phase::open)
    v.target_retry_at = q.target.retry_at;
  return v;
}

result<wire::groups_reply> lease_table::view(const ask::view_groups& what, const context& c) const {
  wire::groups_reply reply;
  const auto group_of = [&](const group_name& name) -> wire::group_view* {
    if (!c.scope.covers(name) || (what.group && *what.group != name))
      return nullptr;
    for (auto& g : reply.groups)
      if (g.name == name)
        return &g;
    reply.groups.push_back({name, {}, {}});
    return &reply.groups.back();
  };
  for (queue_index q = 0; q < queues_.size(); ++q)
    if (auto* g = group_of(queues_[q].group))
      g->connections.push_back(view_of(q, c.now.wall));
  for (auto& a : agents_)
    if (auto* g = group_of(a.group)) {
      wire::agent_view v;
      v.name = a.name, v.version = a.version, v.live = a.live, v.held = a.held.count;
      if (a.live)
        v.session = to_string(a.session);
      v.granted_total = a.granted_total, v.settled_total = a.settled_total, v.lost_total = a.lost_total;
      for (auto& mine : a.connections)
        v.connections.push_back(mine.announced);
      g->agents.push_back(std::move(v));
    }
  if (what.group && reply.groups.empty()) {
    if (!c.scope.covers(*what.group))
      return {errc::wrong_group, "the token is not for group \"" + what.group->value + "\""};
    return {errc::unknown_group, "group \"" + what.group->value + "\" has neither agents nor connections"};
  }
  std::sort(reply.groups.begin(), reply.groups.end(), [](auto& a, auto& b) { return a.name < b.name; });
  for (auto& g : reply.groups) {
    std::sort(g.connections.begin(), g.connections.end(), [](auto& a, auto& b) { return a.name < b.name; });
    std::sort(g.agents.begin(), g.agents.end(), [](auto& a, auto& b) { return a.name < b.name; });
  }
  return reply;
}

result<wire::connection_view> lease_table::view(const ask::view_connection& what, const context& c) const {
  const auto q = visible(what.group, what.connection);
  if (!q)
    return q.err();
  return view_of(*q, c.now.wall);
}

result<page_answer> lease_table::view(const ask::list& what, const context& c) const {
  (void)c;
  const auto found = visible(what.group, what.connection);
  if (!found)
    return found.err();
  const auto limit = std::min(what.limit, page_max);
  // In order of id: pages stay stable while messages come and go. A page costs one walk of the table; it is for people.
  std::vector<std::pair<message_id, slot>> matching;
  for (slot s = 0; s < messages_.size(); ++s) {
    auto& m = messages_[s];
    if (m.queue != *found || m.id.serial == 0 || (what.after && m.id <= *what.after))
      continue;
    const bool wanted = what.state == ask::listed::any       ? !is_final(m.state) || m.state == message_state::dead
                        : what.state == ask::listed::ready   ? m.state == message_state::waiting && !m.delayed
                        : what.state == ask::listed::delayed ? m.state == message_state::waiting && m.delayed
                        : what.state == ask::listed::granted ? m.state == message_state::granted
                                                             : m.state == message_state::dead;
    if (!wanted)
      continue;
    matching.emplace_back(m.id, s);
    if (matching.size() > 4u * limit + 4) { // Keep the smallest only.
      std::nth_element(matching.begin(), matching.begin() + limit, matching.end());
      matching.resize(limit + 1);
    }
  }
  std::sort(matching.begin(), matching.end());
  page_answer answer;
  answer.fetch_events = what.peek;
  for (auto [id, s] : matching) {
    if (answer.page.messages.size() == limit) {
      answer.page.next = to_string(answer.page.messages.back().message);
      break;
    }
    auto& m = messages_[s];
    wire::queued_view v;
    v.message = id, v.source = std::string{m.source()}, v.id = std::string{m.event_id()}, v.state = std::string{state_word(m)};
    v.attempts = m.attempts, v.losses = m.losses, v.enqueued_at = m.enqueued_at;
    if (m.lease)
      v.error = m.lease->story().error;
    if (what.peek)
      if (const auto event = cached(s))
        v.event = *event;
    answer.page.messages.push_back(std::move(v));
  }
  return answer;
}

} // namespace sallyport::cloud
