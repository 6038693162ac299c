#include "tests/sim/checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace sallyport::sim {

using namespace cloud;

namespace {

const group_name plant{"plant"};
const connection_name erp{"erp"};

using views = std::map<message_id, wire::message_view>;

bool is_final(const std::string& state) {
  return state == "settled" || state == "dead" || state == "expired" || state == "cancelled";
}

/// Every acknowledged event is settled, dead, expired, cancelled, or behind a dead letter that blocks its key.
void conservation(history& h, const views& seen, bool may_block) {
  for (auto& [id, e] : h.events) {
    if (!e.message)
      continue;
    auto found = seen.find(*e.message);
    if (found == seen.end())
      h.violate(fmt::format("{} ({}) was acknowledged and is gone", id, to_string(*e.message)));
    else if (auto& v = found->second; !is_final(v.state) && !(may_block && v.state == "behind_key"))
      h.violate(fmt::format("{} ({}) is still {}", id, to_string(*e.message), v.state));
    else if (v.id != id)
      h.violate(fmt::format("{} was acknowledged as {}, which is {}", id, to_string(*e.message), v.id));
  }
}

/// Fences of grants only rise, and no two agents were ever given the same one.
void fences(history& h, const views& seen) {
  for (auto& [id, v] : seen) {
    fence_token last{};
    for (auto& e : v.history)
      if (e.what == "granted") {
        if (e.fence <= last)
          h.violate(fmt::format("{}: fence {} was granted after {}", to_string(id), to_string(e.fence), to_string(last)));
        last = e.fence;
      }
  }
  std::map<fence_token, std::pair<message_id, std::string>> owners;
  for (auto& g : h.grants) {
    auto [it, fresh] = owners.try_emplace(g.fence, g.message, g.agent);
    if (!fresh && it->second != std::pair{g.message, g.agent})
      h.violate(fmt::format("fence {} was given to {} and to {}", to_string(g.fence), it->second.second, g.agent));
  }
}

/// Nobody starts work under a fence after somebody else was given a newer one.
void leases(history& h) {
  for (auto& s : h.started)
    for (auto& g : h.grants)
      if (g.message == s.message && g.fence > s.fence && g.step < s.step)
        h.violate(fmt::format("{} started {} under fence {} after {} was granted it under {}", s.agent, to_string(s.message),
                              to_string(s.fence), g.agent, to_string(g.fence)));
}

/// One settlement succeeds; a repeated one gets the same answer.
void settlements(history& h) {
  std::map<message_id, fence_token> done;
  std::map<std::pair<fence_token, wire::outcome_kind>, wire::verdict_kind> first;
  for (auto& v : h.verdicts) {
    if (v.kind == wire::verdict_kind::settled && v.sent == wire::outcome_kind::done) {
      auto [it, fresh] = done.try_emplace(v.message, v.fence);
      if (!fresh && it->second != v.fence)
        h.violate(fmt::format("{} was settled under fence {} and under {}", to_string(v.message), to_string(it->second),
                              to_string(v.fence)));
    }
    auto [it, fresh] = first.try_emplace({v.fence, v.sent}, v.kind);
    if (!fresh && (it->second == wire::verdict_kind::settled) != (v.kind == wire::verdict_kind::settled))
      h.violate(
        fmt::format("fence {}: first {}, then {}", to_string(v.fence), wire::to_string(it->second), wire::to_string(v.kind)));
  }
}

/// What is settled as done has had its effect once; what never ran had none.
void effects(history& h, const views& seen) {
  std::map<std::string, int> times;
  for (auto& e : h.committed)
    ++times[e.id];
  for (auto& [id, n] : times)
    if (n > 1)
      h.violate(fmt::format("{} took effect {} times", id, n));
  for (auto& v : h.verdicts)
    if (v.kind == wire::verdict_kind::settled && v.sent == wire::outcome_kind::done) {
      auto found = seen.find(v.message);
      if (found == seen.end() || found->second.state != "settled" || times[found->second.id] != 1)
        h.violate(fmt::format("{} was reported settled and is {} with {} effects", to_string(v.message),
                              found == seen.end() ? "gone" : found->second.state,
                              found == seen.end() ? 0 : times[found->second.id]));
    }
  std::set<message_id> ran;
  for (auto& s : h.started)
    ran.insert(s.message);
  for (auto& [id, e] : h.events)
    if (e.cancelled_at != 0 && e.message) {
      if (e.cancel_said_never_ran && ran.count(*e.message) != 0)
        h.violate(fmt::format("{} was cancelled as never run, and ran", id));
      if (auto found = seen.find(*e.message); found != seen.end() && found->second.state != "cancelled")
        h.violate(fmt::format("{} was cancelled and is {}", id, found->second.state));
    }
}

/// Of one key, a message is granted only when every earlier one is final or held by the same session.
void order(history& h, const views& seen) {
  struct span {
    wall_time from, to;
    std::string session;
  };
  std::map<std::string, std::vector<const wire::message_view*>> keys;
  for (auto& [id, v] : seen)
    if (auto e = h.events.find(v.id); e != h.events.end() && !e->second.key.empty())
      keys[e->second.key].push_back(&v);
  for (auto& [key, messages] : keys)
    for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
      // The times the earlier was not settled and not in anybody's hands: nothing later may be granted then.
      std::vector<span> idle;
      std::optional<wall_time> since;
      for (auto& e : messages[i]->history) {
        if (e.what == "queued" || e.what == "lost" || e.what == "failed" || e.what == "target_failed" || e.what == "released"
            || e.what == "taken_back" || e.what == "disconnected" || e.what == "closed" || e.what == "hold_limit") {
          if (!since)
            since = e.at;
        } else if (since
                   && (e.what == "granted" || e.what == "rebound" || e.what == "dead" || e.what == "expired"
                       || e.what == "cancelled" || e.what == "settled")) {
          idle.push_back({*since, e.at, {}});
          since.reset();
        }
      }
      for (auto& e : messages[i + 1]->history)
        if (e.what == "granted")
          for (auto& gap : idle)
            if (gap.from < e.at && e.at < gap.to)
              h.violate(fmt::format("key {}: {} was granted while {}, before it, was waiting", key, messages[i + 1]->id,
                                    messages[i]->id));
    }
}

/// Nothing is granted before its time.
void schedule(history& h, const views& seen) {
  for (auto& [id, v] : seen) {
    auto e = h.events.find(v.id);
    if (e == h.events.end())
      continue;
    for (auto& n : v.history)
      if (n.what == "granted" && n.at < e->second.not_before)
        h.violate(fmt::format("{} was granted before its time", v.id));
  }
}

} // namespace

bool is_drained(hub& h) {
  auto got = h.ask(ask::view_connection{plant, erp});
  auto* v = std::get_if<wire::connection_view>(&got);
  return v && v->ready == 0 && v->delayed == 0 && v->granted == 0
         && (v->behind_key == 0 || (v->policy.dead == wire::on_dead::block && v->dead != 0));
}

void judge(history& h, hub& at, const wire::queue_policy& policy) {
  views seen;
  for (auto& [id, e] : h.events)
    if (e.message) {
      auto got = at.ask(ask::view_message{*e.message});
      if (auto* v = std::get_if<message_answer>(&got))
        seen.emplace(*e.message, std::move(v->view));
    }
  conservation(h, seen, policy.dead == wire::on_dead::block);
  fences(h, seen);
  leases(h);
  settlements(h);
  effects(h, seen);
  order(h, seen);
  schedule(h, seen);
}

} // namespace sallyport::sim
