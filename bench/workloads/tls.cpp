// W9: what TLS costs.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

namespace sallyport::bench {

namespace {

void measure_tls(const plan& p, findings& out) {
  turns all(p, out, "W9");
  for (const auto* what : p.chosen)
    if (what->can_tls) {
      all.enter(*what, {}, what->name + ", plain");
      all.enter(*what, {.tls = true}, what->name + ", TLS");
    }
  all.rounds(
    p.quick ? 2 : p.rounds, p.quick ? 1.5 : 4.0, [](const turns::entry&) { return run_spec{}; },
    [&](turns::entry& e, const run_figures& f) {
      const auto add = [&](const char* what, const char* unit, bool more_is_better, double value) {
        out.add({.workload = "W9",
                 .system = e.what->name,
                 .point = e.options.tls ? "TLS" : "plain",
                 .what = what,
                 .unit = unit,
                 .more_is_better = more_is_better},
                value);
      };
      add("throughput", "msg/s", true, f.rate());
      add("CPU, all", "us/msg", false, f.cpu.all() * 1e6 / static_cast<double>(f.messages));
      add("CPU, server", "us/msg", false, f.cpu.server * 1e6 / static_cast<double>(f.messages));
    });

  const auto *plain = out.find("W9", "sallyport", "plain", "throughput"), *tls = out.find("W9", "sallyport", "TLS", "throughput");
  if (plain && tls)
    out.targets.push_back({"W9", "throughput over TLS, as a part of that without, measured side by side", 0.8,
                           median(tls->rounds) / median(plain->rounds)});
}

} // namespace

workload tls_workload() {
  workload w;
  w.name = "W9";
  w.title = "TLS";
  w.text = "W1 over TLS, taking turns with W1 itself on a server of its own, for the systems whose driver speaks TLS. "
           "Certificates are checked; "
           "connections are kept, so that handshakes do not count.";
  w.measure = measure_tls;
  w.drawn = {"throughput"};
  w.headline_points = {"TLS"};
  return w;
}

} // namespace sallyport::bench
