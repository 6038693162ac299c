// One thread for actors and sockets: what is sent arrives, in order; delayed messages too; neither side starves the other; it ends.
#include "runtime/loop_scheduler.hpp"

#include "runtime/agent.hpp"

#include <caf/all.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

namespace sallyport::runtime {
namespace {

using namespace std::chrono_literals;

template <class T>
T get(std::future<T> f) {
  EXPECT_EQ(f.wait_for(20s), std::future_status::ready);
  return f.get();
}

/// Spawns f with an argument more than it asks for: of a function without any CAF 0.17 binds a reference to no arguments at all, through a null
/// pointer, and the sanitizer is right to mind.
template <caf::spawn_options Options = caf::no_spawn_options, class F>
caf::actor spawn(caf::actor_system& system, F f) {
  return system.spawn<Options>([f](caf::event_based_actor* self, int) { return f(self); }, 0);
}

struct loop_scheduler_test : testing::Test {
  loop_scheduler_test() { prepare(config, actor_threads::one); }
  caf::actor_system_config config;
};

TEST_F(loop_scheduler_test, runs_actors_on_the_thread_that_watches_sockets) {
  caf::actor_system system{config};
  const auto thread = loop_thread(system);
  ASSERT_NE(thread, nullptr);
  EXPECT_FALSE(thread->on_thread());
  std::promise<bool> there, after_a_hop;
  auto second = spawn(
    system, [&](caf::event_based_actor*) -> caf::behavior { return {[&](int) { after_a_hop.set_value(thread->on_thread()); }}; });
  auto first = spawn(system, [&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](int n) {
      there.set_value(thread->on_thread());
      self->send(second, n);
    }};
  });
  caf::anon_send(first, 1);
  EXPECT_TRUE(get(there.get_future()));
  EXPECT_TRUE(get(after_a_hop.get_future()));
}

TEST_F(loop_scheduler_test, is_only_where_it_was_asked_for) {
  caf::actor_system_config others;
  prepare(others);
  caf::actor_system system{others};
  EXPECT_EQ(loop_thread(system), nullptr);
}

TEST_F(loop_scheduler_test, keeps_the_order_of_each_sender_and_loses_nothing) {
  constexpr int senders = 4, each = 5'000;
  caf::actor_system system{config};
  std::promise<void> all;
  std::vector<int> last(senders, -1);
  int seen = 0;
  bool in_order = true;
  auto sink = spawn(system, [&](caf::event_based_actor*) -> caf::behavior {
    return {[&](int sender, int n) {
      in_order &= last[static_cast<std::size_t>(sender)] + 1 == n;
      last[static_cast<std::size_t>(sender)] = n;
      if (++seen == senders * each)
        all.set_value();
    }};
  });
  std::vector<std::thread> threads;
  for (int s = 0; s < senders; ++s)
    threads.emplace_back([&, s] {
      for (int n = 0; n < each; ++n)
        caf::anon_send(sink, s, n);
    });
  for (auto& t : threads)
    t.join();
  auto done = all.get_future();
  ASSERT_EQ(done.wait_for(20s), std::future_status::ready);
  EXPECT_TRUE(in_order);
}

TEST_F(loop_scheduler_test, delayed_messages_come) {
  caf::actor_system system{config};
  std::promise<bool> rang;
  spawn(system, [&](caf::event_based_actor* self) -> caf::behavior {
    self->delayed_send(self, 5ms, 7);
    return {[&, self](int n) {
      rang.set_value(n == 7);
      self->quit();
    }};
  });
  EXPECT_TRUE(get(rang.get_future()));
}

TEST_F(loop_scheduler_test, an_actor_that_never_rests_does_not_keep_the_sockets_waiting) {
  caf::actor_system system{config};
  std::atomic<bool> enough = false;
  auto restless = spawn(system, [&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](int n) {
      if (!enough)
        self->send(self, n + 1);
    }};
  });
  caf::anon_send(restless, 0);
  std::promise<bool> turn;
  loop_thread(system)->post([&] { turn.set_value(true); });
  EXPECT_TRUE(get(turn.get_future()));
  enough = true;
}

TEST_F(loop_scheduler_test, actors_with_threads_of_their_own_speak_with_those_that_have_none) {
  caf::actor_system system{config};
  std::promise<int> back;
  auto worker =
    spawn<caf::detached>(system, [](caf::event_based_actor*) -> caf::behavior { return {[](int n) { return n + 1; }}; });
  spawn(system, [&](caf::event_based_actor* self) {
    self->request(worker, caf::infinite, 41).then([&, self](int n) {
      self->send_exit(worker, caf::exit_reason::user_shutdown);
      back.set_value(n);
    });
  });
  EXPECT_EQ(get(back.get_future()), 42);
}

TEST_F(loop_scheduler_test, an_actor_that_throws_ends_alone) {
  caf::actor_system system{config};
  std::promise<bool> went_on;
  auto bad =
    spawn(system, [](caf::event_based_actor*) -> caf::behavior { return {[](int) { throw std::runtime_error{"on purpose"}; }}; });
  auto good = spawn(system, [&](caf::event_based_actor*) -> caf::behavior { return {[&](int) { went_on.set_value(true); }}; });
  caf::anon_send(bad, 1);
  caf::anon_send(good, 1);
  EXPECT_TRUE(get(went_on.get_future()));
}

/// Says something to another when it goes.
struct parting {
  caf::actor to;
  ~parting() { caf::anon_send(to, 1); }
};

TEST_F(loop_scheduler_test, a_system_that_does_not_wait_for_its_actors_ends_all_the_same) {
  for (int i = 0; i < 20; ++i) {
    caf::actor_system system{config};
    system.await_actors_before_shutdown(false);
    caf::actor next =
      spawn(system, [](caf::event_based_actor* self) -> caf::behavior { return {[self](int n) { self->send(self, n + 1); }}; });
    for (int n = 0; n < 200; ++n) {
      auto said = std::make_shared<parting>();
      said->to = next;
      next = spawn(system, [said](caf::event_based_actor* self) -> caf::behavior {
        self->monitor(said->to);
        return {[said, self](int n) {
          self->delayed_send(self, 1ms, n);
          self->send(said->to, n);
        }};
      });
      caf::anon_send(next, n);
    }
  }
}

TEST_F(loop_scheduler_test, a_system_ends_though_many_actors_are_known_to_timers_only) {
  constexpr int many = 200;
  caf::actor_system system{config};
  system.await_actors_before_shutdown(false);
  int begun = 0;
  std::promise<void> all;
  for (int n = 0; n < many; ++n)
    spawn(system, [&](caf::event_based_actor* self) -> caf::behavior {
      self->delayed_send(self, 1h, 1);
      if (++begun == many)
        all.set_value();
      return {[](int) {}};
    });
  auto done = all.get_future();
  ASSERT_EQ(done.wait_for(20s), std::future_status::ready);
}

TEST_F(loop_scheduler_test, systems_begin_and_end_many_times) {
  for (int i = 0; i < 50; ++i) {
    caf::actor_system system{config};
    auto a = spawn(system, [](caf::event_based_actor* self) -> caf::behavior { return {[self](int) { self->quit(); }}; });
    caf::anon_send(a, 1);
  }
}

} // namespace
} // namespace sallyport::runtime
