#include "runtime/core/backoff.hpp"
#include "runtime/core/restart_policy.hpp"
#include "tests/runtime/core/core_test_support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::runtime {
namespace {

using test::at;
using testing::ElementsAre;
using testing::IsEmpty;

supervision three(restart_strategy strategy) {
  supervision plan;
  plan.strategy = strategy;
  plan.limits = {3, milliseconds{10'000}, milliseconds{100}, milliseconds{1'000}};
  for (auto* name : {"link", "leases", "poller"})
    plan.children.push_back({name, plan.limits});
  return plan;
}

TEST(restart_policy, one_for_one_restarts_the_failed_child_alone) {
  restart_policy policy{three(restart_strategy::one_for_one)};
  auto d = policy.failed(1, at(0));
  EXPECT_FALSE(d.give_up);
  EXPECT_THAT(d.stop, IsEmpty());
  EXPECT_THAT(d.start, ElementsAre(1));
}

TEST(restart_policy, one_for_all_stops_right_to_left_and_starts_left_to_right) {
  restart_policy policy{three(restart_strategy::one_for_all)};
  auto d = policy.failed(1, at(0));
  EXPECT_THAT(d.stop, ElementsAre(2, 0));
  EXPECT_THAT(d.start, ElementsAre(0, 1, 2));
}

TEST(restart_policy, the_wait_doubles_up_to_its_maximum) {
  auto plan = three(restart_strategy::one_for_one);
  plan.children[0].limits.restarts = 10;
  restart_policy policy{plan};
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 6; ++i)
    waits.push_back(policy.failed(0, at(i)).wait.count());
  EXPECT_THAT(waits, ElementsAre(100, 200, 400, 800, 1'000, 1'000));
}

TEST(restart_policy, more_failures_than_the_budget_within_the_period_give_up_and_stop_the_siblings) {
  restart_policy policy{three(restart_strategy::one_for_one)};
  for (int i = 0; i < 3; ++i)
    EXPECT_FALSE(policy.failed(1, at(i)).give_up);
  auto d = policy.failed(1, at(3));
  EXPECT_TRUE(d.give_up);
  EXPECT_THAT(d.stop, ElementsAre(2, 0));
  EXPECT_THAT(d.start, IsEmpty());
}

TEST(restart_policy, one_for_one_has_a_budget_per_child_and_one_for_all_shares_one) {
  restart_policy alone{three(restart_strategy::one_for_one)};
  restart_policy together{three(restart_strategy::one_for_all)};
  bool alone_gave_up = false, together_gave_up = false;
  for (std::size_t i = 0; i < 6; ++i) {
    alone_gave_up |= alone.failed(i % 3, at(0)).give_up;
    together_gave_up |= together.failed(i % 3, at(0)).give_up;
  }
  EXPECT_FALSE(alone_gave_up);
  EXPECT_TRUE(together_gave_up);
}

TEST(restart_policy, failures_older_than_the_period_are_forgiven) {
  restart_policy policy{three(restart_strategy::one_for_one)};
  for (int i = 0; i < 20; ++i) {
    auto d = policy.failed(0, at(i * 5'000));
    EXPECT_FALSE(d.give_up);
    EXPECT_LE(d.restarts, 2u);
  }
}

TEST(restart_policy, a_faulty_plan_is_refused) {
  supervision empty;
  EXPECT_EQ(validate(empty).err().code, errc::invalid_config);
  auto twins = three(restart_strategy::one_for_all);
  twins.children[2].name = "link";
  EXPECT_EQ(validate(twins).err().code, errc::invalid_config);
  auto nameless = three(restart_strategy::one_for_all);
  nameless.children[0].name.clear();
  EXPECT_EQ(validate(nameless).err().code, errc::invalid_config);
  auto timeless = three(restart_strategy::one_for_all);
  timeless.limits.period = {};
  EXPECT_EQ(validate(timeless).err().code, errc::invalid_config);
  auto reversed = three(restart_strategy::one_for_one);
  reversed.children[1].limits.wait_min = milliseconds{2'000};
  EXPECT_EQ(validate(reversed).err().code, errc::invalid_config);
  EXPECT_TRUE(validate(three(restart_strategy::one_for_one)).ok());
}

TEST(backoff, waits_between_half_and_all_of_a_ceiling_that_doubles) {
  dice chance{7};
  backoff pause{milliseconds{200}, milliseconds{30'000}};
  for (std::int64_t ceiling : {200, 400, 800, 1'600, 3'200, 6'400, 12'800, 25'600, 30'000, 30'000}) {
    auto wait = pause.next(chance).count();
    EXPECT_GE(wait, ceiling / 2);
    EXPECT_LE(wait, ceiling);
  }
  pause.reset();
  EXPECT_LE(pause.next(chance).count(), 200);
}

TEST(backoff, two_agents_do_not_wait_the_same) {
  dice a{1}, b{2};
  backoff one{milliseconds{10'000}, milliseconds{10'000}}, other = one;
  EXPECT_NE(one.next(a), other.next(b));
}

} // namespace
} // namespace sallyport::runtime
