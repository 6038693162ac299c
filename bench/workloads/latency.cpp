// W2: how long a message takes when the system is not full.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <vector>

namespace sallyport::bench {

namespace {

constexpr double held_part = 0.98;

// What came of the wanted rate. A system that keeps up takes the last message its usual latency after it was due; that is not held
// against it, up to 20 ms.
double part_achieved(const run_figures& f, double rate) {
  const auto usual = std::min(static_cast<double>(f.latency.quantile(0.5)) / 1e9, 0.02);
  const auto wanted = static_cast<double>(f.messages - 1) / rate;
  return std::min(1.0, wanted / std::max(f.seconds - usual, 1e-9));
}

void measure_latency(const plan& p, findings& out) {
  turns all(p, out, "W2");
  all.enter_all();
  all.each("warm-up", [&](turns::entry& e) { (void)all.run(e, {.messages = 5'000}); });

  const auto rates = p.quick ? std::vector{2'000, 10'000} : std::vector{500, 2'000, 10'000, 50'000};
  if (p.quick)
    out.notes.emplace_back("W2: the quick run has 2,000 and 10,000 msg/s; the full run 500 and 50,000 as well");
  std::set<std::pair<std::string, int>>
    not_held; // Latencies there say how long it was measured and nothing else: once is enough.
  for (std::size_t round = 1; round <= (p.quick ? 1 : p.rounds); ++round)
    for (const int rate : rates) {
      const auto point = std::to_string(rate) + " msg/s";
      const double seconds = p.quick ? (rate > 2'000 ? 1 : 2) : (rate > 10'000 ? 4 : 8);
      all.each(point + ", round " + std::to_string(round), [&](turns::entry& e) {
        if (not_held.contains({e.label, rate}))
          return;
        const auto f = all.run(e, {.messages = static_cast<std::uint64_t>(rate * seconds), .rate = static_cast<double>(rate)});
        const auto part = part_achieved(f, rate);
        std::string mark;
        if (part < held_part) {
          not_held.emplace(e.label, rate);
          char text[64];
          std::snprintf(text, sizeof text, "rate not held: %.0f %%", part * 100);
          mark = text;
        }
        const auto add = [&](const char* what, const char* unit, bool more_is_better, double value) {
          out.add({.workload = "W2",
                   .system = e.what->name,
                   .point = point,
                   .x = static_cast<double>(rate),
                   .what = what,
                   .unit = unit,
                   .more_is_better = more_is_better,
                   .mark = mark,
                   .comparable = mark.empty()},
                  value);
        };
        const auto ms = [&f](double quantile) { return static_cast<double>(f.latency.quantile(quantile)) / 1e6; };
        add("latency p50", "ms", false, ms(0.5));
        add("latency p99", "ms", false, ms(0.99));
        add("latency p99.9", "ms", false, ms(0.999));
        add("longest latency", "ms", false, static_cast<double>(f.latency.longest()) / 1e6);
        add("rate achieved", "%", true, part * 100);
        add("CPU, all", "us/msg", false, f.cpu.all() * 1e6 / static_cast<double>(f.messages));
      });
    }

  const std::string at = "2000 msg/s";
  for (const auto* peer : p.chosen)
    if (peer->durable && peer->name != "sallyport")
      for (const std::string what : {"latency p50", "latency p99"})
        if (const auto got = ratio_to(out, "W2", peer->name, at, what); got > 0)
          out.targets.push_back({"W2", what + " at 2,000 msg/s, as a part of that of " + peer->title, 1, got, false});
  const auto *p50 = out.find("W2", "sallyport", at, "latency p50"), *p99 = out.find("W2", "sallyport", at, "latency p99");
  if (p50 && p99)
    out.targets.push_back({"W2", "latency p99 at 2,000 msg/s, times p50", 3, median(p99->rounds) / median(p50->rounds), false});
}

} // namespace

workload latency_workload() {
  workload w;
  w.name = "W2";
  w.title = "Latency";
  w.text = "Open loop: one producer sends 500, 2,000, 10,000 and 50,000 events of 1 KiB a second to two consumers. Every event "
           "has a due time that "
           "does not depend on how the system fares, and latency counts from it until a consumer has the event: a system that "
           "stalls is charged for "
           "every event it held up (no coordinated omission). What is due when a request may leave goes with it, up to 256, 8 "
           "requests in flight. "
           "Where less than 98 % of the rate was achieved the figures are marked: they then say how long was measured, and "
           "nothing else.";
  w.x_title = "events a second";
  w.x_log = true;
  w.measure = measure_latency;
  w.drawn = {"latency p99", "latency p50", "latency p99.9"};
  w.headline_points = {"2000 msg/s"};
  return w;
}

} // namespace sallyport::bench
