// W3: what a system does for producers that send one event and wait.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <map>
#include <vector>

namespace sallyport::bench {

namespace {

std::vector<std::size_t> crowds_of(bool quick) {
  return quick ? std::vector<std::size_t>{1, 64} : std::vector<std::size_t>{1, 16, 64};
}

std::string point_of(std::size_t producers) {
  return std::to_string(producers) + (producers == 1 ? " producer" : " producers");
}

// So many producers with one request each, in one process or in as many: the same to a server that hears them on as many connections,
// another thing to a client library that sends them all over one.
run_spec shape(std::size_t producers, bool processes, std::uint64_t messages) {
  return {.messages = messages, .batch = 1, .in_flight = processes ? 1 : producers, .producers = processes ? producers : 1};
}

void measure_singles(const plan& p, findings& out) {
  struct choice {
    bool processes = false;
    std::uint64_t messages = 0;
  };
  turns all(p, out, "W3");
  all.enter_all();
  const double seconds = p.quick ? 0.6 : 3;
  const auto crowds = crowds_of(p.quick);
  if (p.quick)
    out.notes.emplace_back(
      "W3: the quick run has 1 and 64 producers, in one process; the full run 16 as well, and tries as many processes");
  std::map<std::pair<std::string, std::size_t>, choice> chosen;
  for (const auto producers : crowds)
    all.each(point_of(producers) + ", calibration", [&](turns::entry& e) {
      auto& c = chosen[{e.label, producers}];
      c.messages = all.calibrate(e, shape(producers, false, 512), seconds);
      if (producers == 1 || p.quick)
        return;
      // So many processes take seconds to start: begun with a length that is likely to do.
      const auto begin = std::max<std::uint64_t>(512, c.messages / 2);
      if (const auto others = all.calibrate(e, shape(producers, true, begin), seconds); others > c.messages)
        c = {true, others};
    });

  for (std::size_t round = 1; round <= (p.quick ? 1 : p.rounds); ++round)
    for (const auto producers : crowds)
      all.each(point_of(producers) + ", round " + std::to_string(round), [&](turns::entry& e) {
        const auto& c = chosen[{e.label, producers}];
        if (c.messages == 0) // Its calibration failed.
          return;
        const auto f = all.run(e, shape(producers, c.processes, c.messages));
        const auto add = [&](const char* what, const char* unit, bool more_is_better, double value) {
          out.add({.workload = "W3",
                   .system = e.what->name,
                   .point = point_of(producers),
                   .x = static_cast<double>(producers),
                   .what = what,
                   .unit = unit,
                   .more_is_better = more_is_better,
                   .mark = c.processes ? "as many processes" : ""},
                  value);
        };
        add("throughput", "msg/s", true, f.rate());
        add("acknowledge p50", "ms", false, static_cast<double>(f.acknowledge.quantile(0.5)) / 1e6);
        add("acknowledge p99", "ms", false, static_cast<double>(f.acknowledge.quantile(0.99)) / 1e6);
        add("CPU, all", "us/msg", false, f.cpu.all() * 1e6 / static_cast<double>(f.messages));
      });

  for (const auto* peer : p.chosen)
    if (peer->durable && peer->name != "sallyport")
      if (const auto got = ratio_to(out, "W3", peer->name, point_of(64), "throughput"); got > 0)
        out.targets.push_back({"W3", "throughput with 64 producers, times that of " + peer->title, 1, got});
}

} // namespace

workload singles_workload() {
  workload w;
  w.name = "W3";
  w.title = "Single events";
  w.text = "1, 16 and 64 producers, each of which sends one event of 1 KiB and waits for its acknowledge before it sends the "
           "next; two consumers as "
           "in W1. A producer is a request in flight. Producers share one process (then the driver decides what connections to "
           "use for that many "
           "requests: see its settings) or have a process and connection each; both are tried with every system, and the faster "
           "is measured (quick: only the former): "
           "\"as many processes\" marks the latter.";
  w.x_title = "producers";
  w.x_log = true;
  w.measure = measure_singles;
  w.drawn = {"throughput", "acknowledge p99"};
  w.headline_points = {"64 producers"};
  return w;
}

} // namespace sallyport::bench
