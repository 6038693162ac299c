#include "tests/crash/scenario.hpp"

#include "tests/crash/shim.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include <dlfcn.h>

namespace sallyport::crash {

using namespace cloud;

namespace {

const group_name plant{"plant"};
const connection_name erp{"erp"}, brief{"brief"};
constexpr milliseconds margin{500}, brief_hold{2'500};

void mark(const char* text) {
  static const auto shim = reinterpret_cast<decltype(&sallyport_crash_mark)>(::dlsym(RTLD_DEFAULT, "sallyport_crash_mark"));
  if (shim)
    shim(text);
}

struct held_grant {
  wire::grant grant;
  std::string id;
  mono_time since{};
};
struct lane {
  lane_id name;
  std::uint64_t seq = 0; // Of the last claim.
  bool waits = false;    // For its answer.
  bool lost = false;     // Its answer was lost: the same again.
};

/// An agent that keeps the rules: it starts nothing past its deadline, nothing it was told is gone, and nothing of a key out of turn.
struct actor {
  std::string name;
  incarnation life{1, 0};
  std::optional<session_id> session;
  bool opening = false;
  mono_time deadline{};
  epoch_number highest_epoch;
  std::array<lane, 2> lanes;
  std::map<message_id, held_grant> held;
  std::vector<wire::settlement> reported, late; // late: taken from it, and reported all the same.

  void forget_session() {
    session.reset();
    for (auto& l : lanes)
      l = {};
  }
};

class script {
public:
  script(const play& p, const std::filesystem::path& directory)
    : play_(p),
      chance_(p.seed),
      hub_(directory, now_, p.planted),
      witness_(hub_, now_, p.seed, [this](line l) {
        mark(l.text.c_str());
        done_.lines.push_back(std::move(l));
      }) {
    agents_[0].name = "a", agents_[1].name = "b";
  }

  played run() {
    if (!hub_.open())
      return finish();
    ask::configure c{plant, brief, {}};
    c.patch.retention = milliseconds{2'000};
    c.patch.attempt_timeout = milliseconds{1'000};
    c.patch.hold_limit = brief_hold + margin;
    witness_.ask("operator", std::move(c));
    for (auto& a : agents_)
      open(a, false);
    enqueue();
    settle_down();
    for (unsigned step = 1; step <= play_.steps && hub_.is_up(); ++step) {
      for (auto n = 1 + chance_.up_to(2); n-- != 0;)
        act();
      hub_.turn();
      if (hub_.is_up() && one_in(3)) { // Decided while an append is under way: in the next one.
        act();
        hub_.turn();
      }
      if (hub_.is_up())
        hub_.commit();
      if (hub_.is_up() && (step == play_.steps / 3 || step == play_.steps * 2 / 3))
        restart();
      else if (hub_.is_up() && step == play_.steps / 2)
        open(agents_[0], true);
      else if (hub_.is_up() && one_in(14))
        silence();
      pass(milliseconds{one_in(10) ? 2'000 : 20 + static_cast<int>(chance_.up_to(300))});
    }
    settle_down();
    return finish();
  }

private:
  bool one_in(std::uint64_t n) { return chance_.up_to(n - 1) == 0; }
  void pass(milliseconds t) {
    now_.mono += t, now_.wall += t;
    witness_.time_passes(t);
  }

  played finish() {
    done_.why_stopped = hub_.why_stopped();
    hub_.close();
    return std::move(done_);
  }
  void settle_down() {
    for (int i = 0; i < 6 && hub_.is_up(); ++i) {
      hub_.turn();
      if (hub_.is_up())
        hub_.commit();
    }
  }
  /// Nobody says anything for longer than a session lives.
  void silence() {
    for (int i = 0; i < 5 && hub_.is_up(); ++i) {
      pass(milliseconds{2'500});
      hub_.turn();
      if (hub_.is_up())
        hub_.commit();
    }
  }
  void restart() {
    hub_.close();
    lose_answers();
    pass(milliseconds{100});
    (void)hub_.open(); // When it cannot, it says why it stopped.
  }
  void lose_answers() {
    for (auto& a : agents_) {
      a.opening = false;
      for (auto& l : a.lanes)
        l.lost = std::exchange(l.waits, false);
    }
  }

  void act() {
    const auto what = chance_.up_to(99);
    if (what < 22)
      enqueue();
    else if (what < 29)
      enqueue_again();
    else if (what < 34)
      cancel();
    else if (what < 39 && !known_.empty())
      witness_.ask("operator", ask::view_message{known_[chance_.up_to(known_.size() - 1)].message});
    else if (what < 42)
      witness_.ask("operator", ask::redrive{plant, erp, {}});
    else
      work(agents_[chance_.up_to(1)]);
  }

  // ---- producers
  event_item new_event(bool keyed) {
    event_item i;
    auto& a = i.attributes;
    a.id = fmt::format("e{}", next_event_++), a.source = "/crash", a.type = "crash";
    if (keyed && chance_.up_to(4) < 3)
      a.partition_key = fmt::format("k{}", chance_.up_to(2));
    if (one_in(8))
      a.not_before = now_.wall + milliseconds{500 + static_cast<int>(chance_.up_to(14'000))};
    else if (a.partition_key.empty() && one_in(8))
      a.expires_at = now_.wall + milliseconds{1'500 + static_cast<int>(chance_.up_to(14'000))};
    const auto padding = one_in(9) ? 9'000 + chance_.up_to(4'000) : chance_.up_to(900);
    i.bytes = std::make_shared<const std::string>(
      fmt::format(R"({{"specversion":"1.0","id":"{}","source":"/crash","type":"crash"{},"data":"{}"}})", a.id,
                  a.partition_key.empty() ? "" : fmt::format(R"(,"partitionkey":"{}")", a.partition_key),
                  std::string(padding, static_cast<char>('a' + chance_.up_to(25)))));
    i.content = content_digest(*i.bytes);
    return i;
  }
  void enqueue() {
    const bool to_erp = !one_in(4);
    ask::enqueue q{plant, to_erp ? erp : brief, {}};
    for (auto n = 1 + chance_.up_to(3); n-- != 0;)
      q.items.push_back(new_event(to_erp && one_in(2)));
    send(std::move(q));
  }
  void enqueue_again() {
    if (sent_.empty())
      return;
    auto q = sent_[chance_.up_to(sent_.size() - 1)];
    if (one_in(3)) // A producer that puts a batch together anew.
      q.items.push_back(new_event(false));
    send(std::move(q));
  }
  void send(ask::enqueue q) {
    sent_.push_back(q);
    witness_.ask("producer", std::move(q), [this](const exchange& x) {
      if (auto* said = std::get_if<wire::enqueue_reply>(&*x.got))
        for (auto& m : said->messages)
          if (!m.duplicate)
            known_.push_back(m);
    });
  }
  void cancel() {
    if (known_.empty())
      return;
    const auto m = known_[known_.size() - 1 - chance_.up_to(std::min<std::size_t>(known_.size(), 12) - 1)].message;
    witness_.ask("operator", ask::cancel{m});
    for (auto& a : agents_) // Told at once, so nothing of it is started any more.
      if (auto node = a.held.extract(m)) {
        wire::settlement s;
        s.message = m, s.fence = node.mapped().grant.fence, s.outcome = wire::outcome_kind::failed, s.error = "cancelled";
        a.late.push_back(std::move(s));
      }
  }

  // ---- agents
  void heard(actor& a, const exchange& x) { a.deadline = x.at.mono + hub::settings().session_ttl - margin; }
  void refused(actor& a, const exchange& x) {
    if (auto* e = std::get_if<error>(&*x.got);
        e && (e->code == errc::session_expired || e->code == errc::session_replaced || e->code == errc::unknown_session))
      a.forget_session();
  }

  void open(actor& a, bool from_the_future) {
    if (a.opening)
      return;
    a.forget_session();
    a.opening = true;
    if (one_in(6)) { // Another process: it holds nothing.
      ++a.life.process;
      a.held.clear();
    }
    ++a.life.opening;
    ask::open o;
    o.body.group = plant, o.body.agent.value = a.name, o.body.id.value = a.name, o.body.life = a.life;
    o.body.connections = {{erp, "crash", wire::effect_promise::exactly_once, "crash://", wire::reach::up, {}},
                          {brief, "crash", wire::effect_promise::exactly_once, "crash://", wire::reach::up, {}}};
    o.body.highest_epoch = from_the_future ? epoch_number{a.highest_epoch.value + 50'000} : a.highest_epoch;
    for (auto& [m, h] : a.held)
      o.body.held.push_back({m, h.grant.fence});
    witness_.ask(a.name, std::move(o), [this, &a](const exchange& x) {
      a.opening = false;
      if (auto* said = std::get_if<wire::session_opened>(&*x.got)) {
        heard(a, x);
        a.session = said->session;
        a.highest_epoch = std::max(a.highest_epoch, said->epoch);
        for (auto& l : a.lanes)
          l = {lane_id{fmt::format("l{}-{}", next_lane_, &l - a.lanes.data())}, 0, false, false};
        ++next_lane_;
        for (auto& gone : said->lost)
          a.held.erase(gone.message);
      } else { // The hub has begun a new life, or did not say what became of it.
        lose_answers();
      }
    });
  }

  void work(actor& a) {
    if (now_.mono >= a.deadline)
      a.held.clear(), a.forget_session();
    std::erase_if(a.held,
                  [&](auto& h) { return h.second.grant.connection == brief && now_.mono >= h.second.since + brief_hold; });
    if (!a.session)
      return open(a, false);
    const auto what = chance_.up_to(99);
    if (what < 45)
      claim(a, a.lanes[chance_.up_to(1)]);
    else if (what < 82)
      settle(a);
    else if (what < 90)
      beat(a);
    else if (what < 97)
      settle_again(a);
    else
      close(a);
  }

  void claim(actor& a, lane& l) {
    if (l.waits)
      return;
    if (!l.lost) // Otherwise the same again.
      ++l.seq;
    l.waits = true, l.lost = false;
    ask::claim c;
    c.session = *a.session;
    c.body.lane = l.name, c.body.seq = l.seq, c.body.max_messages = 1 + static_cast<std::uint32_t>(chance_.up_to(4));
    c.body.max_bytes = 1 << 20;
    c.body.wait = milliseconds{one_in(3) ? 400 : 0};
    c.body.connections = {{erp, 10}, {brief, 10}};
    witness_.ask(a.name, std::move(c), [this, &a, &l, name = l.name](const exchange& x) {
      if (l.name != name)
        return; // Of an earlier session.
      l.waits = false;
      refused(a, x);
      auto* said = std::get_if<wire::claim_reply>(&*x.got);
      if (!said) {
        l.lost = a.session.has_value(); // Whether it was served is not known: the same seq will tell.
        return;
      }
      heard(a, x);
      for (auto& g : said->grants)
        if (seen_.insert(g.fence).second || a.held.count(g.message) != 0) {
          if (g.connection == erp)
            lasting_.insert(g.message);
          a.held[g.message] = {g, id_in(*g.event), now_.mono};
        }
    });
  }

  void settle(actor& a) {
    ask::settle s;
    s.session = *a.session, s.body.agent.value = a.name;
    std::set<std::string> broken;
    for (auto h = a.held.begin(); h != a.held.end() && s.body.items.size() < 3;) {
      const auto key = key_of(h->second.grant);
      if (broken.count(key) != 0) { // Behind one that failed: it is taken back.
        h = a.held.erase(h);
        continue;
      }
      wire::settlement one;
      one.message = h->first, one.fence = h->second.grant.fence;
      if (const auto how = chance_.up_to(99); how < 70) {
        witness_.took_effect(a.name, h->second.grant, h->second.id);
        if (one_in(5))
          one.result = R"({"rows":1})";
      } else if (how < 84) {
        one.outcome = wire::outcome_kind::failed, one.error = "refused";
        one.effect = one_in(3) ? wire::effect_state::unknown : wire::effect_state::none;
      } else if (how < 90) {
        one.outcome = wire::outcome_kind::failed, one.retryable = false, one.error = "never";
      } else if (how < 93) {
        one.outcome = wire::outcome_kind::failed, one.scope = wire::failure_scope::target, one.error = "target down";
      } else {
        one.outcome = wire::outcome_kind::release;
      }
      if (one.outcome != wire::outcome_kind::done && !key.empty())
        broken.insert(key);
      s.body.items.push_back(one);
      h = a.held.erase(h);
    }
    for (auto& key : broken)
      std::erase_if(a.held, [&](auto& h) { return key_of(h.second.grant) == key; });
    if (!a.late.empty()) {
      s.body.items.push_back(a.late.back());
      a.late.pop_back();
    }
    if (s.body.items.empty())
      return;
    for (auto& one : s.body.items)
      if (lasting_.count(one.message) != 0) // The other queue forgets within seconds.
        a.reported.push_back(one);
    report(a, std::move(s));
  }
  void settle_again(actor& a) {
    if (a.reported.empty())
      return;
    ask::settle s;
    s.session = *a.session, s.body.agent.value = a.name;
    s.body.items = {a.reported[chance_.up_to(a.reported.size() - 1)]};
    report(a, std::move(s));
  }
  void report(actor& a, ask::settle s) {
    witness_.ask(a.name, std::move(s), [this, &a](const exchange& x) {
      if (std::holds_alternative<wire::settle_reply>(*x.got) && a.session == std::get<ask::settle>(*x.asked).session)
        heard(a, x);
    });
  }
  static std::string key_of(const wire::grant& g) {
    const std::string_view before = R"("partitionkey":")";
    const auto at = g.event->find(before);
    return at == std::string::npos ? "" : g.event->substr(at + before.size(), 2);
  }

  void beat(actor& a) {
    ask::beat b;
    b.session = *a.session;
    held_summary sum;
    for (auto& [_, h] : a.held)
      sum.add(h.grant.fence);
    b.body.held_count = sum.count(), b.body.held_hash = sum.hash();
    witness_.ask(a.name, std::move(b), [this, &a](const exchange& x) {
      refused(a, x);
      auto* said = std::get_if<wire::heartbeat_reply>(&*x.got);
      if (!said || a.session != std::get<ask::beat>(*x.asked).session)
        return;
      heard(a, x);
      for (auto& gone : said->lost)
        if (auto h = a.held.find(gone.message); h != a.held.end() && h->second.grant.fence == gone.fence)
          a.held.erase(h);
    });
  }
  void close(actor& a) {
    const auto session = *a.session;
    a.held.clear();
    a.forget_session();
    witness_.ask(a.name, ask::close{session});
  }

  play play_;
  instant now_{mono_time{milliseconds{10'000'000}}, wall_time{milliseconds{1'800'000'000'000}}};
  runtime::dice chance_;
  hub hub_;
  witness witness_;
  std::array<actor, 2> agents_;
  played done_;
  std::vector<ask::enqueue> sent_;
  std::vector<wire::enqueued_item> known_;
  std::set<fence_token> seen_;
  std::set<message_id> lasting_;
  unsigned next_event_ = 1, next_lane_ = 1;
};

} // namespace

std::string id_in(std::string_view event) {
  const std::string_view before = R"("id":")";
  const auto at = event.find(before) + before.size();
  return std::string{event.substr(at, event.find('"', at) - at)};
}

played perform(const play& p, const std::filesystem::path& directory) {
  return script{p, directory}.run();
}

} // namespace sallyport::crash
