// What people do to queues and messages: configure, cancel, redrive, purge.
#include "cloud/core/lease_table.hpp"

#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::cloud {

std::vector<std::string> lease_table::problems(const wire::queue_policy& p) {
  std::vector<std::string> found;
  const auto want = [&](bool ok, const char* what) {
    if (!ok)
      found.emplace_back(what);
  };
  want(p.max_attempts >= 1 && p.max_attempts <= 10'000, "max_attempts must be 1 to 10000");
  want(p.backoff_min.count() >= 1, "backoff_min_ms must be at least 1");
  want(p.backoff_max >= p.backoff_min, "backoff_max_ms must not be below backoff_min_ms");
  want(p.attempt_timeout.count() >= 1, "attempt_timeout_ms must be at least 1");
  want(p.hold_limit.count() == 0 || p.hold_limit >= p.attempt_timeout, "hold_limit_ms must be 0 or at least attempt_timeout_ms");
  want(p.retention.count() >= 1000, "retention_ms must be at least 1000: repeated requests are recognised that long");
  return found;
}

decision<bool> lease_table::decide(const ask::configure& what, const context& c) const {
  const auto index = find(what.group, what.connection);
  (void)c;
  if (index == nowhere && !what.create)
    return {no_such_connection(what.group, what.connection), {}};
  auto policy = index == nowhere ? settings_.policy : queues_[index].policy;
  const auto set = [](auto& field, const auto& given) {
    if (given)
      field = *given;
  };
  auto& patch = what.patch;
  set(policy.max_attempts, patch.max_attempts), set(policy.backoff_min, patch.backoff_min);
  set(policy.backoff_max, patch.backoff_max), set(policy.attempt_timeout, patch.attempt_timeout);
  set(policy.hold_limit, patch.hold_limit), set(policy.message_ttl, patch.message_ttl);
  set(policy.retention, patch.retention), set(policy.retention_count, patch.retention_count);
  set(policy.max_in_flight, patch.max_in_flight), set(policy.max_messages, patch.max_messages);
  set(policy.paused, patch.paused), set(policy.dead, patch.dead);
  set(policy.unknown_effect, patch.unknown_effect), set(policy.fingerprints, patch.fingerprints);
  if (auto faults = problems(policy); !faults.empty()) {
    std::string all = "connection \"" + what.connection.value + "\": ";
    for (std::size_t i = 0; i < faults.size(); ++i)
      all += (i == 0 ? "" : "; ") + faults[i];
    return {error{errc::invalid_request, std::move(all), {}, {}}, {}};
  }
  if (index == nowhere)
    return {true, beginning_with(fact::queue_made{what.group, what.connection, policy})};
  if (policy == queues_[index].policy)
    return {false, {}};
  return {false, beginning_with(fact::policy_set{index, policy})};
}

result<slot> lease_table::visible(message_id id, const context& c) const {
  const auto s = find(id);
  if (s == nowhere)
    return {errc::unknown_message, "message " + to_string(id) + " is not known, or was forgotten after its retention"};
  if (!c.scope.covers(queues_[messages_[s].queue].group))
    return {errc::wrong_group, "message " + to_string(id) + " belongs to a group the token is not for"};
  return s;
}

decision<wire::cancel_reply> lease_table::decide(const ask::cancel& what, const context& c) const {
  auto s = visible(what.message, c);
  if (!s)
    return {std::move(s).err(), {}};
  auto& m = messages_[*s];
  if (is_final(m.state) && m.state != message_state::dead)
    return {error{errc::already_final, "message " + to_string(m.id) + " is " + std::string{state_word(m)}, {}, {}}, {}};
  fact::finished f{*s, message_state::cancelled, note_kind::cancelled, c.now.wall, mint{*this}()};
  f.detail = m.maybe_started ? "may have run" : "never ran";
  if (m.state == message_state::granted)
    SALLYPORT_MARK(cancel_of_granted);
  auto facts = beginning_with(std::move(f));
  return {wire::cancel_reply{m.id, m.maybe_started && !SALLYPORT_MUTANT(cancel_never_ran)}, std::move(facts)};
}

decision<wire::count_reply> lease_table::decide(const ask::bury& what, const context& c) const {
  const auto s = find(what.message);
  if (s == nowhere || messages_[s].state != message_state::granted || messages_[s].fence() != what.fence)
    return {wire::count_reply{0}, {}}; // It has ended, or was granted anew, since.
  fact::finished f{s, message_state::dead, note_kind::dead, c.now.wall, mint{*this}()};
  f.error = what.why;
  auto facts = beginning_with(std::move(f));
  return {wire::count_reply{1}, std::move(facts)};
}

decision<wire::count_reply> lease_table::decide(const ask::redrive& what, const context& c) const {
  const auto q = visible(what.group, what.connection);
  if (!q)
    return {q.err(), {}};
  std::vector<any_fact> facts;
  if (what.messages.empty()) {
    for (slot s = queues_[*q].dead.head; s != nowhere; s = messages_[s].next)
      facts.emplace_back(fact::redriven{s, c.now.wall});
  } else {
    auto ids = what.messages;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (auto id : ids) {
      const auto s = find(id);
      if (s == nowhere || messages_[s].queue != *q)
        return {error{errc::unknown_message,
                      "message " + to_string(id) + " is not one of connection \"" + what.connection.value + "\"",
                      {},
                      {}},
                {}};
      if (messages_[s].state != message_state::dead)
        return {error{errc::not_dead, "message " + to_string(id) + " is " + std::string{state_word(messages_[s])}, {}, {}}, {}};
      facts.emplace_back(fact::redriven{s, c.now.wall});
    }
  }
  const auto count = facts.size();
  return {wire::count_reply{count}, std::move(facts)};
}

decision<wire::count_reply> lease_table::decide(const ask::purge& what, const context& c) const {
  const auto q = visible(what.group, what.connection);
  if (!q)
    return {q.err(), {}};
  std::vector<any_fact> facts;
  mint next{*this};
  const auto drop = [&](slot s) {
    fact::finished f{s, message_state::cancelled, note_kind::cancelled, c.now.wall, next()};
    f.detail = messages_[s].maybe_started ? "purged; may have run" : "purged; never ran";
    facts.emplace_back(std::move(f));
  };
  auto& queue = queues_[*q];
  if (what.dead)
    for (slot s = queue.dead.head; s != nowhere; s = messages_[s].next)
      drop(s);
  // Everything that waits: rare enough, and asked for by a person, that a walk over the table is no harm.
  if (what.ready || what.delayed)
    for (slot s = 0; s < messages_.size(); ++s) {
      auto& m = messages_[s];
      if (m.queue == *q && m.state == message_state::waiting && m.id.serial != 0 && (m.delayed ? what.delayed : what.ready))
        drop(s);
    }
  const auto count = facts.size();
  return {wire::count_reply{count}, std::move(facts)};
}

} // namespace sallyport::cloud
