#include "tests/chaos/verdict.hpp"

#include "tests/judge/judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace sallyport::chaos {

namespace {

using ids = std::map<std::string, int>;

/// What took effect, by event: rows, files, orders, and what agents by hand have done.
ids effects_of(const evidence& e) {
  ids out;
  for (auto& r : e.rows)
    ++out[r.id];
  for (auto& [name, content] : e.files)
    ++out[name];
  for (auto& o : e.orders)
    ++out[o.id];
  for (auto& d : e.done)
    ++out[d.id];
  return out;
}

judge::history history_of(const evidence& e) {
  judge::history h;
  for (auto& one : e.events) {
    auto& s = h.events[one.id];
    s.id = one.id, s.queue = to_string(one.target), s.key = one.key, s.tried = true, s.call = one.call;
    s.effect_counts = false; // Doubled effects are counted below, by table.
    s.told = one.told;
    if (!one.told.empty())
      s.message = one.told.front();
    s.not_before = one.not_before;
    s.cancel_asked = one.cancelled || one.cancel_in_doubt;
    s.cancelled = one.cancelled, s.cancel_said_never_ran = one.cancel_said_never_ran;
    s.call_ends = one.call_ends;
    // A cancel whose answer was lost has happened when the hub says so.
    if (one.cancel_in_doubt && s.message)
      if (auto v = e.at_end.find(*s.message); v != e.at_end.end() && v->second.state == "cancelled")
        s.cancelled = true;
  }
  h.grants = e.grants, h.started = e.started, h.verdicts = e.verdicts;
  h.at_end = e.at_end;
  return h;
}

/// Order at the table: of one key, what was settled took effect in order. What was not settled may have run late, when nobody waited.
void order_at_the_table(judge::history& h, const evidence& e) {
  for (auto& r : e.rows)
    if (auto v = e.at_end.find(r.message); v != e.at_end.end() && v->second.state == "settled")
      h.committed.push_back({r.message, r.fence, r.id, {}, 0});
}

void all_effects(judge::history& h, const evidence& e) {
  h.committed = e.done;
  for (auto& r : e.rows)
    h.committed.push_back({r.message, r.fence, r.id, {}, 0});
  for (auto& [name, content] : e.files)
    h.committed.push_back({{}, {}, name, {}, 0});
  for (auto& o : e.orders)
    h.committed.push_back({parse_message_id(o.key).value_or(message_id{}), {}, o.id, {}, 0});
}

/// A call is settled by its first failure as well; then its history ends with that.
bool was_done(const wire::message_view& v) {
  return v.state == "settled" && std::any_of(v.history.begin(), v.history.end(), [](auto& n) { return n.what == "settled"; });
}

void settled_has_its_effect(judge::history& h, const evidence& e, const ids& effects) {
  for (auto& [id, v] : e.at_end)
    if (was_done(v) && effects.count(v.id) == 0)
      h.violate("settled_has_its_effect", fmt::format("{} ({}) of {} is settled and is not to be found at its target", v.id,
                                                      to_string(id), v.connection.value));
}

/// By the hub's own account: between two grants of a message stands the end of the first.
void one_live_grant(judge::history& h, const evidence& e) {
  static const std::set<std::string_view> ends = {"lost",          "disconnected", "released",   "settled", "failed",
                                                  "target_failed", "dead",         "taken_back", "expired", "closed",
                                                  "cancelled",     "hold_limit",   "elided"};
  for (auto& [id, v] : e.at_end) {
    const wire::history_entry* holder = nullptr;
    for (auto& n : v.history) {
      if (n.what == "granted") {
        if (holder)
          h.violate("one_live_grant",
                    fmt::format("{} ({}) was granted to {} under {} while {} had it under {}", v.id, to_string(id), n.agent,
                                to_string(n.fence), holder->agent, to_string(holder->fence)));
        holder = &n;
      } else if (ends.count(n.what) != 0) {
        holder = nullptr;
      }
    }
  }
}

void sql_once(judge::history& h, const evidence& e) {
  ids times;
  for (auto& r : e.rows)
    ++times[r.id];
  for (auto& [id, n] : times)
    if (n > 1)
      h.violate("sql_once", fmt::format("{} has {} rows", id, n));
  if (e.inbox && e.inbox_rows != e.rows.size())
    h.violate("inbox_and_effect",
              fmt::format("{} rows of effects and {} in the inbox, which commit together", e.rows.size(), e.inbox_rows));
}

/// A request that was refused, or never left, has done nothing; if all requests for an event ended so, it is nowhere.
void refused_is_nowhere(judge::history& h, const evidence& e, const ids& effects) {
  for (auto& one : e.events)
    if (one.ok == 0 && one.unknown == 0 && effects.count(one.id) != 0)
      h.violate("refused_is_nowhere", fmt::format("{} was only ever refused, and took effect", one.id));
}

/// A batch is stored whole or not at all, also when nobody was told which.
void batches_are_whole(judge::history& h, const evidence& e, const ids& effects) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> batches; // Events, and those that took effect.
  std::set<std::string> clear;
  for (auto& one : e.events) {
    if (one.batch < 0 || one.sent_alone)
      continue;
    const auto name = one.id.substr(0, one.id.rfind('-')) + " batch " + std::to_string(one.batch);
    auto& [all, ran] = batches[name];
    ++all, ran += effects.count(one.id);
    if (!one.told.empty())
      clear.insert(name); // The hub's own word is judged elsewhere.
  }
  for (auto& [name, n] : batches)
    if (clear.count(name) == 0 && n.second != 0 && n.second != n.first)
      h.violate("batches_are_whole", fmt::format("{}: nobody knows whether it was stored, and {} of its {} events took effect",
                                                 name, n.second, n.first));
}

void one_key_for_one_order(judge::history& h, const evidence& e, verdict& v) {
  std::map<std::string, std::string> keys, owners;
  ids times;
  for (auto& o : e.orders) {
    if (auto [it, fresh] = keys.try_emplace(o.id, o.key); !fresh && it->second != o.key)
      h.violate("idempotency_key", fmt::format("{} came with the keys {} and {}", o.id, it->second, o.key));
    if (auto [it, fresh] = owners.try_emplace(o.key, o.id); !fresh && it->second != o.id)
      h.violate("idempotency_key", fmt::format("{} and {} came with the key {}", it->second, o.id, o.key));
    v.http_repeated += ++times[o.id] == 2;
  }
}

void files_are_whole(judge::history& h, const evidence& e) {
  for (auto& [name, content] : e.files)
    if (name != content)
      h.violate("files_are_whole", fmt::format("{} holds \"{}\"", name, content));
}

/// What the hub tells of messages that violations name: the hub's files are gone with the run.
void tell_histories(const judge::history& h, const evidence& e, verdict& out) {
  for (auto& [id, v] : e.at_end) {
    if (out.histories.size() >= 10 || h.violations.empty())
      return;
    const auto named = [&, message = to_string(id)](const judge::violation& one) {
      const auto names = [&one](const std::string& word) {
        const auto at = one.what.find(word);
        const auto after = at == std::string::npos ? at : at + word.size();
        return at != std::string::npos
               && (after == one.what.size() || std::isdigit(static_cast<unsigned char>(one.what[after])) == 0);
      };
      return names(message) || names(v.id);
    };
    if (std::none_of(h.violations.begin(), h.violations.end(), named))
      continue;
    auto text = fmt::format("{} {} ({}): {}", v.connection.value, v.id, to_string(id), v.state);
    for (auto& n : v.history)
      text += fmt::format("\n    {} {} {} {} {}", to_rfc3339(n.at), n.what, n.agent, n.fence.is_none() ? "" : to_string(n.fence),
                          n.detail);
    out.histories.push_back(std::move(text));
  }
}

} // namespace

verdict weigh(evidence e) {
  verdict out;
  const auto effects = effects_of(e);
  auto h = history_of(e);
  h.violations = e.seen_at_once;
  const judge::expectations expected{.drained = e.drained, .clock_slack = milliseconds(5)};
  if (!e.drained)
    h.violate("drained", "faults have stopped, and not everything was worked off within its bound");

  order_at_the_table(h, e);
  judge::key_order(h);
  all_effects(h, e);
  judge::conservation(h, expected);
  judge::one_message(h);
  judge::fences_rise(h);
  judge::one_holder(h);
  judge::one_settlement(h);
  judge::stale_changes_nothing(h);
  judge::same_answer(h);
  judge::not_early(h, expected);
  judge::never_started(h);
  judge::effect_once(h);
  settled_has_its_effect(h, e, effects);
  one_live_grant(h, e);
  sql_once(h, e);
  refused_is_nowhere(h, e, effects);
  batches_are_whole(h, e, effects);
  one_key_for_one_order(h, e, out);
  files_are_whole(h, e);

  for (auto& v : h.violations) {
    if (v.law == "conservation" || v.law == "settled_has_its_effect" || v.law == "effect_once")
      ++out.lost;
    else if (v.law == "one_settlement" || v.law == "stale_changes_nothing")
      ++out.settled_twice;
    else if (v.law == "sql_once")
      ++out.sql_effects_doubled;
    else
      ++out.others;
  }
  tell_histories(h, e, out);
  for (auto& [id, v] : e.at_end) {
    ++out.states[v.state];
    for (auto& n : v.history)
      out.expired_grants += n.what == "lost";
  }
  for (auto& one : e.events)
    if (one.told.empty()) {
      ++out.never_acknowledged;
      out.of_those_took_effect += effects.count(one.id);
    }
  out.violations = std::move(h.violations);
  return out;
}

} // namespace sallyport::chaos
