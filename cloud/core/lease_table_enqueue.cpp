// Enqueue and call: what comes in.
#include "cloud/core/lease_table.hpp"

#include <boost/container_hash/hash.hpp>

#include <algorithm>

namespace sallyport::cloud {

namespace {

/// Levenshtein distance, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

} // namespace

error lease_table::no_such_connection(const group_name& group, const connection_name& name) const {
  std::vector<std::pair<std::size_t, std::string>> near;
  bool group_known = false;
  for (auto& q : queues_)
    if (q.group == group) {
      group_known = true;
      if (auto d = distance(q.name.value, name.value); d <= std::max<std::size_t>(2, name.value.size() / 3))
        near.emplace_back(d, q.name.value);
    }
  std::string detail = "group \"" + group.value + "\" has no connection \"" + name.value + "\"";
  if (!group_known)
    detail = "no agent of group \"" + group.value + "\" has announced a connection, and nobody has created one";
  std::sort(near.begin(), near.end());
  for (std::size_t i = 0; i < near.size() && i < 3; ++i)
    detail += (i == 0 ? "; did you mean \"" : "\" or \"") + near[i].second;
  if (!near.empty())
    detail += "\"?";
  return make_error(errc::unknown_connection, detail + "; an agent announces it, or an admin creates it with PUT");
}

result<queue_index> lease_table::visible(const group_name& group, const connection_name& name) const {
  if (auto q = find(group, name); q != nowhere)
    return q;
  return no_such_connection(group, name);
}

/// Judges one event: a duplicate of a stored one, or a new fact. The second of the pair says it is a duplicate.
result<std::pair<message_id, bool>> lease_table::place(std::vector<any_fact>& facts, queue_index q,
                                                       const wire::queue_policy& policy, const event_item& item, message_id id,
                                                       bool call, wall_time call_deadline, instant now) const {
  auto& a = item.attributes;
  if (q != nowhere)
    if (auto known = by_name_.find(name_ref{q, a.source, a.id}); known != by_name_.end()) {
      auto& m = messages_[*known];
      if (m.content != item.content && m.content != digest128{}) // None: stored by an older version.
        return {errc::id_reused, "source \"" + a.source + "\", id \"" + a.id + "\" was stored as " + to_string(m.id)
                                   + " with other content; give a new event a new id"};
      return std::pair{m.id, true};
    }
  auto expires = a.expires_at.value_or(never);
  if (policy.message_ttl.count() != 0)
    expires = std::min(expires, now.wall + policy.message_ttl);
  if (call)
    expires = std::min(expires, call_deadline);
  fact::enqueued f{q,         id, now.wall, a.not_before.value_or(wall_time{}), expires, 0, call, {a.source, a.id}, item.content,
                   item.bytes};
  if (!a.partition_key.empty())
    f.key = hash_key(a.partition_key);
  facts.emplace_back(std::move(f));
  return std::pair{id, false};
}

std::optional<error> lease_table::too_many(queue_index q, const wire::queue_policy& policy, std::uint64_t added,
                                           const connection_name& name) const {
  const auto live = q == nowhere ? 0 : queues_[q].live;
  if (policy.max_messages == 0 || added == 0 || live + added <= policy.max_messages)
    return std::nullopt;
  auto e = make_error(errc::queue_full, "connection \"" + name.value + "\" has " + std::to_string(live) + " messages of at most "
                                          + std::to_string(policy.max_messages));
  e.retry_after_s = 1;
  return e;
}

decision<wire::enqueue_reply> lease_table::decide(const ask::enqueue& what, const context& c) const {
  std::vector<any_fact> facts;
  auto q = find(what.group, what.connection);
  if (q == nowhere) {
    if (!what.create)
      return {no_such_connection(what.group, what.connection), {}};
    q = static_cast<queue_index>(queues_.size());
    facts.emplace_back(fact::queue_made{what.group, what.connection, settings_.policy});
  }
  const bool known = q < queues_.size();
  auto& policy = known ? queues_[q].policy : settings_.policy;

  wire::enqueue_reply reply;
  reply.messages.reserve(what.items.size());
  facts.reserve(facts.size() + what.items.size());
  // Repeats within the batch are repeats as well.
  boost::unordered_flat_map<std::pair<std::string_view, std::string_view>, std::size_t,
                            boost::hash<std::pair<std::string_view, std::string_view>>>
    in_batch;
  const bool several = what.items.size() > 1;
  if (several)
    in_batch.reserve(what.items.size());
  std::uint64_t serial = next_message_;
  for (std::size_t i = 0; i < what.items.size(); ++i) {
    auto& item = what.items[i];
    auto& a = item.attributes;
    if (several) {
      auto [first, is_new] = in_batch.try_emplace({a.source, a.id}, i);
      if (!is_new) {
        if (what.items[first->second].content != item.content) {
          auto e = make_error(errc::id_reused, "events " + std::to_string(first->second) + " and " + std::to_string(i)
                                                 + " of the batch have the same source and id but other content");
          e.index = i;
          return {std::move(e), {}};
        }
        reply.messages.push_back({reply.messages[first->second].message, a.source, a.id, true});
        continue;
      }
    }
    auto placed = place(facts, known ? q : nowhere, policy, item, {epoch_.value, serial}, false, never, c.now);
    if (!placed) {
      auto e = std::move(placed).err();
      if (several)
        e.index = i;
      return {std::move(e), {}};
    }
    if (!placed->second) {
      std::get<fact::enqueued>(facts.back()).queue = q;
      ++serial;
    }
    reply.messages.push_back({placed->first, a.source, a.id, placed->second});
  }
  if (auto full = too_many(known ? q : nowhere, policy, serial - next_message_, what.connection))
    return {std::move(*full), {}};
  return {std::move(reply), std::move(facts)};
}

bool lease_table::is_reachable(const group_name& group, const connection_name& connection) const {
  const auto q = find(group, connection);
  return q != nowhere && std::any_of(agents_.begin(), agents_.end(), [&](const agent_info& a) {
           auto* c = a.live && a.group == group ? a.find(q) : nullptr;
           return c && c->announced.state == wire::reach::up;
         });
}

decision<message_id> lease_table::decide(const ask::call& what, const context& c) const {
  const auto q = find(what.group, what.connection);
  if (q == nowhere && !what.create)
    return {no_such_connection(what.group, what.connection), {}};
  std::vector<any_fact> facts;
  auto& policy = q == nowhere ? settings_.policy : queues_[q].policy;
  auto placed = place(facts, q, policy, what.item, {epoch_.value, next_message_}, true, c.now.wall + what.deadline, c.now);
  if (!placed)
    return {std::move(placed).err(), {}};
  if (placed->second) // Asked before: whatever became of it is the answer.
    return {placed->first, {}};
  if (!is_reachable(what.group, what.connection)) {
    auto e = make_error(errc::no_agent_up, "group \"" + what.group.value + "\", connection \"" + what.connection.value
                                             + "\": no live agent reports it as up");
    e.retry_after_s = 1;
    return {std::move(e), {}};
  }
  if (auto full = too_many(q, policy, 1, what.connection))
    return {std::move(*full), {}};
  return {placed->first, std::move(facts)};
}

} // namespace sallyport::cloud
