// How many instructions each hot path takes per message: what a noisy machine cannot hide. Run by scripts/bench-instructions under
// callgrind, which counts only what lies between on() and off(); without it nothing is counted and the paths merely run.
//
//   micro_instructions list              the paths
//   micro_instructions run PATH          runs one, after warming it up; prints for how many messages
//
// One thread, one path per process, no clock and no chance in what is counted, so that two runs count the same.
#include "bench/micro/desk.hpp"
#include "bench/micro/scratch.hpp"
#include "cloud/store/lmdb.hpp"
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"
#include "runtime/core/lease_keeper.hpp"

#include <valgrind/callgrind.h>

#include <cstdio>
#include <string_view>

namespace sallyport::bench {
namespace {

constexpr int warm_rounds = 20; // Then pools are filled and as much is forgotten as comes in.
constexpr int rounds = 20;
constexpr std::uint64_t retained = 10 * batch_events;

/// Counts in the counted rounds, between on() and off().
class meter {
public:
  explicit meter(bool counts) : counts_(counts) {}
  void on() {
    if (counts_)
      CALLGRIND_TOGGLE_COLLECT;
  }
  void off() {
    if (counts_)
      CALLGRIND_TOGGLE_COLLECT;
  }

private:
  bool counts_;
};

template <class Round>
void repeat(Round round) {
  meter warming{false}, counting{true};
  for (int i = 0; i < warm_rounds; ++i)
    round(warming);
  CALLGRIND_START_INSTRUMENTATION;
  for (int i = 0; i < rounds; ++i)
    round(counting);
  CALLGRIND_STOP_INSTRUMENTATION;
}

/// A value nobody uses is still to be made.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

template <class Run>
void count_all_of(Run run) {
  repeat([&](meter& m) {
    m.on();
    keep(run());
    m.off();
  });
}

// ---- protocol ------------------------------------------------------------------------------------------------------------------

void parse(bool is_row) {
  const auto body = batch_body(is_row);
  count_all_of([&] {
    auto events = parse_event_batch(body, {});
    SALLYPORT_ASSERT(events.ok());
    return events;
  });
}

/// What the hub does with each parsed event: a digest to know it by, and a copy of its own. SHA-256 is counted as it runs without the
/// processor's instructions for it, which valgrind does not have: nearly all of the count, and far less of the time.
void own_events() {
  const auto body = batch_body(false);
  const auto events = parse_event_batch(body, {});
  count_all_of([&] {
    std::vector<cloud::event_item> items;
    items.reserve(events->size());
    for (const auto& event : *events)
      items.push_back({event.attributes, std::make_shared<const std::string>(event.raw), content_digest(event.raw)});
    return items;
  });
}

template <class T>
void write(const T& value) {
  count_all_of([&] { return wire::encode(value); });
}

template <class T>
void read(const T& value) {
  const auto body = wire::encode(value);
  count_all_of([&] {
    auto decoded = wire::decode<T>(body);
    SALLYPORT_ASSERT(decoded.ok());
    return decoded;
  });
}

template <class T>
void write_frames(const T& value) {
  count_all_of([&] { return wire::encode_frames(value); });
}

template <class T>
void read_frames(const T& value) {
  const auto body = wire::encode_frames(value);
  count_all_of([&] {
    auto decoded = wire::decode_frames<T>(body);
    SALLYPORT_ASSERT(decoded.ok());
    return decoded;
  });
}

wire::settle settle_request() {
  return {{"0123456789abcdef0123456789abcdef"}, settlements_of(claim_reply_of_256(false))};
}

// ---- the hub -------------------------------------------------------------------------------------------------------------------

enum part : unsigned { of_enqueue = 1, of_claim = 2, of_settle = 4, of_forget = 8, of_all = 15 };

/// A batch comes in, is claimed, is settled, and as much is forgotten, each with an append of its own; `waiting` messages are there all the
/// time. Counted are the parts.
void cycle(unsigned parts, std::uint32_t waiting) {
  desk d{retained};
  for (std::uint32_t i = 0; i < waiting; i += 1'000)
    d.enqueue(1'000);
  repeat([&](meter& m) {
    const auto counted = [&](part which, auto what) {
      if (parts & which)
        m.on();
      what();
      if (parts & which)
        m.off();
    };
    wire::claim_reply claimed;
    auto events = d.events(batch_events);
    auto claim = d.claim(batch_events);
    counted(of_enqueue, [&] { d.answer_to<wire::enqueue_reply>(d.submit(std::move(events))); });
    counted(of_claim, [&] { claimed = d.answer_to<wire::claim_reply>(d.submit(std::move(claim))); });
    auto settlements = d.settlements(claimed);
    counted(of_settle, [&] { d.answer_to<wire::settle_reply>(d.submit(std::move(settlements))); });
    counted(of_forget, [&] { d.tick(); });
  });
}

/// The hot path, when agents keep up: the claim is parked first, and the batch and its grants are one append.
void parked_cycle() {
  desk d{retained};
  repeat([&](meter& m) {
    auto events = d.events(batch_events);
    auto claim = d.claim(batch_events, milliseconds{50'000});
    m.on();
    const auto claiming = d.submit(std::move(claim));
    d.answer_to<wire::enqueue_reply>(d.submit(std::move(events)));
    const auto claimed = d.answer_to<wire::claim_reply>(claiming);
    m.off();
    auto settlements = d.settlements(claimed);
    m.on();
    d.answer_to<wire::settle_reply>(d.submit(std::move(settlements)));
    d.tick();
    m.off();
  });
}

/// What the store does with the appends of parked_cycle(), in this process: the kernel's share is not counted.
void append() {
  scratch_directory directory;
  cloud::lmdb_store store{{.directory = directory.path(), .map_bytes = 1 << 30}}; // valgrind gives no 256 GiB.
  const auto opened = store.open({1});
  SALLYPORT_ASSERT(opened.ok());
  meter* counting = nullptr;
  desk d{retained, {{1}, opened->tail}, [&](const cloud::duty::append& a) {
           if (counting)
             counting->on();
           auto outcome = store.append(opened->epoch, a.tail, a.changes);
           if (counting)
             counting->off();
           return outcome;
         }};
  repeat([&](meter& m) {
    counting = &m;
    const auto claiming = d.submit(d.claim(batch_events, milliseconds{50'000}));
    d.enqueue(batch_events);
    d.settle(d.answer_to<wire::claim_reply>(claiming));
    d.tick();
    counting = nullptr;
  });
}

// ---- the agent -----------------------------------------------------------------------------------------------------------------

/// Grants in, work out, outcomes in, settlements out, verdicts in.
void keep_leases() {
  runtime::lease_settings settings;
  settings.connections.resize(1);
  settings.connections[0].name = {"erp-db"};
  settings.window = 1024;
  runtime::lease_keeper keeper{settings, 1};
  const mono_time now{milliseconds{1'000'000}};
  const session_id session{9, 1};
  keeper.started({session, now + std::chrono::hours{1}, {}}, now);
  keeper.host_joined(0, {1, batch_events, {}, {}}, now);
  keeper.host_state(0, wire::reach::up, {}, now);
  auto reply = claim_reply_of_256(false);
  std::uint64_t seq = 0;
  repeat([&](meter& m) {
    for (auto& g : reply.grants)
      g.message.serial += batch_events, g.fence.counter += batch_events;
    runtime::grant_batch grants;
    grants.session = session, grants.lane = {"lane"}, grants.seq = ++seq, grants.asked_at = now, grants.grants = reply.grants;

    m.on();
    auto actions = keeper.granted(std::move(grants), now);
    m.off();
    std::vector<runtime::outcome_batch> outcomes;
    for (auto& a : actions)
      if (auto* d = std::get_if<runtime::lease::dispatch>(&a)) {
        auto& o = outcomes.emplace_back();
        o.id = d->jobs->id, o.connection = d->jobs->connection;
        o.items = settlements_of({d->jobs->grants});
      }
    SALLYPORT_ASSERT(outcomes.size() == 1);
    m.on();
    actions = keeper.ended(outcomes.front(), now);
    m.off();
    const auto settle = std::find_if(actions.begin(), actions.end(),
                                     [](const auto& a) { return std::holds_alternative<runtime::lease::settle>(a); });
    SALLYPORT_ASSERT(settle != actions.end());
    const result<wire::settle_reply> verdicts = verdicts_of(*std::get<runtime::lease::settle>(*settle).items);
    m.on();
    actions = keeper.settled(verdicts, now);
    m.off();
    SALLYPORT_ASSERT(keeper.held() == 0);
  });
}

struct path {
  std::string_view name;
  void (*run)();
};

// One line each, to be read as a table.
// clang-format off
constexpr path paths[] = {
  {"events_parsed", [] { parse(false); }},
  {"events_parsed_rows", [] { parse(true); }},
  {"events_owned", own_events},
  {"enqueue_reply_encoded", [] { write(enqueue_reply_of_256()); }},
  {"shard_enqueue", [] { cycle(of_enqueue, 0); }},
  {"shard_claim", [] { cycle(of_claim, 0); }},
  {"shard_settle", [] { cycle(of_settle, 0); }},
  {"shard_forget", [] { cycle(of_forget, 0); }},
  {"shard_cycle", parked_cycle},
  {"shard_cycle_100k_waiting", [] { cycle(of_all, 100'000); }},
  {"store_append", append},
  {"claim_reply_encoded", [] { write(claim_reply_of_256(false)); }},
  {"claim_reply_decoded", [] { read(claim_reply_of_256(false)); }},
  {"claim_reply_decoded_rows", [] { read(claim_reply_of_256(true)); }},
  {"claim_reply_framed", [] { write_frames(claim_reply_of_256(false)); }},
  {"claim_reply_unframed", [] { read_frames(claim_reply_of_256(false)); }},
  {"leases_kept", keep_leases},
  {"settlements_encoded", [] { write(settle_request()); }},
  {"settlements_decoded", [] { read(settle_request()); }},
  {"settlements_framed", [] { write_frames(settle_request()); }},
  {"settlements_unframed", [] { read_frames(settle_request()); }},
  {"verdicts_encoded", [] { write(verdicts_of(settle_request().items)); }},
  {"verdicts_decoded", [] { read(verdicts_of(settle_request().items)); }},
  {"verdicts_framed", [] { write_frames(verdicts_of(settle_request().items)); }},
  {"verdicts_unframed", [] { read_frames(verdicts_of(settle_request().items)); }},
};
// clang-format on

} // namespace
} // namespace sallyport::bench

int main(int argc, char** argv) {
  using namespace sallyport::bench;
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "list") {
    for (const auto& p : paths)
      std::printf("%.*s\n", static_cast<int>(p.name.size()), p.name.data());
    return 0;
  }
  if (what == "run" && argc == 3)
    for (const auto& p : paths)
      if (p.name == argv[2]) {
        p.run();
        std::printf("%d\n", rounds * static_cast<int>(batch_events));
        return 0;
      }
  std::fprintf(stderr, "usage: micro_instructions list | run PATH\n");
  return 2;
}
