// What strict reading costs: one batch of 256 CloudEvents of 1 KiB, read by simdjson's DOM (which refuses numbers we must carry), by a
// simdjson On-Demand walk that visits everything, by our cursor, and by the whole of parse_event_batch. Figures: ADR 0004. Then what the
// codec costs: the other requests and replies of a message's life, 256 at a time.
#include "bench/micro/samples.hpp"
#include "protocol/codec.hpp"
#include "protocol/cursor.hpp"
#include "protocol/frames.hpp"

#include <benchmark/benchmark.h>
#include <simdjson.h>

namespace {

using namespace sallyport;

using namespace bench;

void per_event(benchmark::State& state) {
  state.counters["per_event"] = benchmark::Counter(static_cast<double>(state.iterations() * batch_events),
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void dom_parse(benchmark::State& state) {
  const simdjson::padded_string body{batch_body(state.range(0) != 0)};
  simdjson::dom::parser parser;
  for (auto _ : state) {
    simdjson::dom::element root;
    if (parser.parse(body).get(root) != simdjson::SUCCESS)
      state.SkipWithError("refused");
    benchmark::DoNotOptimize(root);
  }
  per_event(state);
}

// Numbers are left as tokens: On-Demand cannot read those of any range. A grammar check would come on top.
bool walk(simdjson::ondemand::value value) {
  namespace od = simdjson::ondemand;
  od::json_type type;
  if (value.type().get(type) != simdjson::SUCCESS)
    return false;
  switch (type) {
    case od::json_type::object: {
      od::object object;
      if (value.get_object().get(object) != simdjson::SUCCESS)
        return false;
      for (auto field : object) {
        std::string_view key;
        od::value member;
        if (field.unescaped_key().get(key) != simdjson::SUCCESS || field.value().get(member) != simdjson::SUCCESS
            || !walk(member))
          return false;
      }
      return true;
    }
    case od::json_type::array: {
      od::array array;
      if (value.get_array().get(array) != simdjson::SUCCESS)
        return false;
      for (auto element : array) {
        od::value member;
        if (element.get(member) != simdjson::SUCCESS || !walk(member))
          return false;
      }
      return true;
    }
    case od::json_type::string: {
      std::string_view text;
      return value.get_string().get(text) == simdjson::SUCCESS;
    }
    case od::json_type::boolean: {
      bool flag;
      return value.get_bool().get(flag) == simdjson::SUCCESS;
    }
    case od::json_type::number: {
      auto token = value.raw_json_token();
      benchmark::DoNotOptimize(token);
      return true;
    }
    case od::json_type::null: return value.is_null();
  }
  return false;
}

void on_demand_walk(benchmark::State& state) {
  const simdjson::padded_string body{batch_body(state.range(0) != 0)};
  simdjson::ondemand::parser parser;
  for (auto _ : state) {
    simdjson::ondemand::document document;
    bool ok = parser.iterate(body).get(document) == simdjson::SUCCESS;
    simdjson::ondemand::array events;
    ok = ok && document.get_array().get(events) == simdjson::SUCCESS;
    if (ok)
      for (auto event : events) {
        simdjson::ondemand::value value;
        ok = ok && event.get(value) == simdjson::SUCCESS && walk(value);
      }
    if (!ok)
      state.SkipWithError("refused");
  }
  per_event(state);
}

void cursor_skip(benchmark::State& state) {
  const auto body = batch_body(state.range(0) != 0);
  for (auto _ : state) {
    detail::json_cursor in{body, 100};
    if (!in.skip() || !in.finish())
      state.SkipWithError("refused");
  }
  per_event(state);
}

void events_parsed(benchmark::State& state) {
  const auto body = batch_body(state.range(0) != 0);
  for (auto _ : state) {
    auto events = parse_event_batch(body, {});
    if (!events)
      state.SkipWithError("refused");
    benchmark::DoNotOptimize(events);
  }
  per_event(state);
}

template <class T>
void encode_each_time(benchmark::State& state, const T& value) {
  for (auto _ : state)
    benchmark::DoNotOptimize(wire::encode(value));
  per_event(state);
}

template <class T>
void decode_each_time(benchmark::State& state, const T& value) {
  const auto body = wire::encode(value);
  for (auto _ : state) {
    auto decoded = wire::decode<T>(body);
    if (!decoded)
      state.SkipWithError("refused");
    benchmark::DoNotOptimize(decoded);
  }
  per_event(state);
}

template <class T>
void frame_each_time(benchmark::State& state, const T& value) {
  for (auto _ : state)
    benchmark::DoNotOptimize(wire::encode_frames(value));
  per_event(state);
}

template <class T>
void unframe_each_time(benchmark::State& state, const T& value) {
  const auto body = wire::encode_frames(value);
  for (auto _ : state) {
    auto decoded = wire::decode_frames<T>(body);
    if (!decoded)
      state.SkipWithError("refused");
    benchmark::DoNotOptimize(decoded);
  }
  per_event(state);
}

wire::settle settlements() {
  return {{"0123456789abcdef0123456789abcdef"}, settlements_of(claim_reply_of_256(false))};
}

// One line each, to be read as a table.
// clang-format off
void enqueue_reply_encoded(benchmark::State& state) { encode_each_time(state, enqueue_reply_of_256()); }
void enqueue_reply_decoded(benchmark::State& state) { decode_each_time(state, enqueue_reply_of_256()); }
void claim_reply_encoded(benchmark::State& state) { encode_each_time(state, claim_reply_of_256(state.range(0) != 0)); }
void claim_reply_decoded(benchmark::State& state) { decode_each_time(state, claim_reply_of_256(state.range(0) != 0)); }
void settlements_encoded(benchmark::State& state) { encode_each_time(state, settlements()); }
void settlements_decoded(benchmark::State& state) { decode_each_time(state, settlements()); }
void verdicts_encoded(benchmark::State& state) { encode_each_time(state, verdicts_of(settlements().items)); }
void verdicts_decoded(benchmark::State& state) { decode_each_time(state, verdicts_of(settlements().items)); }
void claim_reply_framed(benchmark::State& state) { frame_each_time(state, claim_reply_of_256(state.range(0) != 0)); }
void claim_reply_unframed(benchmark::State& state) { unframe_each_time(state, claim_reply_of_256(state.range(0) != 0)); }
void settlements_framed(benchmark::State& state) { frame_each_time(state, settlements()); }
void settlements_unframed(benchmark::State& state) { unframe_each_time(state, settlements()); }
void verdicts_framed(benchmark::State& state) { frame_each_time(state, verdicts_of(settlements().items)); }
void verdicts_unframed(benchmark::State& state) { unframe_each_time(state, verdicts_of(settlements().items)); }
// clang-format on

void fence_hashed(benchmark::State& state) {
  held_summary held;
  std::uint64_t counter = 0;
  for (auto _ : state)
    held.add({1'769'860'800'000, ++counter});
  benchmark::DoNotOptimize(held);
}

void event_hashed(benchmark::State& state) {
  const auto event = event_of_1_kib(0, false);
  for (auto _ : state)
    benchmark::DoNotOptimize(content_digest(event));
}

// 0: one long string; 1: a row of short members.
BENCHMARK(dom_parse)->Arg(0)->Arg(1);
BENCHMARK(on_demand_walk)->Arg(0)->Arg(1);
BENCHMARK(cursor_skip)->Arg(0)->Arg(1);
BENCHMARK(events_parsed)->Arg(0)->Arg(1);
BENCHMARK(enqueue_reply_encoded);
BENCHMARK(enqueue_reply_decoded);
BENCHMARK(claim_reply_encoded)->Arg(0)->Arg(1);
BENCHMARK(claim_reply_decoded)->Arg(0)->Arg(1);
BENCHMARK(settlements_encoded);
BENCHMARK(settlements_decoded);
BENCHMARK(verdicts_encoded);
BENCHMARK(verdicts_decoded);
BENCHMARK(claim_reply_framed)->Arg(0)->Arg(1);
BENCHMARK(claim_reply_unframed)->Arg(0)->Arg(1);
BENCHMARK(settlements_framed);
BENCHMARK(settlements_unframed);
BENCHMARK(verdicts_framed);
BENCHMARK(verdicts_unframed);
BENCHMARK(fence_hashed);
BENCHMARK(event_hashed);

} // namespace

BENCHMARK_MAIN();
