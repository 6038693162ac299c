// W1: how many messages a second go all the way.
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

namespace sallyport::bench {

namespace {

void add_figures(findings& out, const std::string& workload, const std::string& system, const run_figures& f) {
  const auto n = static_cast<double>(f.messages);
  const auto add = [&](const char* what, const char* unit, bool more_is_better, double value) {
    measurement m;
    m.workload = workload, m.system = system, m.what = what, m.unit = unit, m.more_is_better = more_is_better;
    out.add(m, value);
  };
  const auto ms = [](const histogram& h, double part) { return static_cast<double>(h.quantile(part)) / 1e6; };
  add("throughput", "msg/s", true, f.rate());
  add("enqueue rate", "msg/s", true, n / f.enqueue_seconds);
  add("CPU, all", "us/msg", false, f.cpu.all() * 1e6 / n);
  add("CPU, server", "us/msg", false, f.cpu.server * 1e6 / n);
  add("CPU, producer", "us/msg", false, f.cpu.producers * 1e6 / n);
  add("CPU, consumers", "us/msg", false, f.cpu.consumers * 1e6 / n);
  add("latency under load, p50", "ms", false, ms(f.latency, 0.5));
  add("latency under load, p99", "ms", false, ms(f.latency, 0.99));
  add("acknowledge of a request, p50", "ms", false, ms(f.acknowledge, 0.5));
  add("acknowledge of a request, p99", "ms", false, ms(f.acknowledge, 0.99));
  add("server memory", "MB", false, static_cast<double>(f.server_bytes) / 1e6);
}

void measure_throughput(const plan& p, findings& out) {
  turns all(p, out, "W1");
  all.enter_all();
  all.rounds(
    p.rounds, p.quick ? 2.0 : 4.0, [](const turns::entry&) { return run_spec{}; },
    [&](turns::entry& e, const run_figures& f) { add_figures(out, "W1", e.what->name, f); });

  const std::pair<const char*, double> wanted[] = {{"redis-everysec", 2}, {"redis-always", 4},    {"nats", 5},
                                                   {"postgres", 8},       {"rabbitmq-quorum", 8}, {"beanstalkd", 8}};
  for (const auto& [peer, ratio] : wanted)
    if (const auto got = ratio_to(out, "W1", peer, "", "throughput"); got > 0)
      out.targets.push_back({"W1", "throughput, times that of " + system_named(peer).title, ratio, got});
}

} // namespace

workload throughput_workload() {
  workload w;
  w.name = "W1";
  w.title = "End-to-end throughput";
  w.text = "Events of 1 KiB from one producer to two consumers, one of which gets each: enqueue, deliver, no work, acknowledge "
           "one by one or in "
           "batches as the system's fast path has it, always explicitly. Requests of 256 events, 8 in flight; consumers have "
           "up to 4,096 on "
           "their way and take up to half of them at once. A fixed number of events, calibrated to a few seconds, from the first "
           "send to the last "
           "event taken. The "
           "latencies are those under full load: they measure queues, not systems. CPU is user and system time of all processes "
           "concerned.";
  w.measure = measure_throughput;
  w.drawn = {"throughput", "CPU, all"};
  return w;
}

} // namespace sallyport::bench
