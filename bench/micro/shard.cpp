// What the shard itself costs: enqueue, claim and settle in batches, with a store that does nothing. Items are messages. Arguments: the
// batch, and the messages that wait meanwhile, which should make no difference.
#include "bench/micro/desk.hpp"

#include <benchmark/benchmark.h>

namespace {

using namespace sallyport;
using bench::desk;

/// What of a cycle is timed; all of it is done.
enum class timed { enqueue, claim, settle, cycle };

void run(benchmark::State& state, timed what) {
  const auto batch = static_cast<std::uint32_t>(state.range(0));
  desk d;
  for (std::int64_t waiting = 0; waiting < state.range(1); waiting += 1000)
    d.enqueue(1000);
  // Timed by hand: pausing the clock costs more than a batch of one.
  std::chrono::steady_clock::duration spent{};
  const auto clocked = [&](timed part, auto&& work) {
    if (part != what && what != timed::cycle)
      return work();
    const auto begin = std::chrono::steady_clock::now();
    work();
    spent += std::chrono::steady_clock::now() - begin;
  };
  for (auto _ : state) {
    spent = {};
    auto events = d.events(batch);
    auto claim = d.claim(batch);
    wire::claim_reply claimed;
    clocked(timed::enqueue, [&] { d.answer_to<wire::enqueue_reply>(d.submit(std::move(events))); });
    clocked(timed::claim, [&] { claimed = d.answer_to<wire::claim_reply>(d.submit(std::move(claim))); });
    auto settlements = d.settlements(claimed);
    clocked(timed::settle, [&] { d.answer_to<wire::settle_reply>(d.submit(std::move(settlements))); });
    clocked(timed::cycle, [&] { d.tick(); });
    state.SetIterationTime(std::chrono::duration<double>(spent).count());
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

/// Agents that keep up: the claim is parked first, so that the batch and its grants are one append.
void parked_cycle(benchmark::State& state) {
  const auto batch = static_cast<std::uint32_t>(state.range(0));
  desk d;
  for (auto _ : state) {
    const auto claiming = d.submit(d.claim(batch, milliseconds{50'000}));
    d.enqueue(batch);
    d.settle(d.answer_to<wire::claim_reply>(claiming));
    d.tick();
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

// One line each, to be read as a table.
// clang-format off
void enqueued(benchmark::State& state) { run(state, timed::enqueue); }
void claimed(benchmark::State& state) { run(state, timed::claim); }
void settled(benchmark::State& state) { run(state, timed::settle); }
void enqueue_claim_settle(benchmark::State& state) { run(state, timed::cycle); }
// clang-format on

BENCHMARK(enqueued)->Args({256, 1'000})->Args({256, 1'000'000})->UseManualTime();
BENCHMARK(claimed)->Args({256, 1'000})->Args({256, 1'000'000})->UseManualTime();
BENCHMARK(settled)->Args({256, 1'000})->Args({256, 1'000'000})->UseManualTime();
BENCHMARK(enqueue_claim_settle)
  ->Args({1, 1'000})
  ->Args({16, 1'000})
  ->Args({256, 1'000})
  ->Args({256, 100'000})
  ->Args({256, 1'000'000})
  ->UseManualTime();
BENCHMARK(parked_cycle)->Arg(1)->Arg(16)->Arg(256);

} // namespace

BENCHMARK_MAIN();
