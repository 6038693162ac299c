// W5: does a message cost more when millions wait?
#include "bench/harness/clock.hpp"
#include "bench/workloads/scenes.hpp"
#include "bench/workloads/workloads.hpp"

#include <algorithm>
#include <thread>
#include <vector>

namespace sallyport::bench {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr std::size_t event_bytes = 256;
constexpr std::size_t key_bytes = 26; // Source "/bench" and an id of twenty digits.

struct lengths {
  milliseconds warm, measured;
  std::uint64_t drain;
  std::size_t rounds;
};

run_spec backlog_spec() {
  run_spec spec;
  spec.bytes = event_bytes;
  return spec;
}

struct flow {
  double in = 0, out = 0; // Messages a second.
};

flow measure_flow(stage& on, const lengths& l) {
  constexpr std::uint64_t more_than_can_be_sent = 50'000'000;
  const auto spec = backlog_spec();
  stage::step s(on, more_than_can_be_sent);
  s.clients.produce(0, s.first(), more_than_can_be_sent, spec, 0);
  s.clients.wait_ready(s.b, 0, 1);
  for (std::size_t i = 0; i < spec.consumers; ++i)
    s.clients.consume(1 + i, spec, 0);
  s.clients.wait_ready(s.b, 1, spec.consumers);
  s.b.page().go.store(1);
  struct sample {
    std::uint64_t at_ns, in, out;
  };
  const auto look = [&] {
    sample now{now_ns(), s.b.seat(0).acked.load(), 0};
    for (std::size_t i = 0; i < spec.consumers; ++i)
      now.out += s.b.seat(1 + i).taken.load();
    return now;
  };
  std::this_thread::sleep_for(l.warm);
  const auto from = look();
  std::this_thread::sleep_for(l.measured);
  const auto to = look();
  s.end();
  const auto seconds = static_cast<double>(to.at_ns - from.at_ns) / 1e9;
  return {static_cast<double>(to.in - from.in) / seconds, static_cast<double>(to.out - from.out) / seconds};
}

// Back to n waiting, about; a burst may have added or taken some.
void level(stage& on, std::uint64_t n) {
  const auto waiting = on.at().unacknowledged();
  if (waiting < n - n / 20)
    on.fill(n - waiting, backlog_spec());
  else if (waiting > n + std::max<std::uint64_t>(n / 20, 20'000))
    on.take(waiting - n, backlog_spec());
}

void measure_size(const plan& p, findings& f, const system& what, std::uint64_t n, const lengths& l) {
  const auto base = measurement{.workload = "W5", .system = what.name, .point = short_number(n), .x = static_cast<double>(n)};
  const auto add = [&](const char* name, const char* unit, bool more, double value) {
    auto like = base;
    like.what = name, like.unit = unit, like.more_is_better = more;
    f.add(like, value);
  };
  const own_folder folder(p.folder, "w5-" + what.name);
  fs::create_directories(folder.path() / "server");
  const auto at = what.start({.folder = folder.path() / "server"});
  stage on(what, *at, folder.path());
  const auto empty = own_memory_of(on.at().processes());
  p.say("W5 " + what.name + ": filling " + short_number(n));
  add("fill", "msg/s", true, static_cast<double>(n) / on.fill(n, backlog_spec()));
  const auto full = own_memory_of(on.at().processes());
  add("server memory", "MB", false, static_cast<double>(full) / 1e6);
  if (n >= 100'000) // Below it is lost in what a server allocates anyway.
    add("memory per waiting message", "B", false, full > empty ? static_cast<double>(full - empty) / static_cast<double>(n) : 0);
  // Before anything is consumed: what a system remembers of messages that are done is not the question here.
  const auto took = on.at().restart();
  add("restart", "s", false, static_cast<double>(took.count()) / 1e9);
  add("restart, processor time", "s", false, cpu_of(on.at().processes()));
  add("server memory after restart", "MB", false, static_cast<double>(own_memory_of(on.at().processes())) / 1e6);
  if (const auto left = on.at().unacknowledged(); left < n - n / 20)
    f.notes.push_back("W5, " + what.name + ": after a restart with " + short_number(n) + " waiting only " + std::to_string(left)
                      + " are there");
  for (std::size_t round = 0; round < l.rounds; ++round) {
    level(on, n);
    const auto went = measure_flow(on, l);
    add("throughput", "msg/s", true, (went.in + went.out) / 2);
    add("enqueued meanwhile", "msg/s", true, went.in);
    add("consumed meanwhile", "msg/s", true, went.out);
    if (n < 2 * l.drain)
      continue;
    level(on, n);
    add("drain", "msg/s", true, on.take(l.drain, backlog_spec()));
  }
  p.say("W5 " + what.name + ": " + short_number(n) + " done");
}

void judge(findings& f, const std::string& middle, const std::string& largest) {
  const auto of = [&f](const std::string& point, const char* what) {
    const auto* m = f.find("W5", "sallyport", point, what);
    return m != nullptr ? median(m->rounds) : 0;
  };
  if (const auto small = of("1 k", "throughput"), large = of(largest, "throughput"); small > 0 && large > 0)
    f.targets.push_back(
      {"W5", "throughput with " + largest + " waiting is at least 80 % of that with 1 k", 0.8, large / small, true});
  if (const auto small = of(middle, "drain"), large = of(largest, "drain"); small > 0 && large > 0 && largest != middle)
    f.targets.push_back(
      {"W5", "drain with " + largest + " waiting is at least 80 % of that with " + middle, 0.8, large / small, true});
  if (const auto bytes = of(largest, "memory per waiting message"); bytes > 0)
    f.targets.push_back({"W5",
                         "hub memory per waiting message at " + largest + " is at most 160 B and its key (source and id, "
                           + std::to_string(key_bytes) + " B)",
                         160 + key_bytes, bytes, false});
  if (const auto seconds = of(largest, "restart"); seconds > 0)
    f.targets.push_back({"W5", "restart with " + largest + " waiting takes at most 20 s", 20, seconds, false});
}

void measure_backlog(const plan& p, findings& f) {
  const lengths l = p.quick ? lengths{milliseconds(400), milliseconds(1200), 10'000, 1}
                            : lengths{milliseconds(1000), milliseconds(4000), 50'000, std::min<std::size_t>(p.rounds, 3)};
  // Of one message with its entries in every index, generously; what does not fit is not begun.
  constexpr std::uint64_t disk_bytes = 1500;
  const auto room = fs::space(p.folder).available;
  std::string largest;
  const std::uint64_t middle = p.quick ? 20'000 : 100'000;
  std::vector<std::uint64_t> sizes{1'000, middle, 1'000'000};
  if (!p.quick)
    sizes.push_back(10'000'000);
  for (const auto n : sizes)
    for_each_system(p, f, "W5", [&](const system& what) {
      const bool ours = what.package.empty();
      if (!ours && (p.quick ? n != middle : n > 1'000'000))
        return;
      if (room < n * disk_bytes) {
        f.notes.push_back("W5, " + what.name + ": " + short_number(n) + " waiting were left out: they may need "
                          + std::to_string(n * disk_bytes >> 30) + " GiB of disk, and " + std::to_string(room >> 30)
                          + " GiB are free at " + p.folder.string());
        return;
      }
      auto lengths_here = l;
      if (p.quick && ours)
        lengths_here.rounds = 2;
      measure_size(p, f, what, n, lengths_here);
      if (ours)
        largest = short_number(n);
    });
  if (p.quick)
    f.notes.emplace_back(
      "W5: the quick run has 20 k waiting for the peers, 1 k, 20 k and 1 M for Sallyport, and drains 10,000; the "
      "full run 1 k to 1 M and to 10 M, and 50,000");
  judge(f, short_number(middle), largest);
}

} // namespace

workload backlog_workload() {
  workload w;
  w.name = "W5";
  w.title = "Backlog";
  w.text = "Events of 256 B (so that ten million fit on the disk). A server of its own for each size is filled while "
           "nobody consumes, and restarted: memory is the server's own (anonymous and shared pages, not the kernel's "
           "cache of its files), with the backlog less empty, over the number waiting, and contains whatever it "
           "caches of the events; keys (source and id) are 26 B; restart is from start to served. Then, several "
           "times, one producer (requests of 256, 8 in flight) and two consumers run at once on top of the backlog, "
           "which they take from its old end: throughput is half the sum of what was enqueued and what was consumed "
           "in that time, both of which stand beside it; drain is consumption alone, 50,000 (quick: 10,000) from the "
           "same backlog. "
           "Systems follow one another, because each size is a state that takes long to build.";
  w.x_title = "messages waiting";
  w.x_log = true;
  w.measure = measure_backlog;
  w.drawn = {"throughput", "drain", "memory per waiting message", "restart"};
  w.headline_points = {"100 k", "20 k"};
  return w;
}

} // namespace sallyport::bench
