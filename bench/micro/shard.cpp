// What the shard itself costs: enqueue, claim and settle in batches, with a store that does nothing. Items are messages.
#include "cloud/core/shard.hpp"

#include <benchmark/benchmark.h>

namespace {

using namespace sallyport;
using namespace sallyport::cloud;

/// One hub, one agent, everything answered at once.
class desk {
public:
  desk() : core_({}) {
    core_.reopened({{1}, 0});
    core_.started(now_);
    ask::open o;
    o.body.group.value = "g", o.body.agent.value = "a", o.body.id.value = "id", o.body.life = {1, 1};
    o.body.connections.push_back({{"c"}, "null", wire::effect_promise::idempotent, "null", wire::reach::up, {}});
    session_ = std::get<wire::session_opened>(call(std::move(o))).session;
  }
  answer call(decltype(command::what) what) {
    core_.submit({++ticket_}, {{true, {}}, 1, std::move(what)}, now_);
    answer got;
    for (bool more = true; more;) {
      more = false;
      for (auto& d : core_.take_duties()) {
        more = true;
        if (auto* r = std::get_if<duty::reply>(&d))
          got = std::move(r->what);
        else if (auto* a = std::get_if<duty::append>(&d))
          core_.appended({append_status::durable, a->tail + 1, {}, false}, now_);
      }
    }
    return got;
  }
  void enqueue(std::size_t n) {
    ask::enqueue q{{"g"}, {"c"}, {}};
    for (std::size_t i = 0; i < n; ++i) {
      event_item e;
      e.attributes.id = std::to_string(++event_), e.attributes.source = "/bench", e.attributes.type = "t";
      e.bytes = payload_, e.content = {1, event_};
      q.items.push_back(std::move(e));
    }
    benchmark::DoNotOptimize(call(std::move(q)));
  }
  void work(std::uint32_t n) {
    ask::claim c{session_, {{"lane"}, ++seq_, n, 1 << 30, milliseconds{0}, {{{"c"}, n}}}};
    auto grants = std::get<wire::claim_reply>(call(std::move(c))).grants;
    ask::settle s{session_, {{"id"}, {}}};
    for (auto& g : grants) {
      s.body.items.emplace_back();
      s.body.items.back().message = g.message, s.body.items.back().fence = g.fence;
    }
    benchmark::DoNotOptimize(call(std::move(s)));
    now_.mono += milliseconds{1}, now_.wall += milliseconds{1};
  }
  void tick() { core_.tick(now_); }

private:
  shard core_;
  instant now_{mono_time{milliseconds{1'000'000}}, wall_time{milliseconds{1'800'000'000'000}}};
  wire::shared_bytes payload_ = std::make_shared<const std::string>(1024, 'x');
  session_id session_;
  std::uint64_t ticket_ = 0, event_ = 0, seq_ = 0;
};

/// Arg 0: the batch; arg 1: messages that wait beforehand.
void enqueue_claim_settle(benchmark::State& state) {
  desk d;
  const auto batch = static_cast<std::uint32_t>(state.range(0));
  for (std::int64_t waiting = 0; waiting < state.range(1); waiting += 1000)
    d.enqueue(1000);
  for (auto _ : state) {
    d.enqueue(batch);
    d.work(batch);
    d.tick();
  }
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(enqueue_claim_settle)->Args({1, 0})->Args({16, 0})->Args({256, 0})->Args({256, 100'000})->Args({256, 1'000'000});

} // namespace

BENCHMARK_MAIN();
