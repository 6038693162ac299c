#include "actors/supervisor.hpp"
#include "tests/actors/stepped_system.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace sallyport::actors {
namespace {

using namespace std::chrono_literals;
using runtime::restart_strategy;
using test::stepped_system;
using testing::ElementsAre;
using testing::HasSubstr;

/// Children that say when they start and end.
struct nursery : testing::Test {
  stepped_system s;
  std::vector<caf::actor> supervisors;
  std::vector<std::string> diary;
  std::map<std::string, caf::actor> latest;
  std::vector<std::string> living; // As last told by on_change.

  ~nursery() override {
    for (auto& a : supervisors)
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    s.advance(60s, 1s);
  }

  child_spec child(const std::string& name) {
    return {name,
            [this, name](caf::actor_system& system) {
              diary.push_back("+" + name);
              auto a = system.spawn([](caf::event_based_actor*) -> caf::behavior { return {[](int) {}}; });
              a->attach_functor([this, name](const caf::error&) { diary.push_back("-" + name); });
              return latest[name] = a;
            },
            limits()};
  }
  static runtime::restart_limits limits() { return {2, 10s, 100ms, 1s}; }

  supervisor_spec spec(restart_strategy strategy, std::vector<child_spec> children) {
    supervisor_spec spec;
    spec.name = "test";
    spec.strategy = strategy;
    spec.limits = limits();
    spec.children = std::move(children);
    spec.now = [this] { return s.now(); };
    spec.on_change = [this](const child_list& list) {
      living.clear();
      for (auto& c : list.children)
        if (c.handle)
          living.push_back(c.name);
    };
    return spec;
  }
  caf::actor start(restart_strategy strategy) {
    auto made = spawn_supervisor(s.system, spec(strategy, {child("a"), child("b"), child("c")}));
    EXPECT_TRUE(made.ok());
    watch(*made);
    s.run();
    return *made;
  }
  void watch(const caf::actor& supervisor) {
    supervisors.push_back(supervisor);
    supervisor->attach_functor([this](const caf::error& e) { end = e ? s.system.render(e) : "normal"; });
  }
  void crash(const std::string& name) {
    caf::anon_send_exit(latest[name], caf::exit_reason::unhandled_exception);
    s.run();
  }
  std::vector<std::string> wrote() { return std::exchange(diary, {}); }

  std::optional<std::string> end;
};

TEST_F(nursery, starts_left_to_right_and_stops_right_to_left) {
  auto supervisor = start(restart_strategy::one_for_one);
  EXPECT_THAT(wrote(), ElementsAre("+a", "+b", "+c"));
  EXPECT_THAT(living, ElementsAre("a", "b", "c"));
  caf::anon_send_exit(supervisor, caf::exit_reason::user_shutdown);
  s.run();
  EXPECT_THAT(wrote(), ElementsAre("-c", "-b", "-a"));
  EXPECT_TRUE(end);
}

TEST_F(nursery, one_for_one_starts_the_failed_child_again_after_a_wait) {
  auto supervisor = start(restart_strategy::one_for_one);
  wrote();
  crash("b");
  EXPECT_THAT(wrote(), ElementsAre("-b"));
  EXPECT_THAT(living, ElementsAre("a", "c"));
  s.advance(99ms, 1ms);
  EXPECT_THAT(wrote(), ElementsAre());
  s.advance(1ms);
  EXPECT_THAT(wrote(), ElementsAre("+b"));
  EXPECT_THAT(living, ElementsAre("a", "b", "c"));
}

TEST_F(nursery, a_second_failure_waits_longer_and_does_not_hurry_another_childs_wait) {
  auto supervisor = start(restart_strategy::one_for_one);
  crash("b");
  s.advance(100ms, 10ms);
  crash("b"); // 200 ms now.
  s.advance(50ms, 10ms);
  crash("a"); // 100 ms of its own.
  wrote();
  s.advance(100ms, 10ms);
  EXPECT_THAT(wrote(), ElementsAre("+a"));
  s.advance(50ms, 10ms);
  EXPECT_THAT(wrote(), ElementsAre("+b"));
}

TEST_F(nursery, one_for_all_stops_the_others_and_starts_all_again) {
  auto supervisor = start(restart_strategy::one_for_all);
  wrote();
  crash("b");
  EXPECT_THAT(wrote(), ElementsAre("-b", "-c", "-a"));
  EXPECT_THAT(living, ElementsAre());
  s.advance(100ms);
  EXPECT_THAT(wrote(), ElementsAre("+a", "+b", "+c"));
}

TEST_F(nursery, a_child_that_ends_without_an_error_has_failed_too) {
  auto supervisor = start(restart_strategy::one_for_one);
  caf::anon_send_exit(latest["a"], caf::exit_reason::normal);
  caf::anon_send_exit(latest["a"], caf::exit_reason::user_shutdown);
  s.advance(100ms);
  EXPECT_THAT(wrote(), ElementsAre("+a", "+b", "+c", "-a", "+a"));
}

TEST_F(nursery, gives_up_when_the_budget_is_used_up_and_says_why) {
  auto supervisor = start(restart_strategy::one_for_one);
  for (int i = 0; i < 2; ++i) {
    crash("b");
    s.advance(1s);
  }
  EXPECT_FALSE(end);
  wrote();
  crash("b");
  EXPECT_THAT(wrote(), ElementsAre("-b", "-c", "-a"));
  ASSERT_TRUE(end);
  EXPECT_THAT(*end, HasSubstr("b failed too often"));
}

TEST_F(nursery, failures_older_than_the_period_are_forgiven) {
  auto supervisor = start(restart_strategy::one_for_one);
  for (int i = 0; i < 6; ++i) {
    crash("b");
    s.advance(6s);
  }
  EXPECT_FALSE(end);
}

TEST_F(nursery, escalates_to_its_parent_which_starts_it_anew_and_at_last_gives_up_itself) {
  auto inner = [this](caf::actor_system& system) {
    auto made = spawn_supervisor(system, spec(restart_strategy::one_for_one, {child("x"), child("y")}));
    return made.ok() ? *made : caf::actor{};
  };
  auto outer = spawn_supervisor(s.system, spec(restart_strategy::one_for_one, {{"inner", inner, limits()}}));
  ASSERT_TRUE(outer.ok());
  watch(*outer);
  s.run();
  wrote();
  for (int i = 0; i < 3; ++i) {
    crash("x");
    s.advance(300ms);
  }
  // The inner one gave up on x, took y along, and both were started by the outer one's restart.
  EXPECT_THAT(wrote(), ElementsAre("-x", "+x", "-x", "+x", "-x", "-y", "+x", "+y"));
  EXPECT_FALSE(end);
  for (int i = 0; i < 6; ++i) {
    crash("x");
    s.advance(300ms);
  }
  ASSERT_TRUE(end);
  EXPECT_THAT(*end, HasSubstr("inner"));
}

TEST_F(nursery, a_start_that_throws_counts_as_a_failure) {
  int tries = 0;
  child_spec bad{"bad",
                 [&tries](caf::actor_system&) -> caf::actor {
                   ++tries;
                   throw std::runtime_error{"no such library"};
                 },
                 limits()};
  auto made = spawn_supervisor(s.system, spec(restart_strategy::one_for_one, {child("a"), bad}));
  ASSERT_TRUE(made.ok());
  watch(*made);
  s.advance(5s);
  EXPECT_EQ(tries, 3);
  ASSERT_TRUE(end);
  EXPECT_THAT(*end, HasSubstr("no such library"));
  EXPECT_THAT(wrote(), ElementsAre("+a", "-a"));
}

TEST_F(nursery, a_child_that_does_not_stop_in_time_is_killed) {
  child_spec deaf{"deaf",
                  [this](caf::actor_system& system) {
                    auto a = system.spawn([](caf::event_based_actor* self) -> caf::behavior {
                      self->set_exit_handler([](caf::exit_msg&) {});
                      return {[](int) {}};
                    });
                    a->attach_functor([this](const caf::error&) { diary.push_back("-deaf"); });
                    return a;
                  },
                  limits()};
  auto made = spawn_supervisor(s.system, spec(restart_strategy::one_for_one, {child("a"), deaf}));
  watch(*made);
  s.run();
  wrote();
  caf::anon_send_exit(*made, caf::exit_reason::user_shutdown);
  s.advance(4'900ms);
  EXPECT_THAT(wrote(), ElementsAre());
  s.advance(200ms);
  EXPECT_THAT(wrote(), ElementsAre("-deaf", "-a"));
}

TEST_F(nursery, a_faulty_spec_is_refused_before_anything_starts) {
  auto twins = spawn_supervisor(s.system, spec(restart_strategy::one_for_one, {child("a"), child("a")}));
  EXPECT_EQ(twins.err().code, errc::invalid_config);
  auto empty = spawn_supervisor(s.system, spec(restart_strategy::one_for_one, {{"a", nullptr, limits()}}));
  EXPECT_EQ(empty.err().code, errc::invalid_config);
  s.run();
  EXPECT_THAT(wrote(), ElementsAre());
}

} // namespace
} // namespace sallyport::actors
