#include "bench/harness/plot.hpp"
#include "bench/harness/report.hpp"
#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <regex>
#include <set>
#include <sstream>

namespace {

using namespace sallyport::bench;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

/// Two durable systems, one that is not, a workload of one point and one with an axis.
struct example {
  sallyport::bench::system ours, slow, loose;
  workload bars, lines;
  report_input in;

  example() {
    ours.name = "sallyport", ours.title = "Sallyport", ours.durable = true, ours.durability = "synced";
    slow.name = "slow", slow.title = "Slow | Steady", slow.package = "slow-server libslow", slow.durable = true,
    slow.durability = "synced too";
    slow.settings = {"sync = always"};
    loose.name = "loose", loose.title = "Loose", loose.durability = "in memory, a second may be lost";
    bars.name = "W1", bars.title = "Throughput", bars.text = "What is done.", bars.drawn = {"throughput"};
    lines.name = "W2", lines.title = "Latency", lines.x_title = "rate", lines.x_log = true, lines.headline_points = {"2000/s"};
    in.facts.date = "2026-01-31 12:00 UTC";
    in.facts.appended = {1'200'000, 3'000'000};
    in.facts.versions = {{"slow-server", "3.1-1"}, {"libslow", "0.9"}};
    in.systems = {&ours, &loose, &slow};
    in.workloads = {&bars, &lines};
    in.rounds = 3;
    for (const double v : {90'000.0, 100'000.0, 120'000.0})
      add("W1", "sallyport", "", 0, "throughput", true, v);
    add("W1", "slow", "", 0, "throughput", true, 20'000);
    add("W1", "loose", "", 0, "throughput", true, 200'000);
    add("W1", "slow", "", 0, "CPU", false, 30);
    add("W1", "sallyport", "", 0, "CPU", false, 10);
    add("W2", "sallyport", "10000/s", 10'000, "p50", false, 4); // Measured in another order than the axis has.
    add("W2", "sallyport", "2000/s", 2'000, "p50", false, 1);
    add("W2", "slow", "2000/s", 2'000, "p50", false, 2.5);
    add("W2", "loose", "10000/s", 10'000, "p50", false, 900, "rate not held: 71 %");
    in.found.targets = {{"W1", "times Slow", 4, 5}, {"W2", "p99 to p50", 3, 6.97, false}};
    in.found.notes = {"W2, slow: did not answer"};
  }

  void add(const char* w, const char* s, const char* point, double x, const char* what, bool more, double value,
           const char* mark = "") {
    in.found.add({.workload = w,
                  .system = s,
                  .point = point,
                  .x = x,
                  .what = what,
                  .unit = more ? "msg/s" : "ms",
                  .more_is_better = more,
                  .mark = mark,
                  .comparable = *mark == '\0'},
                 value);
  }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    all.push_back(line);
  return all;
}

/// The cells of the first row of the text whose first cell says this; empty when there is none.
std::vector<std::string> row_of(const std::string& text, const std::string& first) {
  for (const auto& line : lines_of(text))
    if (line.starts_with("| " + first + " |")) {
      std::vector<std::string> cells;
      std::istringstream in(line.substr(2));
      for (std::string cell; std::getline(in, cell, '|');)
        cells.push_back(std::regex_replace(cell, std::regex("^ +| +$"), ""));
      return cells;
    }
  return {};
}

TEST(report, times_better_is_above_one_for_who_is_ahead_whichever_way_the_figure_counts) {
  measurement a{.more_is_better = true, .rounds = {10}}, b{.more_is_better = true, .rounds = {4}};
  EXPECT_EQ(times_better(&a, &b), 2.5);
  a.more_is_better = b.more_is_better = false;
  EXPECT_EQ(times_better(&a, &b), 0.4);
  EXPECT_EQ(times_better(&a, nullptr), 0);
  b.comparable = false;
  EXPECT_EQ(times_better(&a, &b), 0);
  b.comparable = true;
  b.rounds = {0};
  EXPECT_EQ(times_better(&a, &b), 0);
}

TEST(report, has_median_spread_and_ratio_of_each_system_and_what_its_acknowledge_means) {
  const example e;
  const auto text = report_markdown(e.in);
  EXPECT_THAT(row_of(text, "**Sallyport**"),
              testing::ElementsAre("**Sallyport**", "100,000", "[90,000 .. 120,000]", "", "synced"));
  EXPECT_THAT(text, HasSubstr("| Loose | 200,000 |  | 0.500 x | in memory, a second may be lost |"));
  EXPECT_THAT(text, HasSubstr("| Slow \\| Steady | 20,000 |  | 5.00 x | synced too |"));
}

TEST(report, systems_that_are_not_durable_stand_in_a_block_of_their_own) {
  const example e;
  const auto text = report_markdown(e.in);
  const auto section = text.substr(text.find("## W1"));
  const auto durable = section.find("| Slow"), mark = section.find("**not durable"), loose = section.find("| Loose");
  ASSERT_NE(durable, std::string::npos);
  ASSERT_NE(mark, std::string::npos);
  ASSERT_NE(loose, std::string::npos);
  EXPECT_LT(durable, mark);
  EXPECT_LT(mark, loose);
}

TEST(report, points_stand_in_the_order_of_their_axis) {
  const example e;
  const auto text = report_markdown(e.in);
  EXPECT_THAT(text.substr(text.find("## W2")), HasSubstr("|  | 2000/s | 10000/s |"));
  EXPECT_THAT(text, HasSubstr("| Slow \\| Steady | 2.50 (2.50 x) |  |"));
}

TEST(report, a_figure_with_a_mark_is_never_shown_without_and_one_that_cannot_be_compared_has_no_ratio) {
  const example e;
  EXPECT_THAT(report_markdown(e.in), HasSubstr("| 900 *rate not held: 71 %* |"));
  auto in = e.in;
  auto w = e.lines;
  w.headline_points = {"7/s", "10000/s"}; // The first of them that was measured.
  in.workloads = {&w};
  EXPECT_THAT(report_table(in), HasSubstr("900 ms (rate not held: 71 %)"));
  EXPECT_THAT(report_json(in), HasSubstr("\"mark\":\"rate not held: 71 %\""));
}

TEST(report, targets_say_whether_they_are_met) {
  const example e;
  const auto text = report_markdown(e.in);
  EXPECT_THAT(text, HasSubstr("1 of 2 are met"));
  EXPECT_THAT(text, HasSubstr("| W1 | times Slow | at least 4.00 | 5.00 | yes |"));
  EXPECT_THAT(text, HasSubstr("| W2 | p99 to p50 | at most 3.00 | 6.97 | **no** |"));
  EXPECT_THAT(report_table(e.in), HasSubstr("not met: W2 p99 to p50: wanted at most 3.00, got 6.97"));
}

TEST(report, tells_settings_versions_syncs_and_notes) {
  const example e;
  const auto text = report_markdown(e.in);
  EXPECT_THAT(text, HasSubstr("slow-server 3.1-1, libslow 0.9, durable. An acknowledge means: synced too."));
  EXPECT_THAT(text, HasSubstr("- sync = always"));
  EXPECT_THAT(text, HasSubstr("p50 1.20 ms, p99 3.00 ms"));
  EXPECT_THAT(text, HasSubstr("- W2, slow: did not answer"));
  EXPECT_THAT(text, Not(HasSubstr("quick run")));
}

TEST(report, the_table_has_a_line_per_workload_and_system_at_its_headline_point) {
  const example e;
  const auto lines = lines_of(report_table(e.in));
  ASSERT_GE(lines.size(), 6u);
  EXPECT_THAT(lines[1], ContainsRegex("^W1 +Sallyport +yes +throughput +100,000 msg/s +\\[90,000 .. 120,000\\]$"));
  EXPECT_THAT(lines[2], ContainsRegex("^W1 +Slow . Steady +yes +throughput +20,000 msg/s +5.00 x$"));
  EXPECT_THAT(lines[3], ContainsRegex("^W1 +Loose +no +throughput +200,000 msg/s +0.500 x$"));
  EXPECT_THAT(lines[4], ContainsRegex("^W2 +Sallyport +yes +p50, 2000/s +1.00 ms$"));
  EXPECT_THAT(lines[5], ContainsRegex("^W2 +Slow . Steady +yes +p50, 2000/s +2.50 ms +2.50 x$"));
}

TEST(report, raw_results_are_json_with_every_round) {
  const example e;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  const auto text = report_json(e.in);
  ASSERT_EQ(parser.parse(text).get(root), simdjson::SUCCESS) << text;
  EXPECT_EQ(root["measurements"].get_array().size(), e.in.found.measurements.size());
  const auto first = root["measurements"].at(0);
  EXPECT_EQ(std::string_view(first["system"]), "sallyport");
  EXPECT_EQ(first["rounds"].get_array().size(), 3u);
  EXPECT_EQ(double(first["rounds"].at(1)), 100'000);
  EXPECT_TRUE(bool(root["targets"].at(0)["met"]));
  EXPECT_FALSE(bool(root["targets"].at(1)["met"]));
  EXPECT_EQ(std::uint64_t(root["machine"]["fdatasync_appended"]["p99_ns"]), 3'000'000u);
  EXPECT_EQ(std::string_view(root["machine"]["packages"]["libslow"]), "0.9");
  EXPECT_EQ(std::string_view(root["systems"].at(2)["settings"].at(0)), "sync = always");
}

TEST(report, every_plot_it_shows_is_written_beside_it) {
  const example e;
  const sallyport::testing::temp_dir folder;
  write_report(e.in, folder.path() / "made");
  const auto text = sallyport::testing::content_of(folder.path() / "made" / "report.md");
  static const std::regex link(R"(!\[[^\]]*\]\(([^)]*)\))");
  std::set<std::string> shown;
  for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
    shown.insert((*it)[1]);
    EXPECT_THAT(sallyport::testing::content_of(folder.path() / "made" / (*it)[1].str()), HasSubstr("</svg>")) << (*it)[1];
  }
  EXPECT_THAT(shown, testing::ElementsAre("W1-throughput.svg", "W2-p50.svg"));
  EXPECT_THAT(sallyport::testing::content_of(folder.path() / "made" / "results.json"), HasSubstr("\"notes\""));
}

TEST(report, a_workload_that_measured_nothing_says_so) {
  example e;
  e.in.found = {};
  EXPECT_THAT(report_markdown(e.in), HasSubstr("Nothing was measured"));
  EXPECT_TRUE(report_plots(e.in).empty());
  EXPECT_EQ(lines_of(report_table(e.in)).size(), 1u);
}

} // namespace
