// A workload is one question asked of every system that can answer it. It measures in rounds, the systems taking turns within a round
// (A, B, C, A, B, C ...), so that what the machine does meanwhile falls on all of them. One file per workload in bench/workloads.
#pragma once

#include "bench/harness/system.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::bench {

/// One kind of figure of one system at one point of a workload, with a value per round. The report shows median, lowest and highest.
struct measurement {
  std::string workload; // "W2"
  std::string system;   // system::name
  std::string point;    // Where on the workload's axis: "2000 msg/s", "64 producers"; empty when it has one point only.
  double x = 0;         // The same as a number, for plots.
  std::string what;     // "throughput", "latency p50", "server memory", ...
  std::string unit;     // "msg/s", "ms", "MB", "us/msg", "B", "s", "%"
  bool more_is_better = true;
  std::vector<double> rounds;
  std::string mark;       // Printed beside the figure: "rate not held". Empty: nothing to say.
  bool comparable = true; // False: it says something about this system alone; no ratio is formed, and plots show it hollow.
};

/// What was wanted and what came; the report lists all of them.
struct target {
  std::string workload, text; // "at least 4 x Redis always"
  double wanted = 0, got = 0;
  bool at_least = true; // Else: at most.
  [[nodiscard]] bool met() const { return at_least ? got >= wanted : got <= wanted; }
};

struct findings {
  std::vector<measurement> measurements;
  std::vector<target> targets;
  std::vector<std::string> notes; // What could not be measured, and why; what went wrong.

  /// Adds one round's value to the measurement with this workload, system, point and name; makes it when it is the first. A mark stays, and so does
  /// that it cannot be compared.
  void add(const measurement& like, double value);
  [[nodiscard]] const measurement* find(const std::string& workload, const std::string& system, const std::string& point,
                                        const std::string& what) const;
};
/// 0 when there are none.
[[nodiscard]] double median(std::vector<double> values);

/// A server that one workload hands on to the next, with its folder, which goes when it has ended.
struct standing_server {
  std::filesystem::path folder;
  std::unique_ptr<server> at;
};

struct plan {
  std::filesystem::path folder;                // Of the whole call; workloads make and remove their own folders below it.
  std::vector<const system*> chosen;           // Ours first.
  bool quick = false;                          // All workloads, all chosen systems, in under ten minutes together.
  std::size_t rounds = 5;                      // Two when quick.
  std::function<void(const std::string&)> say; // Progress, for people.
  /// Where workloads with the same wishes leave servers for one another, by name, so that a quick run need not start each anew for half a
  /// minute's work; none: everybody starts their own.
  std::map<std::string, standing_server>* standing = nullptr;
};

struct workload {
  std::string name;    // "W1"
  std::string title;   // "End-to-end throughput"
  std::string text;    // What is done and what is counted, in a few sentences; printed above its table.
  std::string x_title; // Of the plot's axis; empty: bars, one per system.
  bool x_log = false;
  /// Measures and judges its targets. A system that fails costs a note, not the run.
  std::function<void(const plan&, findings&)> measure;
  /// Which kinds of figure are drawn, the first of them also being what the short table at the end shows; empty: the first measured.
  std::vector<std::string> drawn;
  /// Whose figure the short table shows: the first of these that was measured, else the first there is.
  std::vector<std::string> headline_points;
};

/// In order. bench/workloads/workloads.cpp.
const std::vector<workload>& workloads();

} // namespace sallyport::bench
