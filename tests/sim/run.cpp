#include "tests/sim/run.hpp"

#include "tests/sim/checks.hpp"
#include "tests/sim/kept_agent.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

using namespace cloud;

namespace {

const group_name plant{"plant"};
const connection_name erp{"erp"};

/// Sends events until each is acknowledged; repeats itself now and then; cancels a few.
class producer {
public:
  producer(stage& s, history& h, hub& at) : net(s, h, at), stage_(s), history_(h) {}

  void plan(std::size_t count, bool keyed) {
    for (std::size_t i = 0; i < count; ++i) {
      sent_event e;
      e.id = fmt::format("e{}", i);
      if (keyed && !stage_.one_in(3))
        e.key = fmt::format("k{}", stage_.below(3));
      if (stage_.one_in(12))
        e.not_before = stage_.now().wall + stage_.between(0, 40'000);
      if (stage_.one_in(25))
        e.expires_at = stage_.now().wall + stage_.between(1'000, 60'000);
      order_.push_back(e.id);
      history_.events.emplace(e.id, std::move(e));
    }
  }
  void start() { next(); }
  [[nodiscard]] bool finished() const { return from_ >= order_.size(); }
  line net;

private:
  event_item item(const sent_event& e) const {
    event_item i;
    i.attributes.id = e.id, i.attributes.source = "/sim", i.attributes.type = "sim";
    i.attributes.partition_key = e.key;
    if (e.not_before != wall_time{})
      i.attributes.not_before = e.not_before;
    if (e.expires_at != wall_time::max())
      i.attributes.expires_at = e.expires_at;
    i.bytes =
      std::make_shared<const std::string>(fmt::format(R"({{"specversion":"1.0","id":"{}","source":"/sim","type":"sim"{}}})", e.id,
                                                      e.key.empty() ? "" : fmt::format(R"(,"partitionkey":"{}")", e.key)));
    i.content = hash_parts({*i.bytes});
    return i;
  }
  void next() {
    if (finished())
      return;
    const auto begin = from_ != 0 && stage_.one_in(8) ? from_ - 1 - stage_.below(std::min<std::size_t>(from_, 4)) : from_;
    const auto end = std::min(order_.size(), from_ + 1 + stage_.below(5));
    send(begin, end);
  }
  void send(std::size_t begin, std::size_t end) {
    ask::enqueue q{plant, erp, {}};
    for (auto i = begin; i < end; ++i) {
      auto& e = history_.events.at(order_[i]);
      e.tried = true;
      q.items.push_back(item(e));
    }
    net.send(std::move(q), milliseconds{3'000}, [this, begin, end](std::optional<answer> a) {
      auto* reply = a ? std::get_if<wire::enqueue_reply>(&*a) : nullptr;
      if (!reply) // The same again, until it is acknowledged.
        return stage_.after(stage_.between(10, 500), [this, begin, end] { send(begin, end); });
      for (auto& m : reply->messages) {
        auto& e = history_.events.at(m.id);
        if (e.message && *e.message != m.message)
          history_.violate(
            fmt::format("event {} was acknowledged as {} and as {}", e.id, to_string(*e.message), to_string(m.message)));
        e.message = m.message;
      }
      from_ = std::max(from_, end);
      if (stage_.one_in(15))
        cancel(reply->messages[stage_.below(reply->messages.size())]);
      stage_.after(stage_.between(0, 400), [this] { next(); });
    });
  }
  void cancel(const wire::enqueued_item& m) {
    net.send(ask::cancel{m.message}, milliseconds{3'000}, [this, id = m.id](std::optional<answer> a) {
      if (auto* reply = a ? std::get_if<wire::cancel_reply>(&*a) : nullptr) {
        auto& e = history_.events.at(id);
        e.cancelled_at = stage_.steps();
        e.cancel_said_never_ran = !reply->may_have_run;
        stage_.say(fmt::format("{} cancelled, {}", id, reply->may_have_run ? "may have run" : "never ran"));
      }
    });
  }

  stage& stage_;
  history& history_;
  std::vector<std::string> order_;
  std::size_t from_ = 0;
};

struct cast {
  explicit cast(std::uint64_t seed) : stage_(seed) {}
  stage stage_;
  history history_;
  target target_{history_};
  std::unique_ptr<hub> hub_;
  std::vector<std::unique_ptr<agent>> agents_;
  std::unique_ptr<producer> producer_;
  bool healed = false;

  /// Something goes wrong, again and again.
  void nemesis() {
    if (healed)
      return;
    auto& victim = *agents_[stage_.below(agents_.size())];
    switch (stage_.below(12)) {
      case 0:
        if (hub_->up()) {
          hub_->crash();
          stage_.after(stage_.between(1, 5'000), [this] {
            if (!hub_->up())
              hub_->start();
          });
        }
        break;
      case 1:
      case 2:
        if (victim.up()) {
          victim.crash();
          stage_.after(stage_.between(1, 4'000), [&victim] {
            if (!victim.up())
              victim.start();
          });
        }
        break;
      case 3: victim.pause(stage_.between(100, 30'000)); break;
      case 4: hub_->fail_next_append(); break;
      case 5: hub_->pause(stage_.between(100, 20'000)); break;
      case 6:
      case 7: {
        auto& net = stage_.one_in(4) ? producer_->net : victim.net;
        const auto how = stage_.below(3);
        net.cut_out = how != 1, net.cut_in = how != 0;
        stage_.say("the network is cut");
        stage_.after(stage_.between(100, 20'000), [&net] { net.cut_out = net.cut_in = false; });
        break;
      }
      case 8:
        target_.down = true;
        ++history_.faults;
        stage_.say("the target is down");
        stage_.after(stage_.between(100, 20'000), [this] { target_.down = false; });
        break;
      case 10: victim.crash_a_part(); break;
      case 9: stage_.shift_wall(stage_.between(0, 3'000)); break;
      default: {
        const weather w{stage_.below(2) * (3 + stage_.below(20)), stage_.below(2) * (3 + stage_.below(20)), stage_.below(2) * 20};
        for (auto& a : agents_)
          a->net.now = w;
        producer_->net.now = w;
      }
    }
    stage_.after(stage_.between(50, 4'000), [this] { nemesis(); });
  }
  void heal() {
    healed = true;
    stage_.say("everything is healed");
    target_.down = false;
    hub_->heal();
    if (!hub_->up())
      hub_->start();
    producer_->net.cut_in = producer_->net.cut_out = false;
    producer_->net.now = {};
    for (auto& a : agents_) {
      a->net.cut_in = a->net.cut_out = false;
      a->net.now = {};
      a->healthy = true;
      if (!a->up())
        a->start();
    }
  }
};

} // namespace

run_result run(std::uint64_t seed, std::uint64_t steps, bool trace) {
  cast c{seed};
  auto& s = c.stage_;
  s.tracing = trace;
  shard_settings settings;
  settings.session_ttl = milliseconds{10'000};
  settings.payload_cache_bytes = s.one_in(2) ? 0 : 1 << 20;
  settings.policy.max_attempts = static_cast<std::uint32_t>(2 + s.below(4));
  settings.policy.backoff_min = milliseconds{100}, settings.policy.backoff_max = milliseconds{5'000};
  settings.policy.max_in_flight = s.one_in(3) ? 5 : 0;
  settings.policy.dead = s.one_in(3) ? wire::on_dead::block : wire::on_dead::skip;
  c.hub_ = std::make_unique<hub>(s, c.history_, settings);
  (void)c.hub_->ask(ask::configure{plant, erp, {}});
  const auto agents = 1 + s.below(4);
  for (std::uint64_t i = 0; i < agents; ++i) {
    auto name = fmt::format("agent-{}", i);
    if (s.one_in(3))
      c.agents_.push_back(std::make_unique<plain_agent>(s, c.history_, *c.hub_, c.target_, std::move(name)));
    else
      c.agents_.push_back(std::make_unique<kept_agent>(s, c.history_, *c.hub_, c.target_, std::move(name)));
  }
  c.producer_ = std::make_unique<producer>(s, c.history_, *c.hub_);
  c.producer_->plan(20 + s.below(60), s.one_in(2));
  const auto poison = s.one_in(4) ? fmt::format("e{}", s.below(20)) : std::string{};
  for (auto& a : c.agents_) {
    a->poison = poison;
    a->start();
  }
  c.producer_->start();
  s.after(s.between(100, 2'000), [&c] { c.nemesis(); });
  while (s.steps() < steps && s.step()) {
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
      drained = is_drained(*c.hub_);
  }
  if (!drained)
    c.history_.violate("it did not drain after everything was healed");
  judge(c.history_, *c.hub_, settings.policy);
  run_result r;
  r.violations = c.history_.violations, r.steps = s.steps(), r.crashes = c.history_.crashes, r.faults = c.history_.faults;
  r.events = c.history_.events.size();
  r.trace = s.trace();
  return r;
}

} // namespace sallyport::sim
