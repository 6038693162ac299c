#include "tests/sim/run.hpp"

#include "tests/judge/judge.hpp"
#include "tests/sim/kept_agent.hpp"
#include "tests/sim/producer.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

using namespace cloud;

namespace {

const group_name plant{"plant"};
const connection_name erp{"erp"};

struct cast {
  explicit cast(const script& what) : script_(what), stage_(what.seed), fate_(what.seed * 0x9e3779b97f4a7c15u + 1) {}
  const script& script_;
  stage stage_;
  runtime::dice fate_; // Of faults alone: leaving one out must not change the others.
  history history_;
  target target_{stage_, history_};
  std::unique_ptr<hub> hub_;
  std::vector<std::unique_ptr<agent>> agents_;
  std::unique_ptr<producer> producer_;
  unsigned acts_ = 0;
  bool healed = false;

  struct fault {
    std::uint64_t kind, who, a, b;
    milliseconds length(std::int64_t from, std::int64_t to) const {
      return milliseconds{from + static_cast<std::int64_t>(a % static_cast<std::uint64_t>(to - from + 1))};
    }
  };

  /// Something goes wrong, again and again.
  void nemesis() {
    if (healed)
      return;
    const fault f{fate_.up_to(14), fate_.roll(), fate_.roll(), fate_.roll()};
    const auto pause = milliseconds{50 + static_cast<std::int64_t>(fate_.up_to(3'950))};
    if (script_.spared.count(acts_++) == 0)
      strike(f);
    stage_.after(pause, [this] { nemesis(); });
  }
  void strike(const fault& f) {
    auto& victim = *agents_[f.who % agents_.size()];
    switch (f.kind) {
      case 0:
        if (hub_->up()) {
          hub_->crash();
          stage_.after(f.length(1, 5'000), [this] {
            if (!hub_->up())
              hub_->start();
          });
        }
        break;
      case 1:
      case 2:
        if (victim.up()) {
          victim.crash();
          stage_.after(f.length(1, 4'000), [&victim] {
            if (!victim.up())
              victim.start();
          });
        }
        break;
      case 3: victim.pause(f.b % 3 == 0 ? f.length(6'000, 11'000) : f.length(100, 30'000)); break;
      case 4: hub_->fail_next_append(); break;
      case 5: hub_->pause(f.b % 2 == 0 ? f.length(500, 3'400) : f.length(100, 20'000), f.b % 3 == 0); break;
      case 6:
      case 7: {
        auto& net = f.who % 7 == 0 ? producer_->net : victim.net;
        const auto how = f.b % 3;
        net.cut_out = how != 1, net.cut_in = how != 0;
        stage_.say(fmt::format("the network of {} is cut{}", f.who % 7 == 0 ? "the producer" : victim.name(),
                               how == 0   ? " on the way to the hub"
                               : how == 1 ? " on the way back"
                                          : ""));
        stage_.after(f.length(100, 20'000), [&net] { net.cut_out = net.cut_in = false; });
        break;
      }
      case 8:
        target_.down = true;
        ++history_.faults;
        stage_.say("the target is down");
        stage_.after(f.length(100, 20'000), [this] { target_.down = false; });
        break;
      case 9: {
        const auto jump = f.b % 8 == 0 ? f.length(10'000, 60'000) : f.length(0, 3'000);
        stage_.say(fmt::format("the wall clock jumps by {} ms", jump.count()));
        stage_.shift_wall(jump);
        break;
      }
      case 10: victim.crash_a_part(); break;
      case 11: person(f); break;
      default: {
        const weather w{(f.a & 1) * (3 + f.b % 20), (f.a >> 1 & 1) * (3 + (f.b >> 8) % 20), (f.a >> 2 & 1) * 20};
        stage_.say(fmt::format("the network loses one message in {}, doubles one in {}, holds back one in {} (0: none)", w.lost,
                               w.doubled, w.late));
        for (auto& a : agents_)
          a->net.now = w;
        producer_->net.now = w;
      }
    }
  }
  /// Somebody operates: dead letters are redriven, the connection is paused for a while.
  void person(const fault& f) {
    if (!hub_->up())
      return;
    const auto command = [this](decltype(command::what) what) {
      hub_->arrive({{true, {}}, stage_.roll(), std::move(what)}, [](const answer&) {});
    };
    if (f.b % 2 == 0) {
      stage_.say("somebody redrives all dead letters");
      return command(ask::redrive{plant, erp, {}});
    }
    stage_.say("somebody pauses the connection");
    ask::configure paused{plant, erp, {}};
    paused.patch.paused = true;
    command(paused);
    stage_.after(f.length(100, 10'000), [this] { resume(); });
  }
  void resume() {
    if (!hub_->up())
      return stage_.after(milliseconds{100}, [this] { resume(); });
    ask::configure on{plant, erp, {}};
    on.patch.paused = false;
    hub_->arrive({{true, {}}, stage_.roll(), std::move(on)}, [this](const answer& a) {
      if (std::holds_alternative<error>(a))
        stage_.after(milliseconds{100}, [this] { resume(); });
    });
  }
  void heal() {
    healed = true;
    stage_.say("everything is healed");
    target_.down = false, target_.healthy = true;
    hub_->heal();
    if (!hub_->up())
      hub_->start();
    producer_->net.cut_in = producer_->net.cut_out = false;
    producer_->net.now = {};
    producer_->healthy = true;
    resume();
    for (auto& a : agents_) {
      a->net.cut_in = a->net.cut_out = false;
      a->net.now = {};
      a->healthy = true;
      if (!a->up())
        a->start();
    }
  }
  /// Nothing waits that could be worked on, nothing is held.
  bool is_drained() {
    auto got = hub_->ask(ask::view_connection{plant, erp});
    auto* v = std::get_if<wire::connection_view>(&got);
    return v && v->ready == 0 && v->delayed == 0 && v->granted == 0
           && (v->behind_key == 0 || (v->policy.dead == wire::on_dead::block && v->dead != 0));
  }
  /// Of every message that anybody has heard of.
  void hear_last_words() {
    std::set<message_id> heard_of;
    for (auto& [id, e] : history_.events)
      if (e.message)
        heard_of.insert(*e.message);
    for (auto& g : history_.grants)
      heard_of.insert(g.message);
    for (auto& m : heard_of) {
      auto got = hub_->ask(ask::view_message{m});
      if (auto* v = std::get_if<message_answer>(&got))
        history_.at_end.emplace(m, std::move(v->view));
    }
  }
};

shard_settings settings_of(stage& s) {
  shard_settings settings;
  settings.session_ttl = milliseconds{10'000};
  settings.payload_cache_bytes = s.one_in(2) ? 0 : 1 << 20;
  auto& p = settings.policy;
  p.max_attempts = static_cast<std::uint32_t>(2 + s.below(4));
  settings.pace_messages = p.max_attempts == 2 ? 0 : p.max_attempts; // No draw of its own: seeds keep their meaning.
  p.backoff_min = milliseconds{100}, p.backoff_max = milliseconds{5'000};
  p.max_in_flight = s.one_in(3) ? 5 : 0;
  p.dead = s.one_in(3) ? wire::on_dead::block : wire::on_dead::skip;
  if (s.one_in(3))
    p.attempt_timeout = milliseconds{8'000}, p.hold_limit = milliseconds{12'000};
  p.unknown_effect = s.one_in(5) ? wire::on_unknown_effect::dead_letter : wire::on_unknown_effect::retry;
  return settings;
}

} // namespace

run_result run(const script& what) {
  cast c{what};
  auto& s = c.stage_;
  s.tracing = what.trace;
  const auto settings = settings_of(s);
  c.hub_ = std::make_unique<hub>(s, c.history_, settings);
  (void)c.hub_->ask(ask::configure{plant, erp, {}});
  const bool in_bytes = s.one_in(4);
  const auto agents = std::min<std::size_t>(1 + s.below(4), what.agents_max);
  for (std::size_t i = 0; i < agents; ++i) {
    auto name = fmt::format("agent-{}", i);
    if (s.one_in(3))
      c.agents_.push_back(std::make_unique<plain_agent>(s, c.history_, *c.hub_, c.target_, std::move(name)));
    else
      c.agents_.push_back(std::make_unique<kept_agent>(s, c.history_, *c.hub_, c.target_, std::move(name)));
    c.agents_.back()->net.in_bytes = in_bytes;
  }
  c.producer_ = std::make_unique<producer>(s, c.history_, *c.hub_);
  c.producer_->net.in_bytes = in_bytes;
  c.producer_->plan(std::min<std::size_t>(20 + s.below(60), what.events_max), s.one_in(2), s.one_in(2));
  const auto poison = s.one_in(4) ? fmt::format("e{}", s.below(20)) : std::string{};
  for (auto& a : c.agents_) {
    a->poison = poison;
    a->start();
  }
  c.producer_->start();
  s.after(s.between(100, 2'000), [&c] { c.nemesis(); });
  while (s.steps() < what.steps && s.step()) {
    // An agent that died of poison is started again by its service manager.
    for (auto& a : c.agents_)
      if (!a->up() && s.one_in(200))
        a->start();
  }
  c.heal();

  // Everything drains, in bounded time.
  const auto limit = s.now().mono + std::chrono::hours{2};
  bool drained = false;
  for (std::uint64_t n = 0; s.now().mono < limit && !drained; ++n) {
    if (!s.step())
      break;
    if (n % 512 == 0 && c.producer_->finished())
      drained = c.is_drained();
  }
  if (!drained)
    c.history_.violate("drained", "it did not drain after everything was healed");
  c.hear_last_words();
  judge::expectations expected;
  expected.dead = settings.policy.dead;
  expected.max_attempts = settings.policy.max_attempts;
  expected.session_ttl = settings.session_ttl;
  expected.dead_on_unknown_effect = settings.policy.unknown_effect == wire::on_unknown_effect::dead_letter;
  judge::judge(c.history_, expected);
  run_result r;
  r.violations = c.history_.violations, r.steps = s.steps(), r.crashes = c.history_.crashes, r.faults = c.history_.faults;
  r.events = c.history_.events.size(), r.agents = agents, r.acts = c.acts_;
  r.trace = s.trace();
  return r;
}

} // namespace sallyport::sim
