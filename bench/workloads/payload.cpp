// W4: what a message costs by its size.
#include "bench/harness/event.hpp"
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <algorithm>
#include <map>

namespace sallyport::bench {

namespace {

struct size_point {
  std::string name;
  std::size_t bytes;
};

std::vector<size_point> sizes(bool quick) {
  if (quick)
    return {{"64 B", 64}, {"16 KiB", 16 << 10}};
  return {{"64 B", 64},         {"1 KiB", 1 << 10},     {"4 KiB", 4 << 10}, {"16 KiB", 16 << 10},
          {"64 KiB", 64 << 10}, {"256 KiB", 256 << 10}, {"1 MiB", 1 << 20}};
}

// A request stays below 4 MiB, and so does what a consumer takes at once.
run_spec spec_of(std::size_t bytes, std::uint64_t messages) {
  constexpr std::size_t request_bytes = (4 << 20) - (64 << 10);
  const auto batch = std::clamp<std::size_t>(request_bytes / bytes, 1, 256);
  return {.messages = messages, .bytes = bytes, .batch = batch, .window = 2 * batch};
}

void measure_payload(const plan& p, findings& out) {
  turns all(p, out, "W4");
  all.enter_all();
  const double seconds = p.quick ? 1 : 3;
  if (p.quick)
    out.notes.emplace_back("W4: the quick run has 64 B and 16 KiB; the full run seven sizes up to 1 MiB");
  std::map<std::pair<std::string, std::size_t>, std::uint64_t> messages;
  for (const auto& size : sizes(p.quick))
    all.each(size.name + ", calibration", [&](turns::entry& e) {
      const auto spec = spec_of(size.bytes, 0);
      messages[{e.label, size.bytes}] =
        all.calibrate(e, spec_of(size.bytes, std::max<std::size_t>(16 * spec.batch, 64)), seconds);
    });
  for (std::size_t round = 1; round <= (p.quick ? 1 : p.rounds); ++round)
    for (const auto& size : sizes(p.quick))
      all.each(size.name + ", round " + std::to_string(round), [&](turns::entry& e) {
        const auto n = messages[{e.label, size.bytes}];
        if (n == 0) // Its calibration failed.
          return;
        const auto f = all.run(e, spec_of(size.bytes, n));
        const auto real_bytes = std::max(size.bytes, event_bytes_min);
        const auto add = [&](const char* what, const char* unit, bool more_is_better, double value) {
          out.add({.workload = "W4",
                   .system = e.what->name,
                   .point = size.name,
                   .x = static_cast<double>(real_bytes),
                   .what = what,
                   .unit = unit,
                   .more_is_better = more_is_better},
                  value);
        };
        add("data rate", "MB/s", true, f.rate() * static_cast<double>(real_bytes) / 1e6);
        add("throughput", "msg/s", true, f.rate());
        add("CPU, all", "us/msg", false, f.cpu.all() * 1e6 / static_cast<double>(f.messages));
        add("server memory", "MB", false, static_cast<double>(f.server_bytes) / 1e6);
      });
}

} // namespace

workload payload_workload() {
  workload w;
  w.name = "W4";
  w.title = "Payload";
  w.text = "W1 with events of 64 B to 1 MiB. An event that says what a CloudEvent has to say, and when it was due, takes "
           + std::to_string(event_bytes_min)
           + " B: that is what \"64 B\" stands for, with every system. Requests hold up to 256 events and less than 4 MiB; "
             "consumers have twice "
             "as much on their way. MB are millions of bytes of events, counted once.";
  w.x_title = "bytes of an event";
  w.x_log = true;
  w.measure = measure_payload;
  w.drawn = {"data rate", "throughput"};
  w.headline_points = {"16 KiB"};
  return w;
}

} // namespace sallyport::bench
