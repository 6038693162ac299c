#include "tests/judge/judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace sallyport::judge {

namespace {

bool is_final(std::string_view state) {
  return state == "settled" || state == "dead" || state == "expired" || state == "cancelled";
}

/// Notes of a message's history that end a grant, whoever asked for it.
bool ends_a_grant(std::string_view note) {
  static const std::set<std::string_view> ends = {"lost", "disconnected", "released", "settled", "failed",    "target_failed",
                                                  "dead", "taken_back",   "expired",  "closed",  "cancelled", "hold_limit"};
  return ends.count(note) != 0;
}

const final_word* last_word(const history& h, message_id m) {
  auto found = h.at_end.find(m);
  return found == h.at_end.end() ? nullptr : &found->second;
}

std::string name(const history& h, message_id m) {
  auto* v = last_word(h, m);
  return v && !v->id.empty() ? fmt::format("{} ({})", to_string(m), v->id) : to_string(m);
}

} // namespace

void conservation(history& h, const expectations& expected) {
  for (auto& [id, e] : h.events) {
    if (!e.message)
      continue;
    auto* v = last_word(h, *e.message);
    if (!v)
      h.violate("conservation", fmt::format("{} ({}) was acknowledged and is gone", id, to_string(*e.message)));
    else if (v->id != id)
      h.violate("conservation", fmt::format("{} was acknowledged as {}, which is {}", id, to_string(*e.message), v->id));
    else if (expected.drained && !is_final(v->state) && !(expected.dead == wire::on_dead::block && v->state == "behind_key"))
      h.violate("conservation", fmt::format("{} ({}) is still {}", id, to_string(*e.message), v->state));
    else if (v->state == "expired" && e.expires_at == wall_time::max() && !e.call)
      h.violate("conservation", fmt::format("{} ({}) expired, and had no end", id, to_string(*e.message)));
    else if (v->state == "cancelled" && !e.cancel_asked)
      h.violate("conservation", fmt::format("{} ({}) was cancelled by nobody", id, to_string(*e.message)));
  }
}

void one_message(history& h) {
  std::map<message_id, std::string> owners;
  for (auto& [id, e] : h.events)
    for (auto& m : e.told) {
      if (m != *e.message)
        h.violate("one_message", fmt::format("{} was acknowledged as {} and as {}", id, to_string(*e.message), to_string(m)));
      auto [it, fresh] = owners.try_emplace(m, id);
      if (!fresh && it->second != id)
        h.violate("one_message", fmt::format("{} and {} were both acknowledged as {}", it->second, id, to_string(m)));
    }
}

void fences_rise(history& h) {
  for (auto& [id, v] : h.at_end) {
    fence_token last{};
    for (auto& e : v.history)
      if (e.what == "granted") {
        if (e.fence <= last)
          h.violate("fences_rise",
                    fmt::format("{}: fence {} was granted after {}", name(h, id), to_string(e.fence), to_string(last)));
        last = e.fence;
      }
  }
  std::map<fence_token, std::pair<message_id, std::string>> owners;
  for (auto& g : h.grants) {
    auto [it, fresh] = owners.try_emplace(g.fence, g.message, g.agent);
    if (!fresh && it->second != std::pair{g.message, g.agent})
      h.violate("fences_rise", fmt::format("fence {} was given to {} for {} and to {} for {}", to_string(g.fence),
                                           it->second.second, name(h, it->second.first), g.agent, name(h, g.message)));
  }
  epoch_number highest{};
  for (auto& e : h.epochs) {
    if (e.epoch <= highest)
      h.violate("fences_rise", fmt::format("epoch {} follows {}", e.epoch.value, highest.value));
    highest = e.epoch;
  }
  // As the hub said it, whoever received it: a fence names one grant for ever, and those of a message rise. (Of two messages, the one
  // that was granted first may be told of last: its answer was lost in a crash, and is asked for again.)
  std::map<fence_token, std::pair<message_id, session_id>> said;
  std::map<message_id, fence_token> last;
  for (auto& c : h.claims)
    for (auto& g : c.grants) {
      auto [it, fresh] = said.try_emplace(g.fence, g.message, c.session);
      if (!fresh && it->second != std::pair{g.message, c.session})
        h.violate("fences_rise", fmt::format("fence {} was given out twice, for {} and for {}", to_string(g.fence),
                                             name(h, it->second.first), name(h, g.message)));
      if (fresh && g.fence <= last[g.message])
        h.violate("fences_rise", fmt::format("{}: fence {} was given out after {}", name(h, g.message), to_string(g.fence),
                                             to_string(last[g.message])));
      last[g.message] = std::max(last[g.message], g.fence);
    }
}

void one_holder(history& h) {
  std::map<message_id, std::vector<const seen_grant*>> by_message;
  for (auto& g : h.grants)
    by_message[g.message].push_back(&g);
  // A message taken from a living holder (its hold limit passed, somebody cancelled it, the head of its key failed) may be begun until
  // the holder hears of it: the burnt fence keeps that harmless. Whoever lost its session knows by its own clock; whoever was itself given
  // a newer fence knows by that.
  const auto was_taken = [&](const effect& s) {
    auto* v = last_word(h, s.message);
    return v && std::any_of(v->history.begin(), v->history.end(), [&](auto& n) {
             return n.fence == s.fence && (n.what == "hold_limit" || n.what == "taken_back" || n.what == "cancelled");
           });
  };
  std::map<fence_token, step_number> over; // When its holder was first told how it ended.
  for (auto& v : h.verdicts)
    over.try_emplace(v.fence, v.step);
  const auto is_in_hand = [&](const seen_grant& g, const effect& s) {
    auto end = over.find(g.fence);
    return g.agent == s.agent && (end == over.end() || end->second > s.step);
  };
  for (auto& s : h.started)
    for (auto* g : by_message[s.message])
      if (g->fence > s.fence && g->step < s.step && (is_in_hand(*g, s) || !was_taken(s)))
        h.violate("one_holder", fmt::format("{} started {} under fence {} after {} was granted it under {}", s.agent,
                                            name(h, s.message), to_string(s.fence), g->agent, to_string(g->fence)));
  // By the hub's own account: a grant begins when the one before has ended.
  for (auto& [id, v] : h.at_end) {
    wall_time ended{};
    for (auto& e : v.history) {
      if (ends_a_grant(e.what))
        ended = std::max(ended, e.at);
      else if (e.what == "granted" && e.at < ended)
        h.violate("one_holder", fmt::format("{} was granted to {} before it was given back", name(h, id), e.agent));
    }
  }
}

void live_until_silent(history& h, const expectations& expected) {
  const auto ttl = expected.session_ttl;
  if (ttl.count() == 0)
    return;
  std::map<session_id, std::vector<const said_to_session*>> by_session;
  for (auto& a : h.answers)
    if (a.what == said_to_session::how::served || a.what == said_to_session::how::expired)
      by_session[a.session].push_back(&a);
  std::map<session_id, const said_opened*> owner;
  for (auto& o : h.openings)
    owner.try_emplace(o.session, &o);
  // A session that was heard from within its ttl is not told that it has expired.
  for (auto& [session, answers] : by_session) {
    auto who = owner.find(session);
    if (who == owner.end())
      continue;
    const auto& mine = *who->second;
    const auto ended_by_itself = [&](step_number until) {
      return std::any_of(h.asked_openings.begin(), h.asked_openings.end(),
                         [&](const asked_opening& o) { return o.agent == mine.agent && o.life > mine.life && o.step <= until; });
    };
    std::sort(answers.begin(), answers.end(), [](auto* a, auto* b) { return a->arrived < b->arrived; });
    std::optional<wall_time> served;
    for (auto* a : answers) {
      if (a->what == said_to_session::how::expired && served && a->arrived_at - *served < ttl && !ended_by_itself(a->step))
        h.violate("live_until_silent", fmt::format("session {} of {} had expired {} ms after it was heard from",
                                                   to_string(session), mine.agent, (a->arrived_at - *served).count()));
      if (a->what == said_to_session::how::served)
        served = a->arrived_at;
    }
  }
  for (auto& [id, v] : h.at_end)
    for (auto& e : v.history) {
      if (e.what != "lost")
        continue;
      auto session = parse_session_id(e.session);
      auto who = session ? owner.find(*session) : owner.end();
      // Without its opening it cannot be told who it was; a new process of the same agent ends a session at once.
      if (who == owner.end())
        continue;
      const auto& mine = *who->second;
      if (std::any_of(h.asked_openings.begin(), h.asked_openings.end(), [&](const asked_opening& o) {
            return o.agent == mine.agent && o.life.process > mine.life.process && o.at <= e.at;
          }))
        continue;
      const auto lost = [&](wall_time since, std::string_view what) {
        if (since < e.at && e.at - since < ttl)
          h.violate("live_until_silent", fmt::format("{} was lost with session {} of {}, {} ms after {}", name(h, id), e.session,
                                                     e.agent, (e.at - since).count(), what));
      };
      for (auto* a : by_session[*session])
        lost(a->arrived_at, "it was heard from");
      // A hub that was itself away cannot tell who else was.
      for (auto& o : h.epochs)
        lost(o.at, "the hub had started");
      for (auto& s : h.standstills)
        if (s.length > ttl / 3)
          lost(s.until, "the hub had stood still");
    }
}

void losses_taken_back(history& h) {
  std::map<std::string, const said_opened*> sessions;
  for (auto& o : h.openings)
    sessions.try_emplace(to_string(o.session), &o);
  for (auto& [id, v] : h.at_end) {
    std::set<fence_token> forgiven;
    std::optional<wall_time> ended; // For the first time: then it is too late.
    std::size_t losses = 0;
    bool elided = false;
    for (auto& e : v.history) {
      if (e.what == "loss_forgiven")
        forgiven.insert(e.fence);
      losses += e.what == "lost";
      elided = elided || e.what == "elided";
      const bool final = e.what == "dead" || e.what == "settled" || e.what == "expired" || e.what == "cancelled";
      // The last failure of a call, and a hold limit passed for the last time, are told by no other note.
      if ((final || e.what == "failed" || e.what == "hold_limit") && !ended)
        ended = e.at;
    }
    if (elided || losses > 16)
      continue;
    for (auto& e : v.history) {
      auto held = e.what == "lost" && forgiven.count(e.fence) == 0 ? sessions.find(e.session) : sessions.end();
      if (held == sessions.end())
        continue;
      for (auto& o : h.openings)
        if (o.agent == held->second->agent && o.life.process == held->second->life.process && o.life > held->second->life
            && e.at < o.asked_at && (!ended || o.at < *ended))
          h.violate("losses_taken_back",
                    fmt::format("{} was lost by {} under fence {}, whose process came back, and still counts", name(h, id),
                                e.agent, to_string(e.fence)));
    }
  }
}

void replaced_is_silent(history& h) {
  // An opening ends whatever its agent had before: what arrives for that later is refused.
  std::map<session_id, const said_opened*> owner;
  for (auto& o : h.openings)
    owner.try_emplace(o.session, &o);
  std::map<std::string, std::vector<const said_opened*>> by_agent;
  for (auto& o : h.openings) {
    for (auto* earlier : by_agent[o.agent])
      if (earlier->session != o.session && earlier->life >= o.life)
        h.violate("replaced_is_silent", fmt::format("{} opened as {}.{} and after that as {}.{}", o.agent, earlier->life.process,
                                                    earlier->life.opening, o.life.process, o.life.opening));
    by_agent[o.agent].push_back(&o);
  }
  const auto check = [&](session_id session, step_number arrived, std::string_view what) {
    auto found = owner.find(session);
    if (found == owner.end())
      return; // Its opening was never said: the hub died before.
    for (auto* o : by_agent[found->second->agent])
      if (o->session != session && o->life > found->second->life && o->step < arrived)
        return h.violate("replaced_is_silent", fmt::format("{} of session {} was served after {} had opened {}", what,
                                                           to_string(session), o->agent, to_string(o->session)));
  };
  for (auto& a : h.answers)
    if (a.what == said_to_session::how::served)
      check(a.session, a.arrived, "a request");
  for (auto& c : h.claims)
    check(c.session, c.arrived, "a claim");
}

void one_settlement(history& h) {
  std::map<message_id, const seen_verdict*> ended;
  const auto look = [&](const seen_verdict& v) {
    if (v.kind != wire::verdict_kind::settled || !v.counted || *v.counted != wire::outcome_kind::done)
      return;
    auto [it, fresh] = ended.try_emplace(v.message, &v);
    if (!fresh && it->second->fence != v.fence)
      h.violate("one_settlement", fmt::format("{} was settled under fence {} and under {}", name(h, v.message),
                                              to_string(it->second->fence), to_string(v.fence)));
  };
  for (auto& v : h.verdicts)
    look(v);
  for (auto& v : h.said_verdicts)
    look(v);
  // The one that counted is the highest that was granted, and the last word says so.
  std::map<message_id, fence_token> highest;
  for (auto& g : h.grants)
    highest[g.message] = std::max(highest[g.message], g.fence);
  for (auto& [m, v] : ended) {
    if (auto top = highest.find(m); top != highest.end() && top->second > v->fence)
      h.violate("one_settlement", fmt::format("{} was settled under fence {}, and {} was granted", name(h, m),
                                              to_string(v->fence), to_string(top->second)));
    if (auto* word = last_word(h, m); word && word->state != "settled")
      h.violate("one_settlement", fmt::format("{} was settled and is {}", name(h, m), word->state));
  }
  for (auto& [id, v] : h.at_end) {
    std::set<fence_token> settled;
    for (auto& e : v.history)
      if (e.what == "settled")
        settled.insert(e.fence);
    if (settled.size() > 1)
      h.violate("one_settlement", fmt::format("{} was settled {} times by its history", name(h, id), settled.size()));
  }
}

void stale_changes_nothing(history& h) {
  // A verdict of stale says that somebody was given a newer fence; one of burnt, that the message was taken away. Neither may be followed
  // by the same fence counting, and no fence counts after a newer one was given out.
  std::map<fence_token, const seen_verdict*> refused;
  std::map<message_id, std::vector<std::pair<step_number, fence_token>>> given;
  for (auto& c : h.claims)
    for (auto& g : c.grants)
      given[g.message].emplace_back(c.step, g.fence);
  for (auto& v : h.said_verdicts) {
    const bool counts = v.kind == wire::verdict_kind::settled;
    if (v.kind == wire::verdict_kind::stale || v.kind == wire::verdict_kind::burnt)
      refused.try_emplace(v.fence, &v);
    else if (auto found = refused.find(v.fence); counts && found != refused.end())
      h.violate("stale_changes_nothing", fmt::format("fence {} of {} was refused as {}, and counted later", to_string(v.fence),
                                                     name(h, v.message), wire::to_string(found->second->kind)));
  }
  // When the settlement that counts first reached the hub, nobody had been given a newer fence. (Its answer may have been lost, and be
  // said only later.)
  std::map<std::pair<fence_token, wire::outcome_kind>, step_number> reached;
  for (auto& s : h.sent)
    reached.try_emplace({s.what.fence, s.what.outcome}, s.step);
  std::set<fence_token> counted;
  for (auto& v : h.said_verdicts)
    if (v.kind == wire::verdict_kind::settled && counted.insert(v.fence).second)
      for (auto& [step, fence] : given[v.message])
        if (auto first = reached.find({v.fence, v.sent});
            fence > v.fence && step < (first == reached.end() ? v.step : std::min(first->second, v.step)))
          h.violate("stale_changes_nothing",
                    fmt::format("{} was settled as {} under fence {} after fence {} was given out", name(h, v.message),
                                wire::to_string(v.sent), to_string(v.fence), to_string(fence)));
  // By the hub's own account: after a note that took the message from its holder, that fence ends nothing.
  for (auto& [id, v] : h.at_end) {
    std::set<fence_token> taken;
    for (auto& e : v.history) {
      if (e.what == "taken_back" || e.what == "hold_limit" || e.what == "cancelled" || e.what == "expired")
        taken.insert(e.fence);
      else if ((e.what == "settled" || e.what == "failed" || e.what == "released" || e.what == "target_failed")
               && taken.count(e.fence) != 0)
        h.violate("stale_changes_nothing", fmt::format("{}: fence {} was taken back, and ended an attempt as {}", name(h, id),
                                                       to_string(e.fence), e.what));
    }
  }
}

void same_answer(history& h) {
  // Settlements: the first outcome of a fence is its outcome for ever.
  std::map<std::pair<std::string, fence_token>, const seen_verdict*> first;
  const auto& verdicts = h.said_verdicts.empty() ? h.verdicts : h.said_verdicts;
  for (auto& v : verdicts) {
    if (!v.counted)
      continue;
    auto [it, fresh] = first.try_emplace({v.agent, v.fence}, &v);
    if (!fresh && *it->second->counted != *v.counted)
      h.violate("same_answer",
                fmt::format("fence {} of {}: the outcome that counts was {}, then {}", to_string(v.fence), name(h, v.message),
                            wire::to_string(*it->second->counted), wire::to_string(*v.counted)));
  }
  for (auto& v : verdicts)
    if (auto found = first.find({v.agent, v.fence}); found != first.end() && found->second->step < v.step
                                                     && v.kind != wire::verdict_kind::settled
                                                     && v.kind != wire::verdict_kind::already)
      h.violate("same_answer", fmt::format("fence {} of {} had counted, and was answered {} later", to_string(v.fence),
                                           name(h, v.message), wire::to_string(v.kind)));
  // Claims: the same seq gets the same grants, less those that have ended; never others.
  struct lane_name {
    session_id session;
    std::string lane;
    std::uint64_t seq;
    auto operator<=>(const lane_name&) const = default;
  };
  std::map<lane_name, const said_claim*> answered;
  std::map<fence_token, step_number> ended; // When its end was first said.
  for (auto& v : h.said_verdicts)
    if (v.counted)
      ended.try_emplace(v.fence, v.step);
  for (auto& c : h.claims) {
    if (c.grants.empty())
      continue; // An empty answer is stored nowhere, and may be followed by grants.
    auto [it, fresh] = answered.try_emplace({c.session, c.lane.value, c.seq}, &c);
    if (fresh)
      continue;
    for (auto& g : c.grants)
      if (std::find(it->second->grants.begin(), it->second->grants.end(), g) == it->second->grants.end())
        h.violate("same_answer", fmt::format("session {} lane {} seq {}: {} under fence {} was not in the first answer",
                                             to_string(c.session), c.lane.value, c.seq, name(h, g.message), to_string(g.fence)));
  }
  // Calls: one end.
  for (auto& [id, e] : h.events) {
    std::optional<call_end> end;
    for (auto& one : e.call_ends) {
      if (one != call_end::result && one != call_end::failed && one != call_end::not_started)
        continue;
      if (end && *end != one)
        h.violate("same_answer", fmt::format("the call {} was answered in two ways", id));
      end = one;
    }
  }
}

void key_order(history& h) {
  struct span {
    wall_time from, to;
    bool redriven; // It came back to its place when a later one may have been in somebody's hands.
  };
  // A holder that lost its session may have done it before, in order, and report it when nobody else has been granted it.
  const auto is_late = [](const final_word& v, fence_token fence) {
    bool lost = false;
    for (auto& e : v.history)
      if (e.fence == fence && (e.what == "lost" || e.what == "disconnected" || e.what == "closed" || e.what == "rebound"))
        lost = e.what != "rebound";
    return lost;
  };
  std::map<std::pair<std::string, std::string>, std::vector<const final_word*>> keys;
  for (auto& [id, v] : h.at_end)
    if (auto e = h.events.find(v.id); e != h.events.end() && !e->second.key.empty())
      keys[{e->second.queue, e->second.key}].push_back(&v);
  for (auto& [key, messages] : keys)
    for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
      // The times the earlier was not settled and not in anybody's hands: nothing later may be granted then.
      std::vector<span> idle;
      std::optional<wall_time> since;
      bool redriven = false;
      for (auto& e : messages[i]->history) {
        if (e.what == "queued" || e.what == "lost" || e.what == "failed" || e.what == "target_failed" || e.what == "released"
            || e.what == "taken_back" || e.what == "disconnected" || e.what == "closed" || e.what == "hold_limit") {
          if (!since)
            since = e.at, redriven = false;
        } else if (e.what == "elided") {
          since.reset(); // Who had it in between is not told any more.
        } else if (e.what == "redriven") {
          since = e.at, redriven = true; // It was dead, whatever note said so.
        } else if (since
                   && (e.what == "granted" || e.what == "rebound" || e.what == "dead" || e.what == "expired"
                       || e.what == "cancelled" || e.what == "settled")) {
          idle.push_back({*since, e.at, redriven});
          since.reset();
        }
      }
      for (auto j = i + 1; j < messages.size(); ++j)
        for (auto& e : messages[j]->history)
          if (e.what == "granted" || e.what == "rebound" || e.what == "settled")
            for (auto& gap : idle)
              if (gap.from < e.at && e.at < gap.to && !(e.what == "settled" && (gap.redriven || is_late(*messages[j], e.fence))))
                h.violate("key_order", fmt::format("key {}: {} was {} while {}, before it, was waiting", key.second,
                                                   messages[j]->id, e.what, messages[i]->id));
    }
  // And at the targets, for effects made under the fence that counted in the end. (An attempt of a holder that stood still may take
  // effect when its message is long dead: the target was not asked to check.)
  std::set<fence_token> counted;
  for (const auto* verdicts : {&h.verdicts, &h.said_verdicts})
    for (auto& v : *verdicts)
      if (v.counted && *v.counted == wire::outcome_kind::done)
        counted.insert(v.fence);
  for (auto& [id, v] : h.at_end)
    for (auto& e : v.history)
      if (e.what == "settled")
        counted.insert(e.fence);
  std::map<std::pair<std::string, std::string>, message_id> furthest;
  for (auto& s : h.committed)
    if (auto e = h.events.find(s.id); e != h.events.end() && !e->second.key.empty() && counted.count(s.fence) != 0) {
      auto& top = furthest[{e->second.queue, e->second.key}];
      auto* v = last_word(h, s.message);
      if (v && std::any_of(v->history.begin(), v->history.end(), [](auto& n) { return n.what == "redriven"; }))
        continue; // The key went on without it.
      if (s.message < top)
        h.violate("key_order", fmt::format("key {}: {} took effect after {}", e->second.key, s.id, name(h, top)));
      top = std::max(top, s.message);
    }
}

void not_early(history& h, const expectations& expected) {
  for (auto& [id, v] : h.at_end) {
    auto e = h.events.find(v.id);
    if (e == h.events.end())
      continue;
    for (auto& n : v.history)
      if (n.what == "granted" && n.at + expected.clock_slack < e->second.not_before)
        h.violate("not_early", fmt::format("{} was granted before its time", v.id));
  }
}

void never_started(history& h) {
  // The rest of a key's run counts as not begun when its head fails: agents work it off one after the other. Who does not keep to that is
  // the one who breaks the promise.
  const auto breaks_contract = [&](const effect& s) {
    auto* v = h.careless.count(s.agent) != 0 ? last_word(h, s.message) : nullptr;
    return v && std::any_of(v->history.begin(), v->history.end(), [&](auto& n) {
             return n.fence == s.fence && n.what == "taken_back";
           });
  };
  std::set<std::string> ran;
  for (const auto* effects : {&h.started, &h.committed})
    for (auto& s : *effects)
      if (!breaks_contract(s))
        ran.insert(s.id);
  for (auto& [id, e] : h.events) {
    auto* v = e.message ? last_word(h, *e.message) : nullptr;
    if (e.cancelled && e.cancel_said_never_ran && ran.count(id) != 0)
      h.violate("never_started", fmt::format("{} was cancelled as never run, and ran", id));
    if (e.cancelled && v && v->state != "cancelled")
      h.violate("never_started", fmt::format("{} was cancelled and is {}", id, v->state));
    if (std::count(e.call_ends.begin(), e.call_ends.end(), call_end::not_started) != 0 && ran.count(id) != 0)
      h.violate("never_started", fmt::format("the call {} was answered not_started, and ran", id));
  }
}

void effect_once(history& h) {
  std::map<std::string, int> times;
  for (auto& e : h.committed)
    ++times[e.id];
  for (auto& [id, n] : times)
    if (auto e = h.events.find(id); n > 1 && e != h.events.end() && e->second.effect_counts)
      h.violate("effect_once", fmt::format("{} took effect {} times", id, n));
  // What is settled as done has had its effect.
  std::set<message_id> done;
  for (const auto* verdicts : {&h.verdicts, &h.said_verdicts})
    for (auto& v : *verdicts)
      if (v.counted && *v.counted == wire::outcome_kind::done)
        done.insert(v.message);
  for (auto& m : done)
    if (auto* v = last_word(h, m); v && times.count(v->id) == 0)
      h.violate("effect_once", fmt::format("{} was settled as done and had no effect", name(h, m)));
  for (auto& [id, e] : h.events)
    if (std::count(e.call_ends.begin(), e.call_ends.end(), call_end::result) != 0 && times.count(id) == 0)
      h.violate("effect_once", fmt::format("the call {} was answered with a result and had no effect", id));
}

void fair_dead_letters(history& h, const expectations& expected) {
  if (expected.max_attempts == 0)
    return;
  struct reports {
    std::set<fence_token> failed;
    bool hopeless = false;
  };
  std::map<message_id, reports> reported;
  for (auto& s : h.sent)
    if (s.what.outcome == wire::outcome_kind::failed
        && (s.what.scope == wire::failure_scope::message || expected.dead_on_unknown_effect)) {
      auto& r = reported[s.what.message];
      r.failed.insert(s.what.fence);
      r.hopeless =
        r.hopeless || !s.what.retryable || (expected.dead_on_unknown_effect && s.what.effect == wire::effect_state::unknown);
    }
  std::map<std::string, const said_opened*> sessions;
  for (auto& o : h.openings)
    sessions.try_emplace(to_string(o.session), &o);
  for (auto& [id, v] : h.at_end) {
    if (v.state != "dead")
      continue;
    std::vector<const wire::history_entry*> losses;
    const wire::history_entry* death = nullptr;
    std::size_t held_too_long = 0;
    bool redriven = false, elided = false;
    for (auto& e : v.history) {
      if (e.what == "lost")
        losses.push_back(&e);
      else if (e.what == "loss_forgiven")
        std::erase_if(losses, [&](auto* l) { return l->fence == e.fence; });
      else if (e.what == "dead")
        death = &e;
      held_too_long += e.what == "hold_limit";
      redriven = redriven || e.what == "redriven";
      elided = elided || e.what == "elided";
    }
    if (redriven || elided)
      continue; // What it had before is not told any more.
    const bool by_loss = v.error.rfind("lost ", 0) == 0;
    if (!by_loss) {
      const auto& r = reported[id];
      if (!r.hopeless && r.failed.size() + held_too_long < expected.max_attempts)
        h.violate("fair_dead_letters", fmt::format("{} is dead after {} failures of {}", name(h, id),
                                                   r.failed.size() + held_too_long, expected.max_attempts));
      continue;
    }
    // Every loss that counts belongs to a process that has not come back since, as far as anybody was told.
    std::size_t real = 1; // The last one, which ended it.
    for (auto* l : losses) {
      auto held = sessions.find(l->session);
      const bool came_back =
        held != sessions.end() && std::any_of(h.openings.begin(), h.openings.end(), [&](const said_opened& o) {
          return o.agent == held->second->agent && o.life.process == held->second->life.process && o.life > held->second->life
                 && l->at <= o.at && death && o.at < death->at;
        });
      real += !came_back;
    }
    if (real < 3)
      h.violate("fair_dead_letters",
                fmt::format("{} is dead for its losses, and only {} of them were of processes that did not come back",
                            name(h, id), real));
  }
}

void judge(history& h, const expectations& expected) {
  conservation(h, expected);
  one_message(h);
  fences_rise(h);
  one_holder(h);
  live_until_silent(h, expected);
  losses_taken_back(h);
  replaced_is_silent(h);
  one_settlement(h);
  stale_changes_nothing(h);
  same_answer(h);
  key_order(h);
  not_early(h, expected);
  never_started(h);
  effect_once(h);
  fair_dead_letters(h, expected);
}

} // namespace sallyport::judge
