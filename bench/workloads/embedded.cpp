// W10: agents inside somebody's program.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <algorithm>
#include <map>

namespace sallyport::bench {

namespace {

void measure(const plan& p, findings& out) {
  if (std::none_of(p.chosen.begin(), p.chosen.end(), [](const system* s) { return s->name == "sallyport"; }))
    return;
  turns all(p, out, "W10");
  all.enter(system_named("sallyport"), {}, "two agent processes");
  all.enter(system_named("sallyport-embedded"), {}, "embedded");
  const auto spec_of = [](const turns::entry& e, std::uint64_t messages) {
    return run_spec{.messages = messages, .consumers = e.what->variant ? std::size_t{1} : 2};
  };
  std::map<std::string, std::uint64_t> messages;
  all.each("calibration", [&](turns::entry& e) { messages[e.label] = all.calibrate(e, spec_of(e, 4'096), p.quick ? 1.5 : 4.0); });
  for (std::size_t round = 1; round <= (p.quick ? 2 : p.rounds); ++round)
    all.each("round " + std::to_string(round), [&](turns::entry& e) {
      if (messages[e.label] == 0) // Its calibration failed.
        return;
      const auto f = all.run(e, spec_of(e, messages[e.label]));
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
  w.measure = measure;
  w.drawn = {"throughput"};
  w.headline_point = "embedded";
  return w;
}

} // namespace sallyport::bench
