// sallyport_bench: the harness. People start it by scripts/bench. `produce` and `consume` are its own children.
#include "bench/harness/roles.hpp"
#include "bench/harness/runner.hpp"
#include "bench/harness/workload.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

namespace {

using namespace sallyport::bench;

std::uint64_t number(const std::string& text) {
  return std::stoull(text);
}

int run_child(const std::vector<std::string>& a) {
  if (a[0] == "produce" && a.size() == 12)
    return produce({.system = a[1],
                    .address = a[2],
                    .board_file = a[3],
                    .seat = number(a[4]),
                    .first = number(a[5]),
                    .count = number(a[6]),
                    .bytes = number(a[7]),
                    .batch = number(a[8]),
                    .in_flight = number(a[9]),
                    .queue = number(a[10]),
                    .rate = std::stod(a[11])});
  if (a[0] == "consume" && a.size() == 12)
    return consume({.system = a[1],
                    .address = a[2],
                    .board_file = a[3],
                    .seat = number(a[4]),
                    .batch = number(a[5]),
                    .window = number(a[6]),
                    .queue = number(a[7]),
                    .name = a[8],
                    .folder = a[9],
                    .database = a[10],
                    .hold_us = number(a[11])});
  std::fprintf(stderr, "sallyport_bench: a child was started with %zu words\n", a.size());
  return 2;
}

int try_one(const std::string& name, std::uint64_t messages, int rounds) {
  const auto& what = system_named(name);
  for (int i = 0; i < rounds; ++i) {
    const sallyport::testing::temp_dir folder;
    std::filesystem::create_directories(folder.path() / "server");
    const auto at = what.start({.folder = folder.path() / "server"});
    const auto f = run(what, *at, {.messages = messages}, folder.path() / "run");
    std::printf("%-18s %9.0f msg/s  enqueue %9.0f/s  cpu us/msg: server %.1f producer %.1f consumers %.1f  p50 %.1f ms p99 %.1f "
                "ms  %lu MB  left %lu\n",
                name.c_str(), f.rate(), static_cast<double>(f.messages) / f.enqueue_seconds,
                f.cpu.server * 1e6 / static_cast<double>(f.messages), f.cpu.producers * 1e6 / static_cast<double>(f.messages),
                f.cpu.consumers * 1e6 / static_cast<double>(f.messages), static_cast<double>(f.latency.quantile(0.5)) / 1e6,
                static_cast<double>(f.latency.quantile(0.99)) / 1e6, f.server_bytes >> 20, at->unacknowledged());
  }
  return 0;
}

// Until there is a proper command line: one workload, its medians on stdout.
int measure_one(const std::string& name, const std::vector<std::string>& who) {
  const sallyport::testing::temp_dir folder;
  plan p;
  p.folder = folder.path();
  p.quick = true;
  p.rounds = 3;
  p.say = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  for (const auto& s : who)
    p.chosen.push_back(&system_named(s));
  findings f;
  for (const auto& w : workloads())
    if (w.name == name)
      w.measure(p, f);
  for (const auto& m : f.measurements)
    std::printf("%s %-18s %-14s %-32s %12.2f %s %s\n", m.workload.c_str(), m.system.c_str(), m.point.c_str(), m.what.c_str(),
                median(m.rounds), m.unit.c_str(), m.mark.c_str());
  for (const auto& t : f.targets)
    std::printf("%s %s: wanted %g, got %g\n", t.workload.c_str(), t.text.c_str(), t.wanted, t.got);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (!words.empty() && (words[0] == "produce" || words[0] == "consume"))
      return run_child(words);
    if (words.size() >= 3 && words[0] == "try")
      return try_one(words[1], number(words[2]), words.size() > 3 ? std::stoi(words[3]) : 1);
    if (words.size() >= 3 && words[0] == "measure")
      return measure_one(words[1], {words.begin() + 2, words.end()});
    std::fputs("sallyport_bench: see scripts/bench --help\n", stderr);
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sallyport_bench: %s\n", e.what());
    return 1;
  }
}
