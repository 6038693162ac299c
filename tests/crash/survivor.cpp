#include "tests/crash/survivor.hpp"

#include "tests/crash/scenario.hpp"
#include "tests/judge/judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace sallyport::crash {

using namespace cloud;

namespace {

const group_name plant{"plant"};
const connection_name erp{"erp"}, brief{"brief"};
constexpr milliseconds brief_retention{2'000};

bool is_final(const std::string& state) {
  return state == "settled" || state == "dead" || state == "expired" || state == "cancelled";
}

/// What was said of one message that may never become untrue.
struct promise {
  std::string id;
  std::string state; // Final, as last said; empty: nothing final was said.
  wall_time said_at{};
  std::size_t said = 0; // Which exchange said so.
  bool brief = false;
  bool done_asked = false, cancel_asked = false, cancel_answered = false, ended_somehow = false;
};

class survivor {
public:
  survivor(const std::filesystem::path& directory, const notebook& told)
    : told_(told),
      hub_(directory, now_, {}),
      witness_(hub_, now_, 7, [this](line l) { l.add(book_); }) {
    now_.mono = told.now.mono + milliseconds{700}, now_.wall = told.now.wall + milliseconds{700};
    book_.seen = told.seen;
    book_.seen.violations.clear();
    ++book_.seen.crashes;
    witness_.begin_at(1'000'000'000);
  }

  std::vector<judge::violation> run() {
    if (auto opened = hub_.open(hub::clock::set_back); !opened) {
      fail("opens", "the store does not open: " + to_string(opened.err()));
      return finish();
    }
    if (book_.seen.epochs.back().epoch <= told_.highest_epoch)
      fail("fences_rise",
           fmt::format("epoch {} after {} had been told", book_.seen.epochs.back().epoch.value, told_.highest_epoch.value));
    read_promises();
    look_at_messages();
    ask::configure keep{plant, brief, {}};
    keep.patch.retention = milliseconds{3'600'000}; // What is settled from here on is to be looked at in the end.
    ask("operator", std::move(keep));
    look_at_grants();
    send_again();
    settle_again();
    cancel_again();
    claim_again();
    drain();
    look_at_the_end();
    if (!hub_.is_up())
      fail("opens", "the hub stopped: " + hub_.why_stopped());
    judge::expectations expected;
    expected.max_attempts = hub::settings().policy.max_attempts;
    expected.session_ttl = hub::settings().session_ttl;
    judge::judge(book_.seen, expected);
    return finish();
  }

private:
  void fail(std::string law, std::string what) { book_.seen.violate(std::move(law), std::move(what)); }
  std::vector<judge::violation> finish() {
    hub_.close();
    return std::move(book_.seen.violations);
  }
  template <class Reply>
  std::optional<Reply> ask_for(const std::string& who, command_body what) {
    auto got = witness_.ask_and_wait(who, std::move(what));
    auto* reply = got ? std::get_if<Reply>(&*got) : nullptr;
    return reply ? std::optional{std::move(*reply)} : std::nullopt;
  }
  void ask(const std::string& who, command_body what) { (void)witness_.ask_and_wait(who, std::move(what)); }
  std::optional<wire::message_view> view(message_id m) {
    auto got = ask_for<message_answer>("operator", ask::view_message{m});
    return got ? std::optional{std::move(got->view)} : std::nullopt;
  }

  // ---- what was promised
  void read_promises() {
    for (std::size_t i = 0; i < told_.exchanges.size(); ++i) {
      auto& x = told_.exchanges[i];
      if (auto* enqueue = std::get_if<ask::enqueue>(x.asked.get())) {
        for (auto& item : enqueue->items)
          bytes_.emplace(item.attributes.id, item.bytes);
        if (auto* said = x.got ? std::get_if<wire::enqueue_reply>(&*x.got) : nullptr)
          for (auto& m : said->messages) {
            promises_[m.message].id = m.id;
            promises_[m.message].brief = enqueue->connection == brief;
          }
      }
      if (auto* settle = std::get_if<ask::settle>(x.asked.get()))
        read_settlement(i, *settle);
      if (auto* cancel = std::get_if<ask::cancel>(x.asked.get())) {
        auto& p = promises_[cancel->message];
        p.cancel_asked = p.ended_somehow = true;
        if (x.got && std::holds_alternative<wire::cancel_reply>(*x.got))
          p.state = "cancelled", p.said_at = x.at.wall, p.said = i, p.cancel_answered = true;
      }
      if (std::holds_alternative<ask::redrive>(*x.asked))
        last_redrive_ = i;
      if (auto* said = x.got ? std::get_if<wire::claim_reply>(&*x.got) : nullptr)
        for (auto& g : said->grants)
          promises_[g.message].brief = g.connection == brief;
      if (auto* said = x.got ? std::get_if<message_answer>(&*x.got) : nullptr; said && is_final(said->view.state)) {
        auto& p = promises_[said->view.message];
        p.state = said->view.state, p.said_at = x.at.wall, p.said = i;
      }
    }
  }
  void read_settlement(std::size_t i, const ask::settle& settle) {
    auto& x = told_.exchanges[i];
    for (auto& item : settle.body.items) {
      auto& p = promises_[item.message];
      p.ended_somehow = true;
      p.done_asked = p.done_asked || item.outcome == wire::outcome_kind::done;
    }
    auto* said = x.got ? std::get_if<wire::settle_reply>(&*x.got) : nullptr;
    for (std::size_t k = 0; said && k < said->items.size(); ++k) {
      auto& v = said->items[k];
      if (v.kind != wire::verdict_kind::settled)
        continue;
      auto& p = promises_[v.message];
      if (is_final(v.state))
        p.state = v.state, p.said_at = x.at.wall, p.said = i;
      auto again = settle.body.items[k];
      again.outcome = *v.outcome;
      counted_.try_emplace(v.fence, counted{x.who, settle.session, again});
    }
  }

  // ---- what is there
  void look_at_messages() {
    for (auto& [m, p] : promises_) {
      if (p.id.empty()) { // Its acknowledgement was lost.
        if (p.brief && p.ended_somehow && !view(m))
          forgotten_.insert(m);
        continue;
      }
      const auto v = view(m);
      if (!v) {
        // Forgotten after its retention, as its queue says: then it had ended long enough ago.
        const bool forgotten = p.brief && (p.ended_somehow || has_end(p.id)) && now_.wall - enqueued_at(p.id) > brief_retention;
        if (!forgotten)
          fail("conservation", fmt::format("{} ({}) was acknowledged and is gone", p.id, to_string(m)));
        book_.seen.events.erase(p.id);
        forgotten_.insert(m);
        continue;
      }
      if (v->id != p.id)
        fail("conservation", fmt::format("{} was acknowledged as {}, which is {}", p.id, to_string(m), v->id));
      const bool may_have_changed = p.state == "dead" && (last_redrive_ > p.said || p.cancel_asked);
      if (!p.state.empty() && v->state != p.state && !may_have_changed)
        fail("promise", fmt::format("{} ({}) was said to be {} and is {}", p.id, to_string(m), p.state, v->state));
      if (v->state == "settled" && !p.done_asked)
        fail("promise", fmt::format("{} ({}) is settled, and nobody has settled it", p.id, to_string(m)));
      if (v->state == "cancelled" && !p.cancel_asked)
        fail("promise", fmt::format("{} ({}) is cancelled, and nobody has cancelled it", p.id, to_string(m)));
    }
  }
  [[nodiscard]] bool has_end(const std::string& id) const {
    auto e = told_.seen.events.find(id);
    return e != told_.seen.events.end() && e->second.expires_at != wall_time::max();
  }
  [[nodiscard]] wall_time enqueued_at(const std::string& id) const {
    for (auto& x : told_.exchanges)
      if (auto* q = std::get_if<ask::enqueue>(x.asked.get()))
        for (auto& item : q->items)
          if (item.attributes.id == id)
            return x.at.wall;
    return told_.now.wall;
  }

  /// A grant that nothing asked for since could have ended is held still, under its fence.
  void look_at_grants() {
    std::map<message_id, std::pair<wire::grant, std::size_t>> latest;
    std::map<std::string, wall_time> heard; // The last answer to each agent.
    std::size_t last_opening = 0;
    bool broken_key = false;
    for (std::size_t i = 0; i < told_.exchanges.size(); ++i) {
      auto& x = told_.exchanges[i];
      if (std::holds_alternative<ask::open>(*x.asked) || std::holds_alternative<ask::close>(*x.asked))
        last_opening = i;
      if (auto* settle = std::get_if<ask::settle>(x.asked.get()))
        for (auto& item : settle->body.items)
          broken_key = broken_key || item.outcome != wire::outcome_kind::done; // Its key's run may have been taken back.
      if (auto* claim = x.got ? std::get_if<wire::claim_reply>(&*x.got) : nullptr) {
        heard[x.who] = x.at.wall;
        for (auto& g : claim->grants)
          latest[g.message] = {g, i};
      }
    }
    for (auto& [m, given] : latest) {
      auto& [g, i] = given;
      const auto& x = told_.exchanges[i];
      auto e = told_.seen.events.find(id_in(*g.event));
      const bool keyed = e == told_.seen.events.end() || !e->second.key.empty();
      const bool ends =
        e == told_.seen.events.end() || e->second.expires_at != wall_time::max() || e->second.queue == brief.value;
      if (ended_since(m, i) || ends || (keyed && broken_key) || last_opening > i
          || now_.wall - heard[x.who] > milliseconds{7'000})
        continue;
      if (holds(x.who, g))
        continue;
      const auto v = view(m);
      fail("promise", fmt::format("{} was granted to {} under fence {} and is {}", to_string(m), x.who, to_string(g.fence),
                                  v ? v->state + " under " + to_string(last_fence(*v)) : "gone"));
    }
  }
  [[nodiscard]] bool ended_since(message_id m, std::size_t given) const {
    for (auto i = given; i < told_.exchanges.size(); ++i) {
      auto& what = *told_.exchanges[i].asked;
      if (auto* cancel = std::get_if<ask::cancel>(&what); cancel && cancel->message == m)
        return true;
      if (auto* settle = std::get_if<ask::settle>(&what))
        for (auto& item : settle->body.items)
          if (item.message == m)
            return true;
    }
    // Asked before the answer to the claim was there: a settlement can only follow it, a cancel need not.
    auto p = promises_.find(m);
    return p != promises_.end() && p->second.cancel_asked;
  }
  static fence_token last_fence(const wire::message_view& v) {
    fence_token last;
    for (auto& e : v.history)
      if (e.what == "granted")
        last = std::max(last, e.fence);
    return last;
  }

  // ---- everybody asks again
  void send_again() {
    std::set<std::string> acknowledged, asked_before;
    for (auto& x : told_.exchanges)
      if (auto* said = x.got ? std::get_if<wire::enqueue_reply>(&*x.got) : nullptr)
        for (auto& m : said->messages)
          acknowledged.insert(m.id);
    for (auto& x : told_.exchanges) {
      auto* asked = std::get_if<ask::enqueue>(x.asked.get());
      if (!asked)
        continue;
      const bool gone = std::any_of(asked->items.begin(), asked->items.end(), [&](const event_item& item) {
        auto e = told_.seen.events.find(item.attributes.id);
        return e != told_.seen.events.end() && e->second.message && forgotten_.count(*e->second.message) != 0;
      });
      if (gone)
        continue; // Past its retention, a repetition is a new event.
      const auto got = witness_.ask_and_wait(x.who, *asked);
      const auto* reply = got ? std::get_if<wire::enqueue_reply>(&*got) : nullptr;
      if (!reply) {
        if (was_answered<wire::enqueue_reply>(x)) // Otherwise its queue may not have come into being.
          fail("same_answer",
               fmt::format("a producer repeats {} and is told: {}", describe(*x.asked), got ? describe(*got) : "nothing"));
        continue;
      }
      std::set<bool> landed; // Of what nobody was told, and nobody had asked before.
      for (auto& m : reply->messages) {
        const auto was = told_.seen.events.find(m.id);
        if (acknowledged.count(m.id) != 0) {
          if (!m.duplicate || was->second.message != m.message)
            fail("one_message", fmt::format("{} was stored as {}; sent again it is {}{}", m.id, to_string(*was->second.message),
                                            m.duplicate ? "" : "new, ", to_string(m.message)));
        } else if (asked_before.insert(m.id).second) {
          landed.insert(m.duplicate);
        }
      }
      // Of a queue that forgets, a part may have come and gone.
      const bool may_be_forgotten = asked->connection == brief && now_.wall - x.at.wall > brief_retention;
      if (landed.size() > 1 && !may_be_forgotten)
        fail("atomic", fmt::format("of the batch that began with {} a part is there", asked->items.front().attributes.id));
      for (auto& m : reply->messages)
        asked_before.insert(m.id);
    }
  }

  struct counted {
    std::string who;
    session_id session;
    wire::settlement what;
  };
  void settle_again() {
    for (auto& [fence, c] : counted_) {
      if (forgotten_.count(c.what.message) != 0)
        continue;
      const auto said = report(c.who, c.session, c.what);
      if (!said || said->kind != wire::verdict_kind::settled || said->outcome != c.what.outcome)
        fail("same_answer",
             fmt::format("{} under fence {} had been settled as {}; told again it is {}", to_string(c.what.message),
                         to_string(fence), wire::to_string(c.what.outcome), said ? wire::to_string(said->kind) : "refused"));
      auto other = c.what;
      other.outcome = c.what.outcome == wire::outcome_kind::release ? wire::outcome_kind::failed : wire::outcome_kind::release;
      const auto second = report(c.who, c.session, other);
      if (!second || second->kind != wire::verdict_kind::already || second->outcome != c.what.outcome)
        fail("same_answer",
             fmt::format("{} under fence {} had been settled as {}; told another outcome it is {}", to_string(c.what.message),
                         to_string(fence), wire::to_string(c.what.outcome), second ? wire::to_string(second->kind) : "refused"));
    }
    // Whoever was not answered reports again, in the order of before.
    for (auto& x : told_.exchanges)
      if (auto* settle = std::get_if<ask::settle>(x.asked.get()); settle && !was_answered<wire::settle_reply>(x)) {
        auto again = *settle;
        std::erase_if(again.body.items, [&](auto& one) { return forgotten_.count(one.message) != 0; });
        ask(x.who, std::move(again));
      }
  }
  std::optional<wire::verdict> report(const std::string& who, session_id session, const wire::settlement& what) {
    ask::settle s{session, {agent_id{who}, {what}}};
    auto reply = ask_for<wire::settle_reply>(who, std::move(s));
    return reply && reply->items.size() == 1 ? std::optional{reply->items.front()} : std::nullopt;
  }
  template <class Reply>
  static bool was_answered(const exchange& x) {
    return x.got && std::holds_alternative<Reply>(*x.got);
  }

  void cancel_again() {
    for (auto& x : told_.exchanges) {
      auto* cancel = std::get_if<ask::cancel>(x.asked.get());
      const bool unknown =
        cancel && (!x.got || (std::get_if<error>(&*x.got) && std::get<error>(*x.got).code != errc::already_final));
      if (!unknown || forgotten_.count(cancel->message) != 0)
        continue;
      if (const auto v = view(cancel->message); v && v->state == "cancelled")
        witness_.found_cancelled(cancel->message);
      else
        ask(x.who, *cancel);
    }
  }

  /// The last claim of each lane gets the grants it had, less those that have ended.
  void claim_again() {
    std::map<std::string, const exchange*> last;
    for (auto& x : told_.exchanges)
      if (auto* claim = std::get_if<ask::claim>(x.asked.get()))
        last[claim->body.lane.value] = &x;
    for (auto& [lane, x] : last) {
      auto asked = std::get<ask::claim>(*x->asked);
      asked.body.wait = {};
      const auto first = x->got ? std::get_if<wire::claim_reply>(&*x->got) : nullptr;
      // With all of them ended there is nothing to repeat, and no agent would ask.
      const auto& who = x->who;
      if (first && std::none_of(first->grants.begin(), first->grants.end(), [&](const wire::grant& g) { return holds(who, g); }))
        continue;
      const auto reply = ask_for<wire::claim_reply>(x->who, asked);
      if (!reply || !first)
        continue; // Its session has ended.
      for (auto& g : first->grants) {
        const bool given = std::any_of(reply->grants.begin(), reply->grants.end(),
                                       [&](const wire::grant& r) { return r.message == g.message && r.fence == g.fence; });
        if (!given && holds(x->who, g))
          fail("same_answer", fmt::format("lane {} seq {} was granted {} and holds it; asked again it is not in the answer", lane,
                                          asked.body.seq, to_string(g.message)));
      }
      for (auto& r : reply->grants) {
        const bool had = std::any_of(first->grants.begin(), first->grants.end(),
                                     [&](const wire::grant& g) { return r.message == g.message && r.fence == g.fence; });
        if (!had)
          check_new(r);
      }
    }
  }
  bool holds(const std::string& who, const wire::grant& g) {
    const auto v = view(g.message);
    return v && v->state == "granted" && last_fence(*v) == g.fence && v->holder == who;
  }
  void check_new(const wire::grant& g) {
    if (g.fence <= told_.highest_fence)
      fail("fences_rise", fmt::format("{} is granted under fence {} after {} had been given out", to_string(g.message),
                                      to_string(g.fence), to_string(told_.highest_fence)));
    check_event(g);
  }
  void check_event(const wire::grant& g) {
    auto sent = bytes_.find(id_in(*g.event));
    if (sent == bytes_.end() || *sent->second != *g.event)
      fail("conservation", fmt::format("the event of {} is not what was sent", to_string(g.message)));
  }

  // ---- the rest is worked off
  void drain() {
    ask::open o;
    o.body.group = plant, o.body.agent.value = "z", o.body.id.value = "z", o.body.life = {1, 1};
    o.body.connections = {{erp, "crash", wire::effect_promise::exactly_once, "crash://", wire::reach::up, {}},
                          {brief, "crash", wire::effect_promise::exactly_once, "crash://", wire::reach::up, {}}};
    const auto opened = ask_for<wire::session_opened>("z", std::move(o));
    if (!opened)
      return fail("drains", "no new agent can open a session");
    std::uint64_t seq = 0;
    // The others are gone: their sessions end by silence, and what they held comes back.
    for (int round = 0; round < 100; ++round) {
      ask::claim c;
      c.session = opened->session, c.body.lane.value = "z", c.body.seq = ++seq, c.body.max_messages = 500;
      c.body.max_bytes = 16 << 20;
      c.body.connections = {{erp, 500}, {brief, 500}};
      const auto got = ask_for<wire::claim_reply>("z", std::move(c));
      if (!got)
        return fail("drains", "a claim of the new agent is refused");
      if (got->grants.empty()) {
        if (is_drained())
          return;
        now_.mono += milliseconds{2'000}, now_.wall += milliseconds{2'000};
        continue;
      }
      ask::settle s{opened->session, {agent_id{"z"}, {}}};
      for (auto& g : got->grants) {
        check_new(g);
        witness_.took_effect("z", g, id_in(*g.event));
        wire::settlement one;
        one.message = g.message, one.fence = g.fence;
        s.body.items.push_back(std::move(one));
      }
      const auto said = ask_for<wire::settle_reply>("z", std::move(s));
      for (auto& v : said ? said->items : std::vector<wire::verdict>{})
        if (v.kind != wire::verdict_kind::settled)
          fail("drains", fmt::format("{} cannot be settled: {}", to_string(v.message), wire::to_string(v.kind)));
    }
    fail("drains", "something is left that nobody is granted");
  }
  bool is_drained() {
    for (auto& queue : {erp, brief}) {
      const auto v = ask_for<wire::connection_view>("operator", ask::view_connection{plant, queue});
      if (v && v->ready + v->delayed + v->granted + v->behind_key != 0)
        return false;
    }
    return true;
  }
  void look_at_the_end() {
    std::set<message_id> all;
    for (auto& [_, e] : book_.seen.events)
      all.insert(e.told.begin(), e.told.end());
    for (auto& g : book_.seen.grants)
      all.insert(g.message);
    for (auto& m : all)
      if (auto v = view(m))
        book_.seen.at_end.emplace(m, std::move(*v));
  }

  const notebook& told_;
  notebook book_;
  instant now_{};
  hub hub_;
  witness witness_;
  std::map<message_id, promise> promises_;
  std::map<fence_token, counted> counted_;
  std::map<std::string, wire::shared_bytes> bytes_;
  std::set<message_id> forgotten_;
  std::size_t last_redrive_ = 0;
};

} // namespace

std::vector<judge::violation> judge_survivor(const std::filesystem::path& directory, const notebook& told) {
  return survivor{directory, told}.run();
}

} // namespace sallyport::crash
