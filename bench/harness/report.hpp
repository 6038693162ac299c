// What was found, for people and for programs: a Markdown report, raw JSON, plots, and a short table for the terminal. Pure: text out of
// findings, but for write_report().
#pragma once

#include "bench/harness/facts.hpp"
#include "bench/harness/workload.hpp"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace sallyport::bench {

struct report_input {
  machine_facts facts;
  std::vector<const system*> systems; // That took part, ours first.
  std::vector<const workload*> workloads;
  findings found;
  bool quick = false;
  std::size_t rounds = 0;
  double minutes = 0; // It took.
};

[[nodiscard]] std::string report_markdown(const report_input& in);
[[nodiscard]] std::string report_json(const report_input& in);
/// A line per workload and system: the headline figure, its spread, and how Sallyport compares.
[[nodiscard]] std::string report_table(const report_input& in);
/// File name and content of each plot.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> report_plots(const report_input& in);

/// report.md, results.json and the plots, in a folder that is made. Throws std::runtime_error when one cannot be written.
void write_report(const report_input& in, const std::filesystem::path& folder);

/// How many times better the first is: above 1 it is ahead, whichever way the figure counts. 0 when one of them is missing, zero
/// or not to be compared.
[[nodiscard]] double times_better(const measurement* ours, const measurement* theirs);

} // namespace sallyport::bench
