// W9: what TLS costs.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <map>

namespace sallyport::bench {

namespace {

void measure(const plan& p, findings& out) {
  turns all(p, out, "W9");
  for (const auto* what : p.chosen)
    if (what->can_tls) {
      all.enter(*what, {}, what->name + ", plain");
      all.enter(*what, {.tls = true}, what->name + ", TLS");
    }
  std::map<std::string, std::uint64_t> messages;
  all.each("calibration",
           [&](turns::entry& e) { messages[e.label] = all.calibrate(e, {.messages = 4'096}, p.quick ? 1.5 : 4.0); });
  for (std::size_t round = 1; round <= (p.quick ? 2 : p.rounds); ++round)
    all.each("round " + std::to_string(round), [&](turns::entry& e) {
      if (messages[e.label] == 0) // Its calibration failed.
        return;
      const auto f = all.run(e, {.messages = messages[e.label]});
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
  w.measure = measure;
  w.drawn = {"throughput"};
  w.headline_point = "TLS";
  return w;
}

} // namespace sallyport::bench
