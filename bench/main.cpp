// sallyport_bench: the harness. People start it by scripts/bench. `produce` and `consume` are its own children.
#include "bench/harness/clock.hpp"
#include "bench/harness/report.hpp"
#include "bench/harness/roles.hpp"
#include "bench/harness/runner.hpp"
#include "bench/harness/workload.hpp"
#include "tests/support/temp_dir.hpp"

#include <CLI/CLI.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::bench {

namespace {

namespace fs = std::filesystem;

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

int try_one(const std::string& name, const run_spec& spec, int rounds) {
  const auto& what = system_named(name);
  for (int i = 0; i < rounds; ++i) {
    const testing::temp_dir folder;
    std::filesystem::create_directories(folder.path() / "server");
    const auto at = what.start({.folder = folder.path() / "server"});
    const auto f = run(what, *at, spec, folder.path() / "run");
    std::printf("%-18s %9.0f msg/s  enqueue %9.0f/s  cpu us/msg: server %.1f producer %.1f consumers %.1f  p50 %.2f ms p99 %.2f "
                "ms  %lu MB  left %lu\n",
                name.c_str(), f.rate(), static_cast<double>(f.messages) / f.enqueue_seconds,
                f.cpu.server * 1e6 / static_cast<double>(f.messages), f.cpu.producers * 1e6 / static_cast<double>(f.messages),
                f.cpu.consumers * 1e6 / static_cast<double>(f.messages), static_cast<double>(f.latency.quantile(0.5)) / 1e6,
                static_cast<double>(f.latency.quantile(0.99)) / 1e6, f.server_bytes >> 20, at->unacknowledged());
  }
  return 0;
}

struct wishes {
  std::vector<std::string> workloads, peers;
  std::string out, work, commit;
  std::size_t rounds = 0; // 0: as many as the kind of run has.
  bool quick = false, list = false;
};

void list_all() {
  std::puts("workloads:");
  for (const auto& w : workloads())
    std::printf("  %-4s %s\n", w.name.c_str(), w.title.c_str());
  std::puts("systems:");
  for (const auto& s : systems())
    if (!s.variant)
      std::printf("  %-18s %s%s\n", s.name.c_str(), s.title.c_str(), s.durable ? "" : " (not durable)");
}

std::vector<const workload*> chosen_workloads(const wishes& w) {
  std::vector<const workload*> chosen;
  for (const auto& each : workloads())
    if (w.workloads.empty() || std::find(w.workloads.begin(), w.workloads.end(), each.name) != w.workloads.end())
      chosen.push_back(&each);
  for (const auto& name : w.workloads)
    if (std::none_of(chosen.begin(), chosen.end(), [&](const workload* c) { return c->name == name; }))
      throw std::runtime_error("no workload is called '" + name + "'; see --list");
  return chosen;
}

// Ours always: a ratio needs it.
std::vector<const system*> chosen_systems(const wishes& w) {
  std::vector<const system*> chosen{&system_named("sallyport")};
  if (w.peers.empty())
    for (const auto& s : systems())
      if (!s.variant && s.name != "sallyport")
        chosen.push_back(&s);
  for (const auto& name : w.peers)
    if (name != "none" && name != "sallyport")
      chosen.push_back(&system_named(name));
  return chosen;
}

// Where servers write. On a disk, as /tmp may not be; and open to search for servers that insist on a user of their own.
class work_folder {
public:
  explicit work_folder(const std::string& below) {
    auto name = (fs::path(below.empty() ? "/var/tmp" : below) / "sallyport-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr || chmod(name.c_str(), 0755) != 0)
      throw std::runtime_error("cannot make a folder " + name);
    path_ = name;
  }
  ~work_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  work_folder(const work_folder&) = delete;
  work_folder& operator=(const work_folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

int measure(const wishes& w) {
  const auto begin = now_ns();
  const auto minutes = [begin] { return static_cast<double>(now_ns() - begin) / 60e9; };
  const auto say = [minutes](const std::string& line) { std::fprintf(stderr, "[%5.1f min] %s\n", minutes(), line.c_str()); };

  report_input report;
  const auto all = chosen_workloads(w);
  report.systems = chosen_systems(w);
  report.quick = w.quick;
  report.rounds = w.rounds > 0 ? w.rounds : w.quick ? 2 : 5;
  const work_folder folder(w.work);
  say("measuring fdatasync in " + folder.path().string());
  report.facts = facts_of_this_machine(folder.path(), w.commit, report.systems);

  plan p;
  p.folder = folder.path();
  p.chosen = report.systems;
  p.quick = w.quick;
  p.rounds = report.rounds;
  p.say = say;
  std::map<std::string, standing_server> standing;
  if (w.quick)
    p.standing = &standing;
  bool whole = true;
  for (const auto* each : all) {
    report.workloads.push_back(each);
    try {
      each->measure(p, report.found);
    } catch (const std::exception& e) {
      whole = false;
      report.found.notes.push_back(each->name + " ended early: " + e.what());
      say(report.found.notes.back());
    }
    report.minutes = minutes();
    write_report(report, w.out); // After each: what follows may take an hour, or the machine.
  }
  std::printf("\n%s\nreport: %s\n", report_table(report).c_str(), (fs::path(w.out) / "report.md").c_str());
  return whole ? 0 : 1;
}

int command_line(int argc, char** argv) {
  wishes w;
  CLI::App app("Measures Sallyport beside the brokers people know: the same work, on this machine, in turns.\n"
               "Everything is started on 127.0.0.1 from installed Debian packages, and stopped again.",
               "scripts/bench");
  app.add_option("workload", w.workloads, "Which to run (W1, W2, ...); none: all");
  app.add_option("--peers", w.peers, "Which systems beside Sallyport, with commas between them; \"none\": only Sallyport")
    ->delimiter(',')
    ->allow_extra_args(false);
  app.add_flag("--quick", w.quick, "Short and few rounds: everything in under ten minutes");
  app.add_option("--rounds", w.rounds, "How many rounds (5; quick: 2)")->check(CLI::Range(1, 100));
  app.add_option("--out", w.out, "Folder for report.md, results.json and plots")
    ->default_str("bench/results/DATE-Nc; quick: build/bench");
  app.add_flag("--list", w.list, "Names the workloads and the systems, and ends");
  app.add_option("--work", w.work, "Folder on the disk that servers shall write to (/var/tmp)");
  app.add_option("--commit", w.commit, "Which Sallyport this is, for the report")->group("");
  CLI11_PARSE(app, argc, argv);
  if (w.list) {
    list_all();
    return 0;
  }
  if (w.out.empty())
    throw std::runtime_error("--out is missing: scripts/bench chooses a folder");
  return measure(w);
}

} // namespace

} // namespace sallyport::bench

int main(int argc, char** argv) {
  using namespace sallyport::bench;
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (!words.empty() && (words[0] == "produce" || words[0] == "consume"))
      return run_child(words);
    if (words.size() >= 3 && words[0] == "try") { // try SYSTEM MESSAGES [ROUNDS [RATE [BATCH [IN-FLIGHT]]]]
      run_spec spec{.messages = number(words[2])};
      const auto or_else = [&](std::size_t at, std::size_t otherwise) {
        return words.size() > at ? number(words[at]) : otherwise;
      };
      spec.rate = static_cast<double>(or_else(4, 0));
      spec.batch = or_else(5, spec.batch);
      spec.in_flight = or_else(6, spec.in_flight);
      return try_one(words[1], spec, static_cast<int>(or_else(3, 1)));
    }
    return command_line(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sallyport_bench: %s\n", e.what());
    return 1;
  }
}
