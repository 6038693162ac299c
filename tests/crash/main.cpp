// sallyport_crash scenario DIR | images | errors | run | mutants    [--seed A..B] [--steps N] [--mutant NAME]
#include "protocol/probe.hpp"
#include "tests/cloud/store/samples.hpp"
#include "tests/crash/run.hpp"
#include "tests/crash/shim.hpp"

#include <fmt/format.h>
#include <lmdb.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace sallyport::crash;

int usage() {
  fmt::print(stderr, "usage: sallyport_crash scenario DIR [--seed A..B] [--steps N] [--mutant NAME]\n"
                     "       sallyport_crash images|errors|run [--seed A..B] [--steps N] [--mutant NAME]\n"
                     "       sallyport_crash mutants [--seed A..B] [--steps N]\n"
                     "Plays a scenario on the real store, and judges every disk that a crash or a fault could leave behind.\n");
  return 2;
}

using sallyport::probe::mutant;

struct named_mistake {
  const char* name;
  unsigned lmdb_flags = 0;
  mistakes in_host;
  mutant in_shard = mutant::none;
  bool by_errors = false; // Seen when calls fail, not when the power does.
};
/// What a crash or a failing disk must find; the simulator looks for the others.
constexpr std::array planted = {
  // The flags themselves: the shim adds them where the store opens its environment.
  named_mistake{"MDB_NOSYNC", MDB_NOSYNC},
  named_mistake{"MDB_NOMETASYNC", MDB_NOMETASYNC},
  named_mistake{"journal_not_synced", journal_not_synced},
  named_mistake{"answer_before_durable", 0, {}, mutant::answer_before_durable},
  named_mistake{"believe_failed_appends", 0, {.believe_failed_appends = true}, mutant::none, true},
  named_mistake{"waiters_survive_reopen", 0, {}, mutant::waiters_survive_reopen, true},
  named_mistake{"fence_restarts", 0, {}, mutant::fence_restarts},
  named_mistake{"dedup_lost_on_restart", 0, {}, mutant::dedup_lost_on_restart},
  named_mistake{"verdict_lost_on_restart", 0, {}, mutant::verdict_lost_on_restart},
  named_mistake{"lane_lost_on_restart", 0, {}, mutant::lane_lost_on_restart},
  named_mistake{"delayed_lost_on_restart", 0, {}, mutant::delayed_lost_on_restart},
  named_mistake{"delay_lost_on_restart", 0, {}, mutant::delay_lost_on_restart},
};

bool plant(std::string_view name, run_settings& s) {
  for (auto& m : planted)
    if (name == m.name) {
      s.lmdb_flags = m.lmdb_flags, s.what.planted = m.in_host;
      sallyport::probe::planted = m.in_shard;
      return true;
    }
  return false;
}

void add(outcome& to, const outcome& more) {
  to.writes += more.writes, to.syncs += more.syncs, to.answers += more.answers;
  to.images += more.images, to.io_faults += more.io_faults, to.stops += more.stops;
  to.violations.insert(to.violations.end(), more.violations.begin(), more.violations.end());
}

void print(const outcome& o, double seconds) {
  std::size_t shown = 0;
  std::map<std::string, unsigned> by_law;
  for (auto& v : o.violations)
    if (++by_law[v.what.law] <= 5 && ++shown != 0)
      fmt::print("{}: {} [{}]\n", v.where, v.what.what, v.what.law);
  if (shown < o.violations.size())
    fmt::print("... and {} more\n", o.violations.size() - shown);
  fmt::print("crash: writes={} syncs={} answers={} images={} io_faults={} stops={} violations={} seconds={:.1f}\n", o.writes,
             o.syncs, o.answers, o.images, o.io_faults, o.stops, o.violations.size(), seconds);
}

/// In a process of its own: some mistakes break what the shard believes of itself, and it ends at once.
bool is_caught(const named_mistake& m, run_settings with) {
  std::fflush(nullptr);
  const auto child = ::fork();
  if (child == 0) {
    plant(m.name, with);
    with.until_caught = true;
    const auto o = m.by_errors ? io_errors(with) : crash_images(with);
    if (o.violations.empty())
      fmt::print("mutant {}: MISSED by {} images\n", m.name, o.images);
    else
      fmt::print("mutant {}: caught by image {} ({}: {})\n", m.name, o.images, o.violations.front().what.law,
                 o.violations.front().what.what);
    std::fflush(nullptr);
    ::_exit(o.violations.empty() ? 1 : 0);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child)
    return false;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
    fmt::print("mutant {}: caught by an assertion\n", m.name);
    return true;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Each planted mistake is caught, or the run has failed.
int mutants(const run_settings& s) {
  int missed = 0;
  for (auto& m : planted)
    missed += !is_caught(m, s);
  fmt::print("crash: mutants={} missed={}\n", planted.size(), missed);
  return missed == 0 ? 0 : 1;
}

/// The shim stands before the C library only in a process that was started with it.
int start_again_under_shim(char** argv) {
  if (std::getenv("SALLYPORT_CRASH_SHIM") != nullptr) {
    fmt::print(stderr, "sallyport_crash: {} was not loaded\n", SALLYPORT_CRASH_SHIM);
    return 2;
  }
  ::setenv("SALLYPORT_CRASH_SHIM", SALLYPORT_CRASH_SHIM, 1);
  ::setenv("LD_PRELOAD", SALLYPORT_CRASH_SHIM, 1);
  // A sanitizer wants to be the first; it works behind the shim as well.
  const auto* more = std::getenv("ASAN_OPTIONS");
  ::setenv("ASAN_OPTIONS", fmt::format("{}verify_asan_link_order=0", more ? std::string{more} + ":" : "").c_str(), 1);
  ::execv("/proc/self/exe", argv);
  fmt::print(stderr, "sallyport_crash: cannot start again under the shim: {}\n", std::strerror(errno));
  return 2;
}

} // namespace

int main(int argc, char** argv) {
  if (!has_shim())
    return start_again_under_shim(argv);
  if (argc < 2)
    return usage();
  const std::string_view what = argv[1];
  int i = 2;
  std::string directory;
  if (what == "scenario") {
    if (argc < 3)
      return usage();
    directory = argv[i++];
  }
  const sallyport::testing::temporary_directory scratch{sallyport::testing::place::memory};
  run_settings s;
  s.scratch = scratch.path();
  std::uint64_t first = s.what.seed, last = first;
  for (; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (i + 1 >= argc)
      return usage();
    const char* value = argv[++i];
    if (word == "--seed") {
      char* end = nullptr;
      first = last = std::strtoull(value, &end, 10);
      if (std::string_view{end}.substr(0, 2) == "..")
        last = std::strtoull(end + 2, nullptr, 10);
      s.what.seed = first;
    } else if (word == "--steps")
      s.what.steps = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    else if (word != "--mutant" || !plant(value, s))
      return usage();
  }
  const auto began = std::chrono::steady_clock::now();
  outcome o;
  if (what == "scenario") {
    fmt::print("{}", tell(s, directory));
    return 0;
  }
  if (what == "mutants")
    return mutants(s);
  const bool images = what == "images" || what == "run", errors = what == "errors" || what == "run";
  if (!(images || errors) || first > last)
    return usage();
  for (s.what.seed = first; s.what.seed <= last; ++s.what.seed) {
    if (images)
      add(o, crash_images(s));
    if (errors)
      add(o, io_errors(s));
  }
  print(o, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  return o.violations.empty() ? 0 : 1;
}
