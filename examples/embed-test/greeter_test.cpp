// An embedder's own test: the real agent with the real adapter, against a hub in the same process whose time the test moves. No ports, no
// sleeping, and an outage of half an hour takes no time.
#include "greeter.hpp"

#include <sallyport/runtime/agent.hpp>
#include <sallyport/runtime/testing/hub.hpp>

#include <caf/all.hpp>
#include <gtest/gtest.h>

#include <filesystem>
#include <mutex>
#include <set>

namespace {

using namespace std::chrono_literals;

const sallyport::group_name group{"demo"};
const sallyport::connection_name greetings{"greetings"};

std::string event(const std::string& id, const std::string& data) {
  return R"({"specversion":"1.0","source":"/test","type":"greeting","id":")" + id + R"(","data":)" + data + "}";
}

struct actor_config : caf::actor_system_config {
  actor_config() { sallyport::prepare(*this); }
};

class greeter_test : public testing::Test {
protected:
  void SetUp() override {
    std::string name = std::filesystem::temp_directory_path() / "greeter-test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    state_dir_ = name;
  }
  void TearDown() override {
    agent_.reset(); // Stops it, before its actor system and its hub go.
    std::filesystem::remove_all(state_dir_);
  }

  void start_agent() {
    sallyport::config::agent_settings settings;
    settings.group = group;
    settings.name = {"embedder"};
    settings.hubs = {"http://localhost"}; // Whatever: the transport below knows only one hub.
    settings.state_dir = state_dir_;
    settings.token = "any";

    sallyport::agent_connection connection;
    connection.settings.name = greetings;
    connection.adapter = embed::make_greeter_factory([this](const std::string& name) { greet(name); });

    sallyport::agent_options options;
    options.connect = hub_.transport();
    options.time = hub_.time();
    auto started = sallyport::agent::start(system_, settings, {connection}, options);
    ASSERT_TRUE(started.ok()) << to_string(started.err());
    agent_ = std::move(*started);
    ASSERT_TRUE(hub_.advance_until([&] {
      const auto view = hub_.group(group);
      return view.ok() && !view->agents.empty() && view->agents.front().live;
    }));
  }

  void greet(const std::string& name) {
    if (name == "the doorbell")
      throw std::runtime_error("the doorbell does not answer");
    const std::lock_guard lock{mutex_};
    greeted_.insert(name);
  }
  std::size_t times_greeted(const std::string& name) {
    const std::lock_guard lock{mutex_};
    return greeted_.count(name);
  }
  std::string state_of(sallyport::message_id id) {
    const auto view = hub_.message(id);
    return view ? view->state : to_string(view.err());
  }

  sallyport::testing::hub hub_;
  actor_config config_;
  caf::actor_system system_{config_};
  std::filesystem::path state_dir_;
  std::optional<sallyport::agent> agent_;

  std::mutex mutex_;
  std::multiset<std::string> greeted_;
};

TEST_F(greeter_test, a_message_is_greeted_and_settled_with_the_name_as_result) {
  start_agent();
  const auto id = hub_.enqueue(group, greetings, event("1", R"({"to":"Ada"})"));
  ASSERT_TRUE(id.ok()) << to_string(id.err());
  ASSERT_TRUE(hub_.advance_until([&] { return state_of(*id) == "settled"; })) << state_of(*id);
  EXPECT_EQ(times_greeted("Ada"), 1u);
  EXPECT_EQ(hub_.message(*id)->result, R"({"greeted":"Ada"})");
}

TEST_F(greeter_test, a_message_without_a_name_is_dead_at_once) {
  start_agent();
  const auto id = hub_.enqueue(group, greetings, event("1", R"({"too":"Ada"})"));
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(hub_.advance_until([&] { return state_of(*id) == "dead"; })) << state_of(*id);
}

TEST_F(greeter_test, what_was_sent_during_half_an_hour_without_a_line_is_greeted_afterwards) {
  start_agent();
  hub_.cut();
  const auto id = hub_.enqueue(group, greetings, event("1", R"({"to":"Grace"})"));
  ASSERT_TRUE(id.ok());
  hub_.advance(30min);
  EXPECT_EQ(times_greeted("Grace"), 0u);
  hub_.mend();
  ASSERT_TRUE(hub_.advance_until([&] { return state_of(*id) == "settled"; }, 5min)) << state_of(*id);
  EXPECT_EQ(times_greeted("Grace"), 1u);
}

TEST_F(greeter_test, a_greeter_that_throws_harms_no_other_message) {
  start_agent();
  const auto bad = hub_.enqueue(group, greetings, event("1", R"({"to":"the doorbell"})"));
  const auto good = hub_.enqueue(group, greetings, event("2", R"({"to":"Edsger"})"));
  ASSERT_TRUE(bad.ok() && good.ok());
  ASSERT_TRUE(hub_.advance_until([&] { return state_of(*good) == "settled"; })) << state_of(*good);
  EXPECT_NE(state_of(*bad), "settled");
}

} // namespace
