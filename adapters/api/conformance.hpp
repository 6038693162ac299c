// The adapter contract in executable form, for GoogleTest: what every adapter promises, built in or an embedder's own. Include it in one
// .cpp of a test program, describe a target, and instantiate:
//
//   class plc_target : public sallyport::adapters::conformance_target { ... };
//   INSTANTIATE_TEST_SUITE_P(plc, adapter_conformance, ::testing::Values([] { return std::make_unique<plc_target>(); }));
//
// Every test gets a target of its own, so a target is a local system made fresh: an empty database, an empty directory, a server.
#pragma once

#include "adapters/api/testing.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace sallyport::adapters {

/// A local system, for as long as a test runs.
class conformance_target {
public:
  virtual ~conformance_target() = default;

  virtual factory make_factory() = 0;
  /// Data and type of an event that the adapter carries out; different for different n.
  virtual std::string good_type() const { return "test.good"; }
  virtual std::string good_data(int n) const = 0;
  /// ... that it refuses because of the message itself. Empty: there is none.
  virtual std::string bad_type() const { return "test.bad"; }
  virtual std::string bad_data() const { return {}; }
  /// ... that takes until it is cancelled, or for several seconds. Empty: there is none.
  virtual std::string slow_type() const { return "test.slow"; }
  virtual std::string slow_data() const { return {}; }
  /// How many effects the target has seen. Negative: it cannot tell.
  virtual std::int64_t effects() const { return -1; }
  /// A factory of the same kind whose target is not there; `make` empty: there is none.
  virtual factory make_unreachable() { return {}; }
};

using make_conformance_target = std::function<std::unique_ptr<conformance_target>()>;

class adapter_conformance : public ::testing::TestWithParam<make_conformance_target> {
protected:
  job good(std::uint64_t serial, std::uint32_t attempt = 1) const {
    return make_job(serial, target->good_type(), target->good_data(static_cast<int>(serial)), attempt);
  }
  static void expect_done(const outcome& o) { EXPECT_EQ(o.what, outcome::kind::done) << o.error; }
  static void expect_failed(const outcome& o, wire::failure_scope scope) {
    EXPECT_EQ(o.what, outcome::kind::failed) << o.result;
    EXPECT_EQ(o.scope, scope) << o.error;
    EXPECT_FALSE(o.error.empty());
    EXPECT_LE(o.error.size(), 1024u);
    EXPECT_EQ(o.error.find('\n'), std::string::npos) << o.error;
  }

  std::unique_ptr<conformance_target> target = GetParam()();
  factory made = target->make_factory();
  std::unique_ptr<adapter> subject = made.make();
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(adapter_conformance);

TEST_P(adapter_conformance, says_what_it_is) {
  EXPECT_FALSE(made.about.kind.empty());
  EXPECT_FALSE(made.about.fingerprint.empty());
  EXPECT_GE(made.about.batch_max, 1u);
  EXPECT_GE(made.about.workers, 1u);
}

TEST_P(adapter_conformance, finds_a_target_that_is_there) {
  const auto found = subject->probe();
  EXPECT_EQ(found.state, wire::reach::up) << found.detail;
  expect_done(perform_one(*subject, good(1)));
  EXPECT_EQ(subject->probe().state, wire::reach::up) << "after work";
}

TEST_P(adapter_conformance, an_empty_batch_has_no_outcomes) {
  EXPECT_TRUE(subject->perform({}).empty());
}

TEST_P(adapter_conformance, works_without_a_probe_before_and_without_a_cancel_signal) {
  auto j = good(1);
  j.cancel = nullptr;
  expect_done(perform_one(*subject, j));
}

TEST_P(adapter_conformance, a_batch_has_one_outcome_and_one_effect_for_each_job) {
  std::vector<job> jobs;
  for (std::uint64_t n = 1; n <= made.about.batch_max; ++n)
    jobs.push_back(good(n));
  const auto before = target->effects();
  const auto outcomes = subject->perform(jobs);
  ASSERT_EQ(outcomes.size(), jobs.size());
  for (const auto& o : outcomes) {
    expect_done(o);
    EXPECT_LE(o.result.size(), result_bytes_max);
  }
  if (before >= 0) {
    EXPECT_EQ(target->effects() - before, static_cast<std::int64_t>(jobs.size()));
  }
}

TEST_P(adapter_conformance, a_bad_job_fails_for_its_own_sake_and_its_neighbours_are_done) {
  if (target->bad_data().empty())
    GTEST_SKIP() << "no job is bad for it";
  expect_failed(perform_one(*subject, make_job(1, target->bad_type(), target->bad_data())), wire::failure_scope::message);
  const auto before = target->effects();
  const auto batch = std::min<std::size_t>(made.about.batch_max, 5);
  std::vector<job> jobs;
  for (std::uint64_t n = 0; n < batch; ++n)
    jobs.push_back(n == batch / 2 ? make_job(10 + n, target->bad_type(), target->bad_data()) : good(10 + n));
  const auto outcomes = subject->perform(jobs);
  ASSERT_EQ(outcomes.size(), batch);
  for (std::size_t n = 0; n < batch; ++n) {
    if (n == batch / 2)
      expect_failed(outcomes[n], wire::failure_scope::message);
    else
      expect_done(outcomes[n]);
  }
  if (before >= 0) {
    EXPECT_EQ(target->effects() - before, static_cast<std::int64_t>(batch - 1));
  }
}

TEST_P(adapter_conformance, a_repeated_message_keeps_the_promise_of_its_effect) {
  const auto first = perform_one(*subject, good(1));
  expect_done(first);
  const auto effects = target->effects();
  const auto again = perform_one(*subject, good(1, 2));
  expect_done(again);
  if (made.about.effect == wire::effect_promise::exactly_once) {
    EXPECT_EQ(first.result, again.result);
  }
  if (made.about.effect != wire::effect_promise::at_least_once && effects >= 0) {
    EXPECT_EQ(target->effects(), effects);
  }
  // Another adapter, as another agent would have.
  expect_done(perform_one(*made.make(), good(1, 3)));
  if (made.about.effect != wire::effect_promise::at_least_once && effects >= 0) {
    EXPECT_EQ(target->effects(), effects);
  }
}

TEST_P(adapter_conformance, a_target_that_is_not_there_is_down_and_to_blame) {
  const auto unreachable = target->make_unreachable();
  if (!unreachable.make)
    GTEST_SKIP() << "its target cannot be away";
  const auto a = unreachable.make();
  const auto found = a->probe();
  EXPECT_EQ(found.state, wire::reach::down);
  EXPECT_FALSE(found.detail.empty());
  const auto o = perform_one(*a, good(1));
  expect_failed(o, wire::failure_scope::target);
  EXPECT_TRUE(o.retryable);
  EXPECT_EQ(o.effect, wire::effect_state::none);
}

TEST_P(adapter_conformance, what_was_cancelled_before_it_began_is_not_begun) {
  const auto before = target->effects();
  auto j = good(1);
  j.cancel->raise(cancel_reason::lost_lease);
  const auto o = perform_one(*subject, j);
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.effect, wire::effect_state::none);
  EXPECT_TRUE(o.retryable);
  EXPECT_EQ(target->effects(), before);
  expect_done(perform_one(*subject, good(2)));
}

TEST_P(adapter_conformance, what_has_no_time_left_is_not_begun) {
  const auto before = target->effects();
  auto j = good(1);
  j.time_left = milliseconds{0};
  const auto o = perform_one(*subject, j);
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.effect, wire::effect_state::none);
  EXPECT_TRUE(o.retryable);
  EXPECT_EQ(target->effects(), before);
}

TEST_P(adapter_conformance, a_cancelled_job_ends_and_the_adapter_works_on) {
  if (target->slow_data().empty())
    GTEST_SKIP() << "no job is slow for it";
  const auto j = make_job(1, target->slow_type(), target->slow_data());
  auto running = std::async(std::launch::async, [&] { return perform_one(*subject, j); });
  // Whether it has begun by now or not, it has to end long before its time.
  std::this_thread::sleep_for(milliseconds{50});
  j.cancel->raise(cancel_reason::lost_lease);
  ASSERT_EQ(running.wait_for(std::chrono::seconds{20}), std::future_status::ready) << "not stopped by its signal";
  EXPECT_EQ(running.get().what, outcome::kind::failed);
  expect_done(perform_one(*subject, good(2)));
}

TEST_P(adapter_conformance, a_job_that_outlives_its_time_ends_and_the_adapter_works_on) {
  if (target->slow_data().empty())
    GTEST_SKIP() << "no job is slow for it";
  auto running = std::async(std::launch::async, [&] {
    return perform_one(*subject, make_job(1, target->slow_type(), target->slow_data(), 1, milliseconds{1000}));
  });
  ASSERT_EQ(running.wait_for(std::chrono::seconds{20}), std::future_status::ready) << "not stopped by its deadline";
  const auto o = running.get();
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_TRUE(o.retryable);
  expect_done(perform_one(*subject, good(2)));
}

TEST_P(adapter_conformance, two_adapters_of_a_factory_work_at_once) {
  const auto other = made.make();
  const auto before = target->effects();
  constexpr std::uint64_t each = 20;
  const auto work = [&](adapter& a, std::uint64_t from) {
    for (auto n = from; n < from + each; ++n)
      expect_done(perform_one(a, good(n)));
  };
  auto theirs = std::async(std::launch::async, [&] { work(*other, 1000); });
  work(*subject, 1);
  theirs.get();
  if (before >= 0) {
    EXPECT_EQ(target->effects() - before, static_cast<std::int64_t>(2 * each));
  }
}

TEST_P(adapter_conformance, is_made_again_after_its_end) {
  expect_done(perform_one(*subject, good(1)));
  subject.reset();
  subject = made.make();
  expect_done(perform_one(*subject, good(2)));
}

} // namespace sallyport::adapters
