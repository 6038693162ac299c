// sallyport_sim --seeds A..B [--steps N] [--trace SEED]
#include "tests/sim/run.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <string_view>

namespace {

int usage() {
  fmt::print(stderr, "usage: sallyport_sim --seeds A..B [--steps N]\n"
                     "       sallyport_sim --trace SEED [--steps N]\n"
                     "Runs the hub's and the agents' decisions under pretend time, with every fault the seeds bring about.\n");
  return 2;
}

} // namespace

int main(int argc, char** argv) {
  std::uint64_t first = 1, last = 200, steps = 4'000;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (i + 1 >= argc)
      return usage();
    const std::string value = argv[++i];
    if (word == "--seeds") {
      const auto dots = value.find("..");
      first = std::strtoull(value.c_str(), nullptr, 10);
      last = dots == std::string::npos ? first : std::strtoull(value.c_str() + dots + 2, nullptr, 10);
    } else if (word == "--steps") {
      steps = std::strtoull(value.c_str(), nullptr, 10);
    } else if (word == "--trace") {
      first = last = std::strtoull(value.c_str(), nullptr, 10);
      trace = true;
    } else {
      return usage();
    }
  }
  if (first > last)
    return usage();
  const auto began = std::chrono::steady_clock::now();
  std::uint64_t total = 0, crashes = 0, faults = 0, violations = 0;
  for (auto seed = first; seed <= last; ++seed) {
    const auto r = sallyport::sim::run(seed, steps, trace);
    total += r.steps, crashes += r.crashes, faults += r.faults, violations += r.violations.size();
    if (trace)
      fmt::print("{}", r.trace);
    for (auto& v : r.violations)
      fmt::print("seed {}: {}\n", seed, v);
  }
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  fmt::print("sim: seeds={} steps={} crashes={} faults={} violations={} seconds={:.1f}\n", last - first + 1, total, crashes,
             faults, violations, seconds);
  return violations == 0 ? 0 : 1;
}
