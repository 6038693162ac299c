// A CAF actor system whose scheduler and clock the test steps: nothing runs and no time passes but when the test says so.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/core/transport.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <functional>
#include <memory>

namespace sallyport::actors::test {

struct stepped_config : caf::actor_system_config {
  stepped_config() {
    add_message_types<caf::id_block::sallyport>();
    set("scheduler.policy", caf::atom("testing"));
    set("logger.verbosity", caf::atom("quiet"));
  }
};

class stepped_system {
public:
  stepped_system() : system(config), scheduler(dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler())) {
    // Away from zero, where "long ago" would be before time began.
    scheduler.advance_time(std::chrono::hours{1});
  }

  /// Runs what can run, answers what the hub can answer, until both are done.
  void run() {
    do {
      while (run_some() > 0) {
      }
    } while (between && between());
  }

  /// Lets time pass in small steps, so that alarms ring in order.
  void advance(milliseconds time, milliseconds step = milliseconds{50}) {
    run();
    for (auto left = time; left > milliseconds{0}; left -= step) {
      scheduler.advance_time(std::min(left, step));
      run();
    }
  }

  [[nodiscard]] mono_time now() const {
    return mono_time{std::chrono::duration_cast<milliseconds>(scheduler.clock().now().time_since_epoch())};
  }

  stepped_config config;
  caf::actor_system system;
  caf::scheduler::test_coordinator& scheduler;
  std::function<bool()> between;    // True if it made something happen.
  bool workers_stand_still = false; // As if each were in the middle of a call.

private:
  std::size_t run_some() {
    if (!workers_stand_still)
      return scheduler.run();
    return scheduler.run_jobs_filtered([](caf::resumable* job) {
      auto* actor = dynamic_cast<caf::scheduled_actor*>(job);
      return actor == nullptr || std::string_view{actor->name()} != "adapter-worker";
    });
  }
};

class stepped_time final : public runtime::time_source {
public:
  explicit stepped_time(const stepped_system& s) : system_(s) {}
  instant now() override {
    const auto mono = system_.now();
    return {mono, wall_time{mono.time_since_epoch()}};
  }

private:
  const stepped_system& system_;
};

} // namespace sallyport::actors::test
