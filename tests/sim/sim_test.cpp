// The simulator itself: what it finds is worth nothing if it cannot be found again.
#include "protocol/probe.hpp"
#include "tests/sim/shrink.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace sallyport::sim {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

script traced(std::uint64_t seed) {
  script s;
  s.seed = seed, s.trace = true;
  return s;
}

/// Plants a mistake for as long as it lives.
struct planted {
  explicit planted(probe::mutant m) { probe::planted = m; }
  ~planted() { probe::planted = probe::mutant::none; }
  planted(const planted&) = delete;
  planted& operator=(const planted&) = delete;
};

TEST(simulator, the_same_seed_gives_the_same_trace_byte_for_byte) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto first = run(traced(seed)), again = run(traced(seed));
    ASSERT_THAT(first.trace, Not(IsEmpty()));
    EXPECT_EQ(first.trace, again.trace) << "seed " << seed;
    EXPECT_EQ(first.steps, again.steps);
  }
}

TEST(simulator, another_seed_gives_another_run) {
  EXPECT_NE(run(traced(1)).trace, run(traced(2)).trace);
}

TEST(simulator, watching_changes_nothing) {
  auto quiet = traced(3);
  quiet.trace = false;
  const auto seen = run(traced(3)), unseen = run(quiet);
  EXPECT_EQ(seen.steps, unseen.steps);
  EXPECT_EQ(seen.faults, unseen.faults);
  EXPECT_THAT(unseen.trace, IsEmpty());
}

TEST(simulator, a_fault_that_is_spared_does_not_happen) {
  auto all = traced(5);
  auto none = all;
  for (unsigned i = 0; i < 10'000; ++i)
    none.spared.insert(i);
  EXPECT_LT(run(none).crashes, run(all).crashes);
}

TEST(simulator, a_failure_is_shrunk_to_a_story_that_breaks_the_same_law) {
  const planted mistake{probe::mutant::cancel_never_ran};
  script failing;
  run_result result;
  for (failing.seed = 1; failing.seed <= 100 && result.violations.empty(); ++failing.seed)
    result = run(failing);
  ASSERT_THAT(result.violations, Not(IsEmpty()));
  --failing.seed;
  const auto s = shrink(failing, result);
  EXPECT_EQ(s.law, "never_started");
  EXPECT_TRUE(std::any_of(s.how.violations.begin(), s.how.violations.end(), [&](auto& v) { return v.law == s.law; }));
  EXPECT_LT(s.how.steps, result.steps);
  EXPECT_LE(s.how.events, result.events);
  const auto told = tell(s);
  EXPECT_THAT(told, HasSubstr("breaks never_started"));
  EXPECT_THAT(told, HasSubstr("=> never_started: "));
  EXPECT_THAT(told, HasSubstr("is granted"));
  EXPECT_EQ(tell(shrink(failing, result)), told) << "and so is its story";
}

} // namespace
} // namespace sallyport::sim
