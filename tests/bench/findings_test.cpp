#include "bench/harness/workload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace sallyport::bench;
using testing::ElementsAre;

TEST(median, is_the_middle_or_the_mean_of_both_middles) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({9, 1, 5, 6}), 5.5);
}

TEST(findings, rounds_gather_under_workload_system_point_and_kind) {
  findings f;
  const measurement like{.workload = "W1", .system = "ours", .point = "a", .what = "rate", .unit = "msg/s", .rounds = {99}};
  f.add(like, 1);
  f.add(like, 2);
  for (auto* other : {"workload", "system", "point", "what"}) {
    auto m = like;
    const std::string field = other;
    (field == "workload" ? m.workload : field == "system" ? m.system : field == "point" ? m.point : m.what) = "another";
    f.add(m, 3);
  }
  ASSERT_NE(f.find("W1", "ours", "a", "rate"), nullptr);
  EXPECT_THAT(f.find("W1", "ours", "a", "rate")->rounds, ElementsAre(1, 2));
  EXPECT_EQ(f.find("W1", "ours", "a", "rate")->unit, "msg/s");
  EXPECT_EQ(f.measurements.size(), 5u);
  EXPECT_EQ(f.find("W1", "ours", "b", "rate"), nullptr);
}

TEST(findings, a_mark_stays_and_what_cannot_be_compared_stays_so_whatever_the_next_rounds_say) {
  findings f;
  measurement m{.workload = "W2", .system = "ours", .what = "p50"};
  m.mark = "rate not held";
  m.comparable = false;
  f.add(m, 1);
  m.mark.clear();
  m.comparable = true;
  f.add(m, 2);
  EXPECT_EQ(f.find("W2", "ours", "", "p50")->mark, "rate not held");
  EXPECT_FALSE(f.find("W2", "ours", "", "p50")->comparable);
}

TEST(target, is_met_at_its_bound_and_on_its_good_side) {
  EXPECT_TRUE((target{"W1", "", 2, 2, true}.met()));
  EXPECT_TRUE((target{"W1", "", 2, 2.1, true}.met()));
  EXPECT_FALSE((target{"W1", "", 2, 1.9, true}.met()));
  EXPECT_TRUE((target{"W2", "", 3, 2.9, false}.met()));
  EXPECT_FALSE((target{"W2", "", 3, 3.1, false}.met()));
}

} // namespace
