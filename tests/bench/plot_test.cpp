#include "bench/harness/plot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>
#include <vector>

namespace {

using namespace sallyport::bench;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// What is wrong with it as XML; empty: nothing. Knows what plots are made of: elements, attributes in double quotes, text, entities.
std::string fault_in(const std::string& xml) {
  std::vector<std::string> open;
  static const std::regex tag(R"re(<(/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<]*")*) ?(/?)>)re");
  static const std::regex entity(R"(&(amp|lt|gt|quot|#39);)");
  std::size_t at = 0;
  for (std::sregex_iterator it(xml.begin(), xml.end(), tag), end; it != end; ++it) {
    const auto between = xml.substr(at, static_cast<std::size_t>(it->position()) - at);
    if (between.find('<') != std::string::npos || between.find('>') != std::string::npos)
      return "stray bracket: " + between;
    if (std::regex_replace(between, entity, "").find('&') != std::string::npos)
      return "stray ampersand: " + between;
    at = static_cast<std::size_t>(it->position() + it->length());
    if ((*it)[1].length() > 0) {
      if (open.empty() || open.back() != (*it)[2])
        return "unmatched end of " + (*it)[2].str();
      open.pop_back();
    } else if ((*it)[4].length() == 0) {
      open.push_back((*it)[2]);
    }
  }
  if (!open.empty())
    return "not ended: " + open.back();
  return xml.find_first_not_of('\n', at) == std::string::npos ? "" : "text after the end: " + xml.substr(at);
}

std::size_t count(const std::string& in, const std::string& what) {
  std::size_t n = 0;
  for (auto at = in.find(what); at != std::string::npos; at = in.find(what, at + 1))
    ++n;
  return n;
}

const std::string nasty = "<script>\"A & B\" 'c'</script>\x01";

TEST(plot, text_of_anybody_is_text_and_nothing_else) {
  EXPECT_EQ(xml_text(nasty), "&lt;script&gt;&quot;A &amp; B&quot; &#39;c&#39;&lt;/script&gt;");
  EXPECT_EQ(xml_text("µs, Größe"), "µs, Größe");
}

TEST(plot, numbers_have_three_digits_that_count_and_commas) {
  EXPECT_EQ(readable(0), "0");
  EXPECT_EQ(readable(104'233.4), "104,233");
  EXPECT_EQ(readable(1'000), "1,000");
  EXPECT_EQ(readable(12'345'678), "12,345,678");
  EXPECT_EQ(readable(999.6), "1,000");
  EXPECT_EQ(readable(123.4), "123");
  EXPECT_EQ(readable(99.96), "100");
  EXPECT_EQ(readable(35.12), "35.1");
  EXPECT_EQ(readable(3.456), "3.46");
  EXPECT_EQ(readable(0.0871), "0.0871");
  EXPECT_EQ(readable(-1'234), "-1,234");
  EXPECT_EQ(readable(-123), "-123");
  EXPECT_EQ(readable(std::numeric_limits<double>::infinity()), "?");
}

TEST(plot, ticks_are_few_round_and_within) {
  EXPECT_THAT(ticks(0, 100, false), ElementsAre(0, 20, 40, 60, 80, 100));
  EXPECT_THAT(ticks(0, 37, false), ElementsAre(0, 10, 20, 30));
  EXPECT_THAT(ticks(0, 0.5, false), ElementsAre(0, testing::DoubleEq(0.1), testing::DoubleEq(0.2),
                                                testing::DoubleNear(0.3, 1e-12), testing::DoubleEq(0.4), testing::DoubleEq(0.5)));
  EXPECT_THAT(ticks(1, 50, true), ElementsAre(1, 2, 5, 10, 20, 50));
  EXPECT_THAT(ticks(10, 100'000, true), ElementsAre(10, 100, 1'000, 10'000, 100'000));
  EXPECT_THAT(ticks(5, 5, false), ElementsAre(5));
  EXPECT_THAT(ticks(0, 10, true), IsEmpty()); // A logarithmic axis has no zero.
}

TEST(plot, a_bar_chart_shows_every_label_value_and_spread) {
  const auto svg =
    bar_chart("W1: " + nasty, "msg/s", {{"ours", {100'000, 90'000, 110'000}, true, false}, {nasty, {50, 50, 50}, false, true}});
  EXPECT_EQ(fault_in(svg), "");
  EXPECT_THAT(svg, HasSubstr(">100,000</text>"));
  EXPECT_THAT(svg, HasSubstr(">50.0</text>"));
  EXPECT_THAT(svg, HasSubstr(xml_text(nasty)));
  EXPECT_THAT(svg, HasSubstr("hatched: not durable"));
  EXPECT_THAT(svg, Not(HasSubstr(">-0<"))) << "the axis begins at 0";
  EXPECT_EQ(count(svg, "stroke-width=\"1.4\""), 3u) << "a whisker and its two ends, for the one that has a spread";
}

TEST(plot, a_line_chart_has_a_mark_per_point_and_a_legend) {
  const std::vector<plot_line> lines{{"ours", {{1, {1, 1, 1}}, {10, {20, 18, 25}}, {100, {300, 300, 300}}}, 0, true, false},
                                     {nasty, {{1, {5, 5, 5}}, {100, {7, 7, 7}}}, 1, false, true}};
  const auto svg = line_chart({"title", "x", "y", true, true}, lines);
  EXPECT_EQ(fault_in(svg), "");
  EXPECT_EQ(count(svg, "<circle"), 4u) << "three points of ours, and its mark in the legend";
  EXPECT_EQ(count(svg, "<polygon"), 3u);
  EXPECT_THAT(svg, HasSubstr(xml_text(nasty) + " (not durable)"));
}

TEST(plot, a_point_that_cannot_be_compared_is_hollow_and_a_footnote_says_what_that_means) {
  const std::vector<plot_line> lines{{"ours", {{1, {1, 1, 1}}, {2, {2, 2, 2}, true}}, 0, true, false}};
  const auto svg = line_chart({"title", "x", "y", false, false}, lines);
  EXPECT_EQ(fault_in(svg), "");
  EXPECT_EQ(count(svg, "fill=\"#fcfcfa\" stroke=\"#0072b2\""), 1u);
  EXPECT_THAT(svg, HasSubstr("hollow: not comparable, see the table"));
  EXPECT_THAT(line_chart({"title", "x", "y", false, false}, {{"ours", {{1, {1, 1, 1}}}, 0, true, false}}),
              Not(HasSubstr("hollow")));
}

TEST(plot, ours_is_drawn_above_the_others) {
  const std::vector<plot_line> lines{{"ours", {{1, {1, 1, 1}}}, 0, true, false}, {"theirs", {{1, {1, 1, 1}}}, 1, false, false}};
  const auto svg = line_chart({"title", "x", "y", false, false}, lines);
  EXPECT_GT(svg.find(">ours<"), svg.find(">theirs<"));
}

TEST(plot, what_has_no_place_on_a_logarithmic_axis_is_left_out) {
  const std::vector<plot_line> lines{
    {"ours", {{0, {1, 1, 1}}, {1, {0, 0, 0}}, {10, {-1, -1, -1}}, {100, {2, 0, 3}}}, 0, true, false}};
  const auto svg = line_chart({"title", "x", "y", true, true}, lines);
  EXPECT_EQ(fault_in(svg), "");
  EXPECT_EQ(count(svg, "<circle"), 2u) << "one point, and the legend's";
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(plot, nothing_to_show_is_still_a_plot) {
  EXPECT_EQ(fault_in(bar_chart("none", "B", {})), "");
  EXPECT_EQ(fault_in(line_chart({"none", "x", "y", true, true}, {})), "");
  EXPECT_EQ(fault_in(line_chart({"none", "x", "y", false, false}, {{"one", {{3, {0, 0, 0}}}, 0, true, false}})), "");
}

TEST(plot, needs_nothing_from_anywhere_else) {
  const auto svg = bar_chart("t", "u", {{"a", {1, 1, 2}, true, true}})
                   + line_chart({"t", "x", "y", false, false}, {{"l", {{1, {1, 1, 1}}}, 0, true, true}});
  for (const auto* outside : {"href", "@import", "<script", "<image", "<style", "url(http"})
    EXPECT_THAT(svg, Not(HasSubstr(outside)));
  EXPECT_EQ(count(svg, "http"), count(svg, "xmlns=\"http://www.w3.org/2000/svg\"")) << "the name of SVG, which nobody fetches";
}

TEST(plot, the_faults_the_tests_look_for_are_found) {
  EXPECT_NE(fault_in("<svg><g></svg>"), "");
  EXPECT_NE(fault_in("<svg>a & b</svg>"), "");
  EXPECT_NE(fault_in("<svg>a < b</svg>"), "");
  EXPECT_EQ(fault_in("<svg a=\"1\"><g/>a &amp; b</svg>\n"), "");
}

} // namespace
