// The simulator's command line.
#include "protocol/probe.hpp"
#include "tests/sim/shrink.hpp"

#include <fmt/format.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace {

using namespace sallyport;

constexpr std::uint64_t stories_max = 3; // Shrunk and told; the rest is only counted.

int usage() {
  fmt::print(stderr, "usage: sallyport_sim --seeds A..B [--steps N] [--marks]   every seed; ends with the line sim: ...\n"
                     "       sallyport_sim --trace SEED [--steps N]             one run as an incident report\n"
                     "       sallyport_sim --seeds A..B --mutant NAME           until the planted mistake is caught\n"
                     "       sallyport_sim --seeds A..B --mutants               the same for every mutant, as a table\n"
                     "Runs the hub's and the agents' decisions under pretend time, with every fault the seeds bring about.\n"
                     "--marks: fail when a rare branch that the cores mark was never reached.\n");
  return 2;
}

struct request {
  std::uint64_t first = 1, last = 200, steps = 4'000;
  bool trace = false, marks = false, mutants = false;
  std::optional<std::string> mutant;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t n = 0;
  if (text.empty())
    return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '9' || n > UINT64_MAX / 10 - 9)
      return std::nullopt;
    n = n * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return n;
}

std::optional<request> read(int argc, char** argv) {
  request r;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--marks" || word == "--mutants") {
      (word == "--marks" ? r.marks : r.mutants) = true;
      continue;
    }
    if (i + 1 >= argc)
      return std::nullopt;
    const std::string_view value = argv[++i];
    if (word == "--seeds") {
      const auto dots = value.find("..");
      const auto first = number(value.substr(0, dots));
      const auto last = dots == std::string_view::npos ? first : number(value.substr(dots + 2));
      if (!first || !last || *first > *last)
        return std::nullopt;
      r.first = *first, r.last = *last;
    } else if (word == "--steps" || word == "--trace") {
      const auto n = number(value);
      if (!n)
        return std::nullopt;
      if (word == "--steps")
        r.steps = *n;
      else
        r.first = r.last = *n, r.trace = true;
    } else if (word == "--mutant") {
      r.mutant = value;
    } else {
      return std::nullopt;
    }
  }
  return r;
}

sim::script script_of(const request& r, std::uint64_t seed) {
  sim::script s;
  s.seed = seed, s.steps = r.steps, s.trace = r.trace;
  return s;
}

int run_seeds(const request& r) {
  const auto began = std::chrono::steady_clock::now();
  const auto seeds = r.last - r.first + 1;
  std::uint64_t steps = 0, crashes = 0, faults = 0, violations = 0, crashed = 0, faulted = 0, told = 0;
  for (auto seed = r.first; seed <= r.last; ++seed) {
    const auto script = script_of(r, seed);
    const auto result = sim::run(script);
    steps += result.steps, crashes += result.crashes, faults += result.faults, violations += result.violations.size();
    crashed += result.crashes != 0, faulted += result.faults != 0;
    for (auto& line : result.trace)
      fmt::print("{}\n", line);
    for (auto& v : result.violations)
      fmt::print("seed {}: {}: {}\n", seed, v.law, v.what);
    if (!result.violations.empty() && !r.trace && told++ < stories_max)
      fmt::print("{}", sim::tell(sim::shrink(script, result)));
  }
  bool enough = true;
  if (r.marks) {
    for (unsigned i = 0; i < static_cast<unsigned>(probe::mark::count_); ++i) {
      fmt::print("mark {:<22} {}\n", probe::mark_names[i], probe::reached[i]);
      enough = enough && probe::reached[i] != 0;
    }
    if (!enough)
      fmt::print("a marked branch was never reached: these seeds have not tested it\n");
  }
  // A run that hardly crashed anything has shown nothing.
  if (seeds >= 100 && (steps < 500 * seeds || crashed * 10 < seeds * 9 || faulted * 10 < seeds * 9)) {
    fmt::print("too quiet: {} steps a seed, crashes in {} and faults in {} of {} seeds\n", steps / seeds, crashed, faulted,
               seeds);
    enough = false;
  }
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  fmt::print("sim: seeds={} steps={} crashes={} faults={} violations={} seconds={:.1f}\n", seeds, steps, crashes, faults,
             violations, seconds);
  return violations == 0 && enough ? 0 : 1;
}

/// In a process of its own: a mistake may also be found by an assertion, which ends the process.
int hunt(const request& r, unsigned mutant) {
  probe::planted = static_cast<probe::mutant>(mutant);
  for (auto seed = r.first; seed <= r.last; ++seed) {
    fmt::print("seed {}\n", seed);
    const auto result = sim::run(script_of(r, seed));
    if (!result.violations.empty()) {
      fmt::print("caught {}\n", result.violations.front().law);
      std::fflush(stdout);
      return 0;
    }
  }
  return 1;
}

struct catch_of {
  std::string law; // Empty: it got away.
  std::uint64_t seeds = 0;
};

catch_of hunt_apart(const request& r, unsigned mutant) {
  int ends[2];
  if (::pipe(ends) != 0)
    std::perror("pipe"), std::exit(2);
  std::fflush(stdout);
  const auto child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    ::dup2(ends[1], STDOUT_FILENO);
    if (auto* null = std::freopen("/dev/null", "w", stderr); null == nullptr)
      std::_Exit(2);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::_Exit(hunt(r, mutant));
  }
  ::close(ends[1]);
  catch_of c;
  auto* lines = ::fdopen(ends[0], "r");
  char line[256];
  while (std::fgets(line, sizeof line, lines) != nullptr) {
    const std::string_view text{line};
    if (text.rfind("seed ", 0) == 0)
      c.seeds = std::strtoull(line + 5, nullptr, 10) - r.first + 1;
    else if (text.rfind("caught ", 0) == 0)
      c.law = std::string{text.substr(7, text.find('\n') - 7)};
  }
  std::fclose(lines);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    c.law = WTERMSIG(status) == SIGABRT ? "assertion" : fmt::format("signal {}", WTERMSIG(status));
  return c;
}

int run_mutants(const request& r) {
  unsigned caught = 0, all = 0;
  std::uint64_t most = 0;
  for (unsigned m = 1; m < static_cast<unsigned>(probe::mutant::count_); ++m) {
    auto& text = probe::mutant_texts[m];
    if (r.mutant && *r.mutant != text.name)
      continue;
    ++all;
    const auto c = hunt_apart(r, m);
    caught += !c.law.empty();
    most = std::max(most, c.seeds);
    fmt::print("{:<26} {:<22} {:>5} seeds   {}\n", text.name, c.law.empty() ? "GOT AWAY" : c.law, c.seeds, text.what);
    std::fflush(stdout);
  }
  if (all == 0) {
    fmt::print(stderr, "there is no mutant \"{}\"; protocol/probe.hpp has their names\n", r.mutant.value_or(""));
    return 2;
  }
  fmt::print("mutants: planted={} caught={} seeds_most={}\n", all, caught, most);
  return caught == all ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  const auto r = read(argc, argv);
  if (!r)
    return usage();
  return r->mutants || r->mutant ? run_mutants(*r) : run_seeds(*r);
}
