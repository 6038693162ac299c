// The binary itself: help, exit codes, and its commands against a real hub.
#include "tests/support/certs.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

#include <csignal>
#include <filesystem>

using namespace sallyport::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

namespace {

struct ran {
  int code;
  std::string out, err;
};

class program : public ::testing::Test {
protected:
  ran run(std::vector<std::string> args, const std::string& input = {}, std::vector<std::string> env = {}) {
    args.insert(args.begin(), SALLYPORT_BINARY);
    for (const auto* name : {"SALLYPORT_HUB=", "SALLYPORT_TOKEN="})
      env.insert(env.begin(), name);
    if (!hub_.empty()) {
      env.push_back("SALLYPORT_HUB=" + hub_);
      env.push_back("SALLYPORT_TOKEN=dev");
    }
    process p({.argv = args,
               .env = env,
               .stdout_file = dir_ / "out",
               .stderr_file = dir_ / "err",
               .stdin_file = dir_.write("in", input),
               .folder = {}});
    const auto end = p.wait();
    EXPECT_TRUE(end.has_value());
    return {end ? end->code : -1, p.out(), p.err()};
  }
  void start_hub() {
    hub_process_.emplace(
      process_options{.argv = {SALLYPORT_BINARY, "hub", "--dev", "--listen", "127.0.0.1:0", "--data", dir_ / "hub"},
                      .env = {},
                      .stdout_file = dir_ / "hub.out",
                      .stderr_file = dir_ / "hub.err",
                      .stdin_file = {},
                      .folder = {}});
    const auto line = hub_process_->wait_for_line("http://");
    ASSERT_TRUE(line.has_value()) << hub_process_->err();
    hub_ = line->substr(line->find("http://"));
  }

  temp_dir dir_;
  std::optional<process> hub_process_;
  std::string hub_;
};

} // namespace

TEST_F(program, teaches_with_examples_and_exit_codes) {
  const auto all = run({"--help"});
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(all.out, AllOf(HasSubstr("sallyport hub --dev"), HasSubstr("Exit codes:"), HasSubstr("explain")));
  for (const std::vector<std::string>& path : std::vector<std::vector<std::string>>{{"hub"},
                                                                                    {"send"},
                                                                                    {"call"},
                                                                                    {"status"},
                                                                                    {"explain"},
                                                                                    {"dead", "list"},
                                                                                    {"dead", "redrive"},
                                                                                    {"pause"},
                                                                                    {"resume"},
                                                                                    {"token", "new"},
                                                                                    {"config", "check"},
                                                                                    {"config", "example"}}) {
    auto args = path;
    args.push_back("--help");
    const auto help = run(args);
    EXPECT_EQ(help.code, 0) << path.back();
    EXPECT_THAT(help.out, HasSubstr("Examples:\n  sallyport " + path.front())) << path.back();
  }
}

TEST_F(program, prints_its_version) {
  const auto r = run({"version"});
  EXPECT_EQ(r.code, 0);
  EXPECT_THAT(r.out, StartsWith("sallyport "));
}

TEST_F(program, answers_a_command_line_it_does_not_understand_with_2) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{},
                                             {"nope"},
                                             {"send"},
                                             {"send", "g"},
                                             {"token"},
                                             {"token", "new", "--data", "x", "--role", "king"},
                                             {"send", "g", "c", "--batch", "0"},
                                             {"config", "example", "nothing"},
                                             {"status"},
                                             {"pause", "g", "No Name"}}) {
    const auto r = run(args);
    EXPECT_EQ(r.code, 2) << r.err;
    EXPECT_THAT(r.out, IsEmpty());
    EXPECT_THAT(r.err, Not(IsEmpty()));
  }
}

TEST_F(program, says_that_nobody_answers_with_3) {
  const auto r = run({"status", "--hub", "http://127.0.0.1:1", "--token", "dev"});
  EXPECT_EQ(r.code, 3);
  EXPECT_THAT(r.err, HasSubstr("is the hub running"));
}

TEST_F(program, checks_a_file_and_names_each_fault_with_its_line) {
  const auto bad = run({"config", "check", dir_.write("bad.toml", "[agent]\ngroup = \"g\"\nlanes = 0\n")});
  EXPECT_EQ(bad.code, 78);
  EXPECT_THAT(bad.err,
              AllOf(HasSubstr("bad.toml:3: agent.lanes: 0 is out of range"), HasSubstr("bad.toml:1: agent.token: is missing")));
  EXPECT_THAT(bad.out, IsEmpty());
  EXPECT_EQ(run({"config", "check", dir_ / "none.toml"}).code, 78);
  EXPECT_THAT(run({"config", "check", dir_ / "none.toml"}).err, HasSubstr("No such file"));
  EXPECT_EQ(run({"config", "check", dir_.path().string()}).code, 78);
  const auto good = run({"config", "check", "-"},
                        "[agent]\ngroup = \"g\"\nname = \"a\"\nstate_dir = \"/s\"\nhubs = [\"https://h\"]\n"
                        "token = \"env:TOKEN\"\n[[connection]]\nname = \"n\"\nadapter = \"null\"\n",
                        {"TOKEN=x"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.out, "-: OK: agent a of group g, 1 connection: n (null, idempotent)\n");
}

TEST_F(program, starts_no_hub_on_a_file_with_faults) {
  const auto r = run({"hub", "--config", dir_.write("hub.toml", "[hub]\nlisten = \"nowhere\"\n")});
  EXPECT_EQ(r.code, 78);
  EXPECT_THAT(r.err, AllOf(HasSubstr("hub.listen"), HasSubstr("hub.data_dir"), HasSubstr("hub.tls.cert_file")));
}

TEST_F(program, makes_lists_and_revokes_tokens) {
  const auto data = dir_ / "data";
  const auto made = run({"token", "new", "--data", data, "--role", "agent", "--group", "plant-7", "--note", "hall"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, StartsWith("sp_"));
  const auto token = made.out.substr(0, made.out.size() - 1);
  const auto listed = run({"token", "list", "--data", data});
  EXPECT_THAT(listed.out, AllOf(HasSubstr("agent"), HasSubstr("plant-7"), HasSubstr("hall"), Not(HasSubstr(token))));
  const auto id = listed.out.substr(listed.out.find("t-"), 14);
  EXPECT_EQ(run({"token", "revoke", id, "--data", data}).code, 0);
  EXPECT_EQ(run({"token", "revoke", id, "--data", data}).code, 5);
  EXPECT_EQ(run({"token", "new", "--data", data, "--group", "Not A Name"}).code, 2);
}

TEST_F(program, sends_records_once_however_often_it_is_run) {
  start_hub();
  const std::string records = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
  const auto first = run({"send", "g", "c", "--id-from", "n"}, records),
             again = run({"send", "g", "c", "--id-from", "n"}, records);
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, StartsWith("sent=3 stored=3 duplicates=0 seconds="));
  EXPECT_THAT(again.out, StartsWith("sent=3 stored=0 duplicates=3 seconds="));
  const auto status = run({"status", "--group", "g"});
  EXPECT_EQ(status.code, 0) << status.err;
  EXPECT_THAT(status.out, HasSubstr("no agent      3"));
  EXPECT_THAT(run({"status", "--json"}).out, StartsWith("{\"groups\":["));
}

TEST_F(program, stops_at_a_bad_record_with_its_line_or_leaves_it_out) {
  start_hub();
  const std::string records = "{\"n\":1}\n{\"n\":\n{\"n\":3}\n";
  const auto stopped = run({"send", "g", "c"}, records);
  EXPECT_EQ(stopped.code, 6);
  EXPECT_THAT(stopped.err, HasSubstr("line 2: malformed_json"));
  EXPECT_THAT(stopped.out, StartsWith("sent=1 "));
  const auto skipped = run({"send", "g", "c", "--skip-bad"}, records);
  EXPECT_EQ(skipped.code, 6);
  EXPECT_THAT(skipped.out, StartsWith("sent=2 stored=1 duplicates=1 "));
}

TEST_F(program, operates_a_queue) {
  start_hub();
  const auto sent = run({"send", "g", "c", "--ids"}, "{}");
  ASSERT_EQ(sent.code, 0) << sent.err;
  const auto id = sent.out.substr(0, sent.out.find(' '));
  EXPECT_THAT(run({"pause", "g", "c"}).out, HasSubstr("g/c paused, 1 waiting"));
  EXPECT_THAT(run({"status"}).out, HasSubstr("paused"));
  EXPECT_THAT(run({"resume", "g", "c"}).out, HasSubstr("g/c running, 1 waiting"));
  const auto slip = run({"pause", "g", "d"});
  EXPECT_EQ(slip.code, 5);
  EXPECT_THAT(slip.err, HasSubstr("unknown_connection"));
  EXPECT_EQ(run({"dead", "list", "g", "c"}).out, "no dead letters\n");
  EXPECT_EQ(run({"dead", "redrive", "g", "c"}).code, 2);
  EXPECT_EQ(run({"dead", "redrive", "g", "c", "--all"}).out, "redriven=0\n");
  EXPECT_EQ(run({"explain", "m1-99"}).code, 5);
  EXPECT_EQ(run({"explain", "x"}).code, 2);
  const auto told = run({"explain", id});
  EXPECT_EQ(told.code, 0) << told.err;
  EXPECT_THAT(told.out, AllOf(HasSubstr("message " + id + ": ready"), HasSubstr("queued")));
}

TEST_F(program, says_that_a_call_did_not_run_with_7) {
  start_hub();
  ASSERT_EQ(run({"send", "g", "c"}, "{}").code, 0);
  const auto r = run({"call", "g", "c", "{\"a\":1}", "--wait", "1"});
  EXPECT_EQ(r.code, 7) << r.err;
  EXPECT_THAT(r.err, HasSubstr("no_agent_up"));
}

TEST_F(program, is_refused_with_4_under_a_wrong_token_and_never_shows_one) {
  start_hub();
  const auto token = dir_.write("token", "sp_wrong\n");
  ::chmod(token.c_str(), 0600);
  const auto refused = run({"status", "--token", "file:" + token});
  EXPECT_EQ(refused.code, 4);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("bad_token"), Not(HasSubstr("sp_wrong"))));
  const auto shown = run({"status", "--token", "sp_wrong"});
  EXPECT_EQ(shown.code, 2);
  EXPECT_THAT(shown.err, AllOf(HasSubstr("list of processes"), Not(HasSubstr("sp_wrong"))));
}

TEST_F(program, a_token_made_beside_a_running_hub_works_at_once) {
  start_hub();
  const auto made = run({"token", "new", "--data", dir_ / "hub", "--role", "producer", "--group", "g"});
  ASSERT_EQ(made.code, 0) << made.err;
  const auto token = dir_.write("token", made.out);
  ::chmod(token.c_str(), 0600);
  EXPECT_EQ(run({"send", "g", "c", "--token", "file:" + token}, "{}").code, 0);
  const auto other = run({"send", "h", "c", "--token", "file:" + token}, "{}");
  EXPECT_EQ(other.code, 4);
  EXPECT_THAT(other.err, HasSubstr("wrong_group"));
  EXPECT_THAT(run({"status", "--token", "file:" + token}).err, HasSubstr("wrong_role"));
}

TEST_F(program, trusts_a_hub_whose_authority_it_was_given_and_no_other) {
  certificate_authority authority(dir_.path());
  const auto files = authority.issue();
  const auto data = dir_ / "hub";
  const auto made = run({"token", "new", "--data", data, "--role", "admin", "--group", "*"});
  ASSERT_EQ(made.code, 0) << made.err;
  const auto config =
    dir_.write("hub.toml", "[hub]\nlisten = \"127.0.0.1:0\"\ndata_dir = \"" + data + "\"\n[hub.tls]\ncert_file = \"" + files.cert
                             + "\"\nkey_file = \"" + files.key + "\"\n");
  process hub({.argv = {SALLYPORT_BINARY, "hub", "--config", config},
               .env = {},
               .stdout_file = dir_ / "tls.out",
               .stderr_file = dir_ / "tls.err",
               .stdin_file = {},
               .folder = {}});
  const auto url = hub.wait_for_line("https://");
  ASSERT_TRUE(url.has_value()) << hub.err();
  const std::vector<std::string> token{"SALLYPORT_TOKEN=" + made.out.substr(0, made.out.size() - 1)};
  const auto trusted = run({"status", "--hub", *url, "--ca", authority.ca_file()}, {}, token);
  EXPECT_EQ(trusted.code, 0) << trusted.err;
  const auto unknown = run({"status", "--hub", *url}, {}, token);
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("tls_refused"), HasSubstr("--ca")));
  // Connections of a hub that is not for development are made by an administrator or an agent, not by whoever sends.
  EXPECT_EQ(run({"send", "g", "c", "--hub", *url, "--ca", authority.ca_file()}, "{}", token).code, 5);
}

TEST_F(program, sending_goes_on_through_a_restart_of_the_hub) {
  start_hub();
  std::string records;
  for (int i = 0; i < 300; ++i)
    records += "{\"n\":" + std::to_string(i) + "}\n";
  process sending({.argv = {SALLYPORT_BINARY, "send", "g", "c", "--rate", "200", "--patience", "60"},
                   .env = {"SALLYPORT_HUB=" + hub_, "SALLYPORT_TOKEN=dev"},
                   .stdout_file = dir_ / "send.out",
                   .stderr_file = dir_ / "send.err",
                   .stdin_file = dir_.write("records", records),
                   .folder = {}});
  // Killed while it sends, started again on the same port.
  ASSERT_TRUE(hub_process_->stop(SIGKILL).has_value());
  const auto port = hub_.substr(hub_.rfind(':') + 1);
  ASSERT_TRUE(sending.wait_for_line("trying again").has_value()) << sending.err();
  hub_process_.emplace(
    process_options{.argv = {SALLYPORT_BINARY, "hub", "--dev", "--listen", "127.0.0.1:" + port, "--data", dir_ / "hub"},
                    .env = {},
                    .stdout_file = dir_ / "hub.out",
                    .stderr_file = dir_ / "hub.err",
                    .stdin_file = {},
                    .folder = {}});
  const auto end = sending.wait();
  ASSERT_TRUE(end.has_value()) << sending.err();
  EXPECT_EQ(end->code, 0) << sending.err();
  EXPECT_THAT(sending.out(), StartsWith("sent=300 "));
  EXPECT_THAT(run({"status", "--group", "g"}).out, HasSubstr("no agent    300"));
}

TEST_F(program, a_hub_ends_well_on_sigterm) {
  start_hub();
  const auto end = hub_process_->stop(SIGTERM);
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->code, 0);
  EXPECT_THAT(hub_process_->err(), AllOf(HasSubstr("level=info event=hub_ready"), HasSubstr("event=hub_stopping")));
}

// ---- the agent -------------------------------------------------------------------------------------------------------

namespace {

class agent_program : public program {
protected:
  std::string agent_file(const std::string& name, const std::string& connection) {
    const auto token = dir_.write("dev-token", "dev\n");
    ::chmod(token.c_str(), 0600);
    return dir_.write(name + ".toml", "[agent]\ngroup = \"g\"\nname = \"" + name + "\"\nstate_dir = \""
                                        + (dir_ / (name + ".state")) + "\"\nhubs = [\"" + hub_ + "\"]\ntoken = \"file:" + token
                                        + "\"\n[[connection]]\nname = \"c\"\n" + connection);
  }
  process start_agent(const std::string& file, std::vector<std::string> env = {}) {
    return process({.argv = {SALLYPORT_BINARY, "agent", "--config", file},
                    .env = std::move(env),
                    .stdout_file = file + ".out",
                    .stderr_file = file + ".err",
                    .stdin_file = {},
                    .folder = {}});
  }
  // Up as the hub sees it: only then are calls let through.
  bool is_up() {
    return eventually([this] { return run({"status"}).out.find("c           up") != std::string::npos; });
  }
  const std::string null_connection = "adapter = \"null\"\n[connection.null]\nresult = \"{\\\"ok\\\":true}\"\n";
};

} // namespace

TEST_F(agent_program, does_what_is_sent_and_answers_calls) {
  start_hub();
  auto agent = start_agent(agent_file("a", null_connection));
  ASSERT_TRUE(is_up()) << agent.err();
  const auto answer = run({"call", "g", "c", "{\"a\":1}", "--wait", "20"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.out, "{\"ok\":true}\n");
  ASSERT_EQ(run({"send", "g", "c"}, "{}\n{}\n").code, 0);
  EXPECT_TRUE(eventually([this] { return run({"status", "--json"}).out.find("\"settled_total\":3") != std::string::npos; }));
  EXPECT_THAT(run({"status"}).out, AllOf(HasSubstr("1 of 1 agents up"), HasSubstr("c           up"), HasSubstr("idempotent")));
}

TEST_F(agent_program, ends_well_on_sigterm_and_logs_keys_and_values) {
  start_hub();
  auto agent = start_agent(agent_file("a", null_connection));
  ASSERT_TRUE(is_up()) << agent.err();
  EXPECT_EQ(agent.stop(SIGTERM), (ending{.code = 0, .signal = 0})) << agent.err();
  EXPECT_THAT(agent.err(), AllOf(HasSubstr("level=info msg=\"connected: "), HasSubstr("event=agent_ended reason=drained")));
  EXPECT_THAT(run({"status"}).out, HasSubstr("0 of 1 agents up"));
}

TEST_F(agent_program, a_second_sigterm_ends_a_drain_at_once) {
  start_hub();
  auto agent = start_agent(agent_file("a", "adapter = \"null\"\n[connection.null]\nlatency_ms = 25000\n"));
  ASSERT_TRUE(is_up()) << agent.err();
  ASSERT_EQ(run({"send", "g", "c"}, "{}").code, 0);
  ASSERT_TRUE(eventually([this] { return run({"status", "--json"}).out.find("\"granted_total\":1") != std::string::npos; }));
  agent.signal(SIGTERM);
  ASSERT_TRUE(agent.wait_for_line("draining").has_value()) << agent.err();
  const auto end = agent.stop(SIGTERM, std::chrono::seconds(20));
  ASSERT_TRUE(end.has_value()) << agent.err();
  EXPECT_EQ(end->code, 0);
}

TEST_F(agent_program, that_was_replaced_by_a_newer_process_ends_with_70) {
  start_hub();
  auto first = start_agent(agent_file("a", null_connection));
  ASSERT_TRUE(is_up()) << first.err();
  // A copy of the installation, as a cloned machine would be: same agent, later start.
  std::filesystem::copy(dir_ / "a.state", dir_ / "b.state", std::filesystem::copy_options::recursive);
  auto file = content_of(dir_ / "a.toml");
  file.replace(file.find("a.state"), 7, "b.state");
  auto second = start_agent(dir_.write("b.toml", file));
  const auto end = first.wait(std::chrono::seconds(60));
  ASSERT_TRUE(end.has_value()) << first.err();
  EXPECT_EQ(end->code, 70) << first.err();
  EXPECT_TRUE(second.running());
}

TEST_F(agent_program, a_second_process_on_the_same_state_directory_is_refused) {
  start_hub();
  const auto file = agent_file("a", null_connection);
  auto first = start_agent(file);
  ASSERT_TRUE(is_up()) << first.err();
  const auto second = run({"agent", "--config", file});
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.err, HasSubstr("state_locked"));
}

TEST_F(agent_program, is_not_started_with_a_file_with_faults) {
  hub_ = "http://127.0.0.1:1";
  const auto r = run({"agent", "--config", agent_file("a", "adapter = \"nul\"\n")});
  EXPECT_EQ(r.code, 78);
  EXPECT_THAT(r.err, HasSubstr("did you mean null?"));
}
