#include "config/agent_config.hpp"
#include "config/hub_config.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

using namespace sallyport;
using namespace sallyport::config;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace {

std::vector<std::string> lines(const fault_list& faults) {
  std::vector<std::string> out;
  for (const auto& f : faults.sorted())
    out.push_back(to_string(f));
  return out;
}

hub_settings hub(std::string_view text, std::vector<std::string>& said, bool dev = false) {
  fault_list faults("hub.toml");
  const auto root = parse_toml(text, faults);
  auto settings = root ? read_hub(*root, faults, dev) : hub_settings{};
  said = lines(faults);
  return settings;
}

agent_file agent(std::string_view text, std::vector<std::string>& said) {
  fault_list faults("agent.toml");
  const auto root = parse_toml(text, faults);
  auto file = root ? read_agent(*root, {"sql", "file", "null"}, faults) : agent_file{};
  said = lines(faults);
  return file;
}

class files : public ::testing::Test {
protected:
  void SetUp() override { ::setenv("FILES_TEST_TOKEN", "hunter2", 1); }
  void TearDown() override {
    ::unsetenv("FILES_TEST_TOKEN");
    ::unsetenv("STATE_DIRECTORY");
  }
  std::vector<std::string> said;
  const std::string head =
    "[agent]\ngroup = \"g\"\nname = \"a\"\nstate_dir = \"/s\"\nhubs = [\"https://h\"]\ntoken = \"env:FILES_TEST_TOKEN\"\n";
};

} // namespace

TEST_F(files, a_hub_needs_a_data_directory_and_a_certificate) {
  hub("[hub]\n", said);
  EXPECT_THAT(said, ElementsAre("hub.toml:1: hub.data_dir: is missing; write data_dir = \"/var/lib/sallyport\"",
                                "hub.toml:1: hub.tls.cert_file: is missing; give the hub a certificate, or run it with --dev",
                                "hub.toml:1: hub.tls.key_file: is missing; give the hub a certificate, or run it with --dev"));
}

TEST_F(files, a_development_hub_needs_no_certificate) {
  const auto s = hub(
    "[hub]\ndata_dir = \"/d\"\nlisten = \"127.0.0.1:0\"\n[hub.limits]\nevent_bytes = 2048\n[hub.policy]\non_dead = \"block\"\n",
    said, true);
  EXPECT_THAT(said, IsEmpty());
  EXPECT_EQ(s.limits.event.event_bytes, 2048u);
  EXPECT_EQ(s.policy.dead, wire::on_dead::block);
  EXPECT_EQ(s.policy.max_attempts, 5u);
}

TEST_F(files, systemds_state_directory_stands_in_for_the_missing_one) {
  ::setenv("STATE_DIRECTORY", "/var/lib/x", 1);
  EXPECT_EQ(hub("[hub]\n", said, true).data_dir, "/var/lib/x");
  EXPECT_THAT(said, IsEmpty());
}

TEST_F(files, settings_of_a_hub_that_contradict_one_another_are_faults) {
  hub("[hub]\ndata_dir = \"/d\"\n[hub.limits]\nevent_bytes = 4096\nbody_bytes = 2048\n[hub.policy]\nbackoff_min_ms = "
      "10\nbackoff_max_ms = 5\n"
      "hold_limit_ms = 1\n",
      said, true);
  EXPECT_THAT(said, ElementsAre(HasSubstr("hub.toml:4: hub.limits.event_bytes: is more than body_bytes"),
                                HasSubstr("hub.toml:7: hub.policy.backoff_min_ms: is more than"),
                                HasSubstr("hub.toml:9: hub.policy.hold_limit_ms: is less than")));
}

TEST_F(files, spans_of_a_policy_are_bounded_at_both_ends) {
  hub(
    "[hub]\ndata_dir = \"/d\"\n[hub.policy]\nbackoff_max_ms = 2592000001\nattempt_timeout_ms = 9\nmessage_ttl_ms = 31622400001\n"
    "retention_ms = 999\n",
    said, true);
  EXPECT_THAT(said, ElementsAre(HasSubstr("hub.toml:4: hub.policy.backoff_max_ms: "),
                                HasSubstr("hub.toml:5: hub.policy.attempt_timeout_ms: "),
                                HasSubstr("hub.toml:6: hub.policy.message_ttl_ms: "),
                                HasSubstr("hub.toml:7: hub.policy.retention_ms: ")));
  const auto longest =
    hub("[hub]\ndata_dir = \"/d\"\n[hub.policy]\nmessage_ttl_ms = 31622400000\nretention_ms = 1000\n", said, true);
  EXPECT_THAT(said, IsEmpty());
  EXPECT_EQ(longest.policy.message_ttl, 24h * 366);
  EXPECT_EQ(longest.policy.retention, 1s);
}

TEST_F(files, an_agent_is_read_with_its_connections) {
  const auto file =
    agent(head
            + "drain_ms = 5000\n[agent.proxy]\nurl = \"http://p:3128\"\n[[connection]]\nname = \"c1\"\nadapter = \"sql\"\n"
              "credit = 7\non_lost_lease = \"cancel\"\n[connection.sql]\npath = \"/x\"\n[[connection]]\nname = \"c2\"\n"
              "adapter = \"null\"\n",
          said);
  EXPECT_THAT(said, IsEmpty());
  EXPECT_EQ(file.agent.token, "hunter2");
  EXPECT_EQ(file.agent.drain, 5s);
  EXPECT_EQ(file.agent.proxy.url, "http://p:3128");
  ASSERT_EQ(file.connections.size(), 2u);
  EXPECT_EQ(file.connections[0].settings.name.value, "c1");
  EXPECT_EQ(file.connections[0].settings.credit, 7u);
  EXPECT_EQ(file.connections[0].settings.lost_lease, on_lost_lease::cancel);
  EXPECT_EQ(file.connections[0].own.find("path")->text, "/x");
  EXPECT_EQ(file.connections[1].adapter, "null");
  EXPECT_TRUE(file.connections[1].own.items.empty());
}

TEST_F(files, every_fault_of_an_agents_file_is_found_at_once) {
  agent("[agent]\ngroup = \"Not A Name\"\nname = \"a\"\nstate_dir = \"/s\"\nhubs = [\"http://far.example\"]\ntoken = "
        "\"hunter2\"\nlanes = 9\n"
        "[[connection]]\nname = \"c\"\nadapter = \"sqll\"\n[[connection]]\nname = \"c\"\nadapter = \"null\"\n[connection.sql]\n"
        "[[connection]]\nadapter = \"null\"\n",
        said);
  EXPECT_THAT(said, ElementsAre(HasSubstr("agent.toml:2: agent.group: \"Not A Name\" is not a name"),
                                HasSubstr("agent.toml:5: agent.hubs: \"http://far.example\" would send the token in clear"),
                                HasSubstr("agent.toml:6: agent.token: holds a secret in clear text"),
                                "agent.toml:7: agent.lanes: 9 is out of range; write 1 to 8",
                                "agent.toml:10: connection.adapter: there is no adapter \"sqll\"; did you mean sql?",
                                HasSubstr("agent.toml:12: connection.name: \"c\" is the name of another connection, in line 9"),
                                HasSubstr("agent.toml:14: connection.sql: is not read: the connection's adapter is null"),
                                HasSubstr("agent.toml:15: connection.name: is missing")));
}

TEST_F(files, an_agent_without_connections_is_a_fault) {
  agent(head, said);
  EXPECT_THAT(said, ElementsAre(HasSubstr("connection: is missing")));
  agent(head + "[connection]\nname = \"c\"\n", said);
  EXPECT_THAT(said, ElementsAre(HasSubstr("two brackets")));
}

TEST_F(files, an_agent_without_a_name_takes_the_hosts) {
  const auto file = agent("[agent]\ngroup = \"g\"\nstate_dir = \"/s\"\nhubs = [\"https://h\"]\ntoken = \"env:FILES_TEST_TOKEN\"\n"
                          "[[connection]]\nname = \"c\"\nadapter = \"null\"\n",
                          said);
  if (said.empty())
    EXPECT_TRUE(is_valid_name(file.agent.name.value));
  else // On a host whose name is none of ours.
    EXPECT_THAT(said, ElementsAre(HasSubstr("agent.name: is missing")));
}

TEST_F(files, what_an_adapter_finds_gets_the_line_of_its_setting) {
  struct settings {
    milliseconds latency{};
    std::string path;
  };
  const options_of<settings> options("connection.x", {option(&settings::latency, "connection.x.latency_ms", "How long."),
                                                      option(&settings::path, "connection.x.path", "Where.")});
  fault_list faults("a.toml");
  const auto root = parse_toml("[connection.x]\nlatency_ms = 5\npath = \"p\"\n", faults);
  ASSERT_TRUE(root);
  const auto& own = *root->find_path("connection.x");
  faults.add(3, "connection.x.path", "was bad already");
  add_check_faults(make_error(errc::invalid_config, "latency must be more\npath must be absolute\nnothing fits"), options.list(),
                   own, faults);
  EXPECT_THAT(lines(faults),
              ElementsAre("a.toml:1: connection.x: nothing fits", "a.toml:2: connection.x.latency_ms: latency must be more",
                          "a.toml:3: connection.x.path: was bad already"));
}

TEST_F(files, are_told_apart_by_their_tables) {
  const auto kind = [](std::string_view text) {
    fault_list faults;
    return kind_of(*parse_toml(text, faults));
  };
  EXPECT_EQ(kind("[hub]\n"), file_kind::hub);
  EXPECT_EQ(kind("[agent]\n"), file_kind::agent);
  EXPECT_EQ(kind("[[connection]]\n"), file_kind::agent);
  EXPECT_EQ(kind("[hub]\n[agent]\n"), file_kind::neither);
  EXPECT_EQ(kind("x = 1\n"), file_kind::neither);
}

TEST_F(files, the_examples_have_no_faults_but_the_files_they_name) {
  hub(example_of(hub_options().list()), said);
  EXPECT_THAT(said,
              ElementsAre(HasSubstr("cannot read /etc/sallyport/hub.crt"), HasSubstr("cannot read /etc/sallyport/hub.key")));
  agent(example_of(agent_options().list()) + "[[connection]]\nname = \"c\"\nadapter = \"null\"\n", said);
  EXPECT_THAT(said, ElementsAre(HasSubstr("cannot find the secret's file /etc/sallyport/token")));
}
