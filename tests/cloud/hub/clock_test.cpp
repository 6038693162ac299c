#include "cloud/hub/clock.hpp"

#include <gtest/gtest.h>

namespace sallyport::cloud {
namespace {

using namespace std::chrono_literals;

instant at(milliseconds mono, milliseconds wall) {
  return {mono_time{mono}, wall_time{wall}};
}

TEST(wall_keeper, follows_a_clock_that_goes_as_time_does) {
  wall_keeper keeper;
  EXPECT_EQ(keeper.correct(at(0s, 1000s)), at(0s, 1000s));
  EXPECT_EQ(keeper.correct(at(5s, 1005s)), at(5s, 1005s));
  EXPECT_EQ(keeper.correct(at(6s, 1066s)), at(6s, 1066s)); // A step that a time server makes.
  EXPECT_FALSE(keeper.take_alarm());
}

TEST(wall_keeper, never_goes_back_and_creeps_until_it_is_met) {
  wall_keeper keeper;
  (void)keeper.correct(at(0s, 1000s));
  EXPECT_EQ(keeper.correct(at(10s, 910s)).wall, wall_time{1005s});
  auto last = wall_time{1005s};
  for (auto t = milliseconds{10'000}; t < 200s; t += 1ms) { // Read every millisecond, nothing gets lost by rounding.
    const auto now = keeper.correct(at(t, 900s + t)).wall;
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_LE(last - wall_time{1099'999ms}, wall_keeper::in_step); // Met at last.
}

TEST(wall_keeper, keeps_both_clocks_in_step_over_the_grain_of_their_readings) {
  wall_keeper keeper;
  (void)keeper.correct(at(0s, 1000s));
  EXPECT_EQ(keeper.correct(at(1'000ms, 1'000'999ms)).wall, wall_time{1'001'000ms});
  EXPECT_EQ(keeper.correct(at(2'000ms, 1'002'001ms)).wall, wall_time{1'002'000ms});
  EXPECT_EQ(keeper.correct(at(3'000ms, 1'003'006ms)).wall, wall_time{1'003'006ms}); // More than grain: followed.
}

TEST(wall_keeper, holds_a_big_jump_ahead_and_says_so_once) {
  wall_keeper keeper;
  (void)keeper.correct(at(0s, 1000s));
  EXPECT_EQ(keeper.correct(at(1s, 90'000s)).wall, wall_time{1001s});
  EXPECT_TRUE(keeper.take_alarm());
  EXPECT_EQ(keeper.correct(at(60s, 90'059s)).wall, wall_time{1060s});
  EXPECT_TRUE(keeper.holding());
  EXPECT_FALSE(keeper.take_alarm());
  EXPECT_EQ(keeper.correct(at(61s, 1062s)).wall, wall_time{1062s}); // Set right.
  EXPECT_FALSE(keeper.holding());
  (void)keeper.correct(at(62s, 90'000s));
  EXPECT_TRUE(keeper.take_alarm());
}

TEST(wall_keeper, a_long_sleep_is_no_jump) {
  wall_keeper keeper;
  (void)keeper.correct(at(0s, 1000s));
  EXPECT_EQ(keeper.correct(at(10h, 1000s + 10h)).wall, wall_time{1000s + 10h});
  EXPECT_FALSE(keeper.take_alarm());
}

TEST(real_time, reads_both_clocks_in_their_units) {
  real_time time;
  const auto a = time.now(), b = time.now();
  EXPECT_LE(a.mono, b.mono);
  EXPECT_LE(a.mono.time_since_epoch(), 24h * 3650);
  EXPECT_GT(a.wall, wall_time{milliseconds{1'600'000'000'000}});
}

} // namespace
} // namespace sallyport::cloud
