// W10: agents inside somebody's program.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <algorithm>

namespace sallyport::bench {

namespace {

void measure_embedded(const plan& p, findings& out) {
  if (std::none_of(p.chosen.begin(), p.chosen.end(), [](const system* s) { return s->name == "sallyport"; }))
    return;
  turns all(p, out, "W10");
  all.enter(system_named("sallyport"), {}, "two agent processes");
  all.enter(system_named("sallyport-embedded"), {}, "embedded");
  all.rounds(
    p.quick ? 2 : p.rounds, p.quick ? 1.5 : 4.0,
    [](const turns::entry& e) { return run_spec{.consumers = e.what->variant ? std::size_t{1} : 2}; },
    [&](turns::entry& e, const run_figures& f) {
      const auto add = [&](const char* what, const char* unit, bool more_is_better, double value) {
        out.add({.workload = "W10",
                 .system = "sallyport",
                 .point = e.label,
                 .what = what,
                 .unit = unit,
                 .more_is_better = more_is_better},
                value);
      };
      add("throughput", "msg/s", true, f.rate());
      add("CPU, all", "us/msg", false, f.cpu.all() * 1e6 / static_cast<double>(f.messages));
      add("CPU, consumers", "us/msg", false, f.cpu.consumers * 1e6 / static_cast<double>(f.messages));
    });
}

} // namespace

workload embedded_workload() {
  workload w;
  w.name = "W10";
  w.title = "Embedded";
  w.text = "W1, with two agents of one group inside one program: one caf::actor_system of the embedder's, whose adapter is a C++ "
           "class of its own. "
           "It takes turns with W1 itself, where each agent is a process with the null adapter. Peers have nothing like it.";
  w.measure = measure_embedded;
  w.drawn = {"throughput"};
  w.headline_points = {"embedded"};
  return w;
}

} // namespace sallyport::bench
