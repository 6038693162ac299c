// The embedding API as an embedder uses it: a real actor system, adapters on threads of their own, the real hub in the same process.
#include "runtime/agent.hpp"
#include "runtime/loop_scheduler.hpp"
#include "runtime/testing/hub.hpp"
#include "runtime/typed.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/temp_dir.hpp"

#include <caf/all.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>

namespace sallyport {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using event_kind = runtime::agent_event::kind;

const group_name group{"plant"};
const connection_name erp{"erp"}, mail{"mail"};

std::string event(std::size_t n, const std::string& key = {}) {
  return R"({"specversion":"1.0","source":"/test","type":"t","id":")" + std::to_string(n) + "\""
         + (key.empty() ? "" : R"(,"partitionkey":")" + key + "\"") + R"(,"data":{"n":)" + std::to_string(n) + "}}";
}

struct prepared_config : caf::actor_system_config {
  prepared_config() { prepare(*this); }
};

/// A local system shared by its adapters.
class site {
public:
  std::function<adapters::outcome(const adapters::job&)> does = [](auto&) { return adapters::done(); };

  adapters::factory adapter(std::size_t workers = 1, std::size_t batch_max = 1,
                            wire::effect_promise effect = wire::effect_promise::at_least_once) {
    adapters::factory f;
    f.about = {"site", effect, "here", batch_max, workers};
    f.make = [this] { return std::make_unique<station>(*this); };
    return f;
  }
  std::vector<std::string> performed() {
    std::lock_guard lock{mutex_};
    return performed_;
  }

private:
  class station final : public adapters::adapter {
  public:
    explicit station(site& s) : site_(s) {}
    adapters::probe_result probe() override { return {wire::reach::up, {}}; }
    std::vector<adapters::outcome> perform(const std::vector<adapters::job>& jobs) override {
      std::vector<adapters::outcome> outcomes;
      for (const auto& j : jobs) {
        outcomes.push_back(site_.does(j));
        std::lock_guard lock{site_.mutex_};
        site_.performed_.push_back(j.attributes.id);
      }
      return outcomes;
    }

  private:
    site& site_;
  };

  std::mutex mutex_;
  std::vector<std::string> performed_;
};

struct embedded_agent : ::testing::Test {
  explicit embedded_agent(testing::hub_options options = {}) : hub(std::move(options)) {}
  ~embedded_agent() override {
    for (auto& a : agents) {
      a.stop();
      EXPECT_TRUE(a.wait_for(20s));
    }
  }

  config::agent_settings settings(const std::string& name = "a") {
    config::agent_settings s;
    s.group = group;
    s.name = {name};
    s.state_dir = dir / name;
    s.hubs = {"http://localhost"};
    s.reconnect_min = 20ms;
    return s;
  }
  result<agent> try_start(std::vector<agent_connection> connections, const std::string& name = "a") {
    return try_start(system, std::move(connections), name);
  }
  result<agent> try_start(caf::actor_system& in, std::vector<agent_connection> connections, const std::string& name = "a") {
    agent_options options;
    options.connect = hub.transport();
    options.time = hub.time();
    options.on_event = [this](const runtime::agent_event& e) {
      std::lock_guard lock{mutex};
      events.push_back(e.what);
    };
    return agent::start(in, settings(name), std::move(connections), std::move(options));
  }
  void start(std::vector<agent_connection> connections, const std::string& name = "a") {
    auto a = try_start(std::move(connections), name);
    if (!a.ok())
      throw std::runtime_error{to_string(a.err())};
    agents.push_back(std::move(*a));
  }
  static agent_connection connection(const connection_name& name, adapters::factory f) {
    agent_connection c;
    c.settings.name = name;
    c.adapter = std::move(f);
    return c;
  }

  message_id send(std::size_t n, const connection_name& to = erp, const std::string& key = {}) {
    auto id = hub.enqueue(group, to, event(n, key));
    if (!id.ok())
      throw std::runtime_error{to_string(id.err())};
    return *id;
  }
  std::string state_of(message_id id) {
    auto view = hub.message(id);
    return view.ok() ? view->state : to_string(view.err());
  }
  std::vector<std::string> history_of(message_id id) {
    std::vector<std::string> what;
    if (const auto view = hub.message(id); view.ok())
      for (auto& h : view->history)
        what.push_back(h.what);
    return what;
  }
  std::vector<event_kind> heard() {
    std::lock_guard lock{mutex};
    return events;
  }

  testing::temp_dir dir;
  testing::hub hub;
  prepared_config config;
  caf::actor_system system{config};
  std::vector<agent> agents;
  std::mutex mutex;
  std::vector<event_kind> events;
};

/// A hub whose time does not wait for silent agents.
struct cut_off_agent : embedded_agent {
  static testing::hub_options impatient() {
    testing::hub_options o;
    o.wait_for_agents = 0ms;
    return o;
  }
  cut_off_agent() : embedded_agent(impatient()) {}
};

TEST_F(embedded_agent, carries_out_what_is_sent_and_reports_the_result) {
  site s;
  s.does = [](const adapters::job& j) { return adapters::done(std::string{j.data()}); };
  start({connection(erp, s.adapter())});
  const auto id = send(1);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(id) == "settled"; })) << state_of(id);
  EXPECT_EQ(hub.message(id)->result, R"({"n":1})");
  EXPECT_THAT(heard(), Contains(event_kind::connected));
  EXPECT_THAT(heard(), Contains(event_kind::connection_up));
}

TEST_F(embedded_agent, settles_a_thousand_messages_once_each_over_several_workers_and_batches) {
  site s;
  start({connection(erp, s.adapter(3, 16))});
  std::vector<message_id> ids;
  for (std::size_t n = 0; n < 1'000; ++n)
    ids.push_back(send(n));
  ASSERT_TRUE(hub.advance_until([&] { return s.performed().size() >= 1'000; }, 5min));
  ASSERT_TRUE(hub.advance_until([&] { return state_of(ids.back()) == "settled" && state_of(ids.front()) == "settled"; }));
  auto done = s.performed();
  std::sort(done.begin(), done.end());
  EXPECT_EQ(std::unique(done.begin(), done.end()), done.end());
}

TEST_F(embedded_agent, calls_an_adapter_that_never_blocks_on_its_own_thread_and_another_on_one_of_the_adapters) {
  caf::actor_system_config one;
  prepare(one, actor_threads::one);
  caf::actor_system on_one{one};
  const auto loop = runtime::loop_thread(on_one);
  ASSERT_NE(loop, nullptr);
  std::atomic<int> on_loop{0}, elsewhere{0};
  site quick, slow;
  quick.does = slow.does = [&](auto&) {
    ++(loop->on_thread() ? on_loop : elsewhere);
    return adapters::done();
  };
  auto never_blocks = quick.adapter();
  never_blocks.about.blocks = false;
  auto made = try_start(on_one, {connection(erp, never_blocks), connection(mail, slow.adapter())});
  ASSERT_TRUE(made.ok()) << to_string(made.err());
  const auto first = send(1);
  EXPECT_TRUE(hub.advance_until([&] { return state_of(first) == "settled"; })) << state_of(first);
  EXPECT_EQ(on_loop, 1);
  EXPECT_EQ(elsewhere, 0);
  const auto second = send(2, mail);
  EXPECT_TRUE(hub.advance_until([&] { return state_of(second) == "settled"; })) << state_of(second);
  EXPECT_EQ(on_loop, 1);
  EXPECT_EQ(elsewhere, 1);
  made->stop();
  EXPECT_TRUE(made->wait_for(20s));
}

TEST_F(embedded_agent, keeps_the_order_of_a_key_over_many_workers) {
  site s;
  start({connection(erp, s.adapter(4, 4))});
  for (std::size_t n = 100; n < 200; ++n)
    send(n, erp, "same");
  ASSERT_TRUE(hub.advance_until([&] { return s.performed().size() == 100; }, 5min));
  const auto done = s.performed();
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
}

TEST_F(embedded_agent, an_adapter_that_throws_harms_no_other_connection) {
  site bad, good;
  bad.does = [](const adapters::job& j) -> adapters::outcome {
    if (j.attributes.id == "1")
      throw std::runtime_error{"broken"};
    return adapters::done();
  };
  start({connection(erp, bad.adapter()), connection(mail, good.adapter())});
  const auto poison = send(1), after = send(2), other = send(3, mail);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(after) == "settled" && state_of(other) == "settled"; }, 10min))
    << state_of(after);
  EXPECT_NE(state_of(poison), "settled");
  EXPECT_THAT(hub.message(poison)->error, HasSubstr("broken"));
  EXPECT_THAT(heard(), Contains(event_kind::restarted));
}

TEST_F(cut_off_agent, blocked_work_hears_that_its_lease_is_lost) {
  site s;
  std::atomic<int> begun{0};
  std::atomic<adapters::cancel_reason> heard_by_job{adapters::cancel_reason::none};
  s.does = [&](const adapters::job& j) {
    std::mutex m;
    std::condition_variable woken;
    bool stop = false;
    if (begun++ > 0)
      return adapters::done();
    j.cancel->set_hook([&] {
      std::lock_guard lock{m};
      stop = true;
      woken.notify_all();
    });
    std::unique_lock lock{m};
    woken.wait_for(lock, 30s, [&] { return stop; });
    heard_by_job = j.cancelled();
    lock.unlock();
    j.cancel->clear_hook();
    return adapters::stopped(j.cancelled(), wire::effect_state::none);
  };
  start({connection(erp, s.adapter())});
  const auto id = send(1);
  ASSERT_TRUE(hub.advance_until([&] { return begun > 0; }));
  hub.cut();
  ASSERT_TRUE(hub.advance_until([&] { return heard_by_job != adapters::cancel_reason::none; }, 5min));
  EXPECT_EQ(heard_by_job, adapters::cancel_reason::lost_lease);
  hub.mend();
  ASSERT_TRUE(hub.advance_until([&] { return state_of(id) == "settled"; }, 5min)) << state_of(id);
}

TEST_F(embedded_agent, goes_on_after_a_restart_of_the_hub) {
  site s;
  start({connection(erp, s.adapter())});
  const auto first = send(1);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(first) == "settled"; }));
  hub.restart();
  const auto second = send(2);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(second) == "settled"; }, 5min)) << state_of(second);
  EXPECT_THAT(s.performed(), ElementsAre("1", "2"));
}

TEST_F(embedded_agent, lost_answers_of_every_kind_double_nothing) {
  site s;
  start({connection(erp, s.adapter(2, 4))});
  std::vector<message_id> ids;
  for (std::size_t n = 0; n < 60; ++n) {
    if (n % 10 == 0)
      hub.lose_replies(1, n % 20 == 0 ? "/claims" : "/settlements");
    ids.push_back(send(n));
    hub.advance(100ms);
  }
  ASSERT_TRUE(hub.advance_until([&] { return s.performed().size() >= 60; }, 10min));
  for (auto id : ids)
    ASSERT_TRUE(hub.advance_until([&] { return state_of(id) == "settled"; }, 5min)) << state_of(id);
  EXPECT_EQ(s.performed().size(), 60u);
}

TEST_F(embedded_agent, a_drain_under_load_loses_no_grant_and_makes_no_second_one) {
  site s, t;
  auto slow = [](const adapters::job&) {
    std::this_thread::sleep_for(1ms); // Work takes time; nothing waits for it.
    return adapters::done();
  };
  s.does = t.does = slow;
  start({connection(erp, s.adapter())}, "a");
  start({connection(erp, t.adapter())}, "b");
  std::vector<message_id> ids;
  for (std::size_t n = 0; n < 400; ++n)
    ids.push_back(send(n));
  ASSERT_TRUE(hub.advance_until([&] { return s.performed().size() > 20; }));
  agents[0].drain();
  std::optional<agent_end> end;
  ASSERT_TRUE(hub.advance_until([&] { return (end = agents[0].wait_for(0ms)).has_value(); }, 5min));
  EXPECT_EQ(end->reason, runtime::end_reason::drained) << end->detail;
  ASSERT_TRUE(hub.advance_until([&] { return s.performed().size() + t.performed().size() >= 400; }, 10min));
  for (auto id : ids) {
    ASSERT_TRUE(hub.advance_until([&] { return state_of(id) == "settled"; })) << state_of(id);
    const auto history = history_of(id);
    EXPECT_EQ(std::count(history.begin(), history.end(), "granted"), 1);
    EXPECT_THAT(history, Not(Contains("lost")));
  }
}

TEST_F(embedded_agent, stopping_gives_back_what_was_not_begun_and_another_agent_does_it) {
  site stuck, free;
  std::atomic<bool> began{false};
  stuck.does = [&](const adapters::job& j) {
    began = true;
    while (j.cancelled() == adapters::cancel_reason::none)
      std::this_thread::sleep_for(1ms);
    return adapters::stopped(j.cancelled(), wire::effect_state::none);
  };
  start({connection(erp, stuck.adapter())}, "a");
  const auto one = send(1), two = send(2);
  ASSERT_TRUE(hub.advance_until([&] { return began.load(); }));
  start({connection(erp, free.adapter())}, "b");
  agents[0].stop();
  ASSERT_TRUE(hub.advance_until([&] { return state_of(one) == "settled" && state_of(two) == "settled"; }, 5min))
    << state_of(one) << " " << state_of(two);
  ASSERT_TRUE(agents[0].wait_for(20s));
}

TEST_F(embedded_agent, a_restarted_agent_takes_its_place_at_once) {
  site s;
  start({connection(erp, s.adapter())});
  EXPECT_EQ(agents[0].incarnation(), 1u);
  const auto before = agents[0].id();
  const auto first = send(1);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(first) == "settled"; }));
  agents[0].stop();
  ASSERT_TRUE(agents[0].wait_for(20s));
  // The state directory is free when the last of its actors has ended.
  std::optional<agent> again;
  ASSERT_TRUE(testing::eventually([&] {
    auto a = try_start({connection(erp, s.adapter())});
    if (a.ok())
      again = std::move(*a);
    return again.has_value();
  }));
  agents.push_back(*again);
  EXPECT_EQ(again->incarnation(), 2u);
  EXPECT_EQ(again->id().value, before.value);
  const auto second = send(2);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(second) == "settled"; }));
}

TEST_F(embedded_agent, says_what_it_is_at) {
  site s;
  start({connection(erp, s.adapter())});
  ASSERT_TRUE(hub.advance_until([&] {
    auto status = agents[0].status();
    return status.ok() && status->session_open && !status->connections.empty() && status->connections[0].state == wire::reach::up;
  }));
  const auto id = send(1);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(id) == "settled"; }));
  ASSERT_TRUE(testing::eventually([&] { return agents[0].status()->held == 0; }));
  EXPECT_EQ(agents[0].status()->connections[0].counters.done, 1u);
}

TEST_F(embedded_agent, an_actor_can_be_the_adapter) {
  auto spawn = [](caf::actor_system& sys) -> actors::adapter_actor {
    return sys.spawn([]() -> actors::adapter_actor::behavior_type {
      return {
        [](actors::atom::probe) {
          return actors::adapter_probe_ptr{std::make_shared<adapters::probe_result>(adapters::probe_result{wire::reach::up, {}})};
        },
        [](const actors::adapter_jobs_ptr& jobs) -> caf::result<actors::adapter_outcomes_ptr> {
          auto out = std::make_shared<actors::adapter_outcomes>();
          for (auto& j : jobs->jobs) {
            if (j.attributes.id == "13")
              return caf::make_error(caf::sec::runtime_error, "thirteen");
            out->outcomes.push_back(adapters::done("\"" + j.attributes.id + "\""));
          }
          return actors::adapter_outcomes_ptr{out};
        },
      };
    });
  };
  start({connection(erp, make_typed_adapter(system, {"actor", wire::effect_promise::at_least_once, "here", 1, 1}, spawn))});
  const auto bad = send(13), good = send(14);
  ASSERT_TRUE(hub.advance_until([&] { return state_of(good) == "settled"; }, 5min)) << state_of(good);
  EXPECT_EQ(hub.message(good)->result, "\"14\"");
  EXPECT_THAT(hub.message(bad)->error, HasSubstr("thirteen"));
}

TEST_F(embedded_agent, two_agents_cannot_share_a_state_directory) {
  site s;
  start({connection(erp, s.adapter())});
  auto second = try_start({connection(erp, s.adapter())});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.err().code, errc::state_locked);
}

TEST_F(embedded_agent, faulty_settings_are_reported_all_at_once) {
  site s;
  auto bad = settings();
  bad.group = {"No Such Name"};
  bad.hubs.clear();
  bad.lanes = 9;
  auto a = agent::start(system, bad, {connection(erp, s.adapter()), connection(erp, {})}, {});
  ASSERT_FALSE(a.ok());
  EXPECT_EQ(a.err().code, errc::invalid_config);
  for (auto* part : {"group", "hub address", "lanes", "two connections", "no adapter"})
    EXPECT_THAT(a.err().detail, HasSubstr(part));
}

TEST(an_unprepared_system, is_told_so) {
  caf::actor_system_config config;
  caf::actor_system system{config};
  auto a = agent::start(system, {}, {}, {});
  ASSERT_FALSE(a.ok());
  EXPECT_THAT(a.err().detail, HasSubstr("sallyport::prepare(config) was not called"));
}

TEST(prepare, chooses_the_scheduler_unless_the_embedder_has) {
  caf::actor_system_config ours;
  prepare(ours);
  EXPECT_EQ(*caf::get_if<caf::atom_value>(&ours, "scheduler.policy"), caf::atom("sharing"));
  EXPECT_LE(*caf::get_if<std::size_t>(&ours, "scheduler.max-threads"), 4u);
  caf::actor_system_config theirs;
  theirs.set("scheduler.policy", caf::atom("stealing"));
  prepare(theirs);
  EXPECT_EQ(*caf::get_if<caf::atom_value>(&theirs, "scheduler.policy"), caf::atom("stealing"));
}

} // namespace
} // namespace sallyport
