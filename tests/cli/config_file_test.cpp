#include "cli/config_file.hpp"

#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

using namespace sallyport;
using namespace sallyport::cli;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

struct config_files : ::testing::Test {
  const adapter_kinds kinds = adapter_kinds::builtin();
  const sallyport::testing::temp_dir dir;

  std::string agent(const std::string& connections) {
    const auto token = dir.write("token", "sp_secret\n");
    ::chmod(token.c_str(), 0600);
    return "[agent]\ngroup = \"g\"\nname = \"a\"\nstate_dir = \"/s\"\nhubs = [\"https://h\"]\ntoken = \"file:" + token + "\"\n"
           + connections;
  }
  check_report check(const std::string& text) { return check_text(text, "f.toml", kinds); }
};

} // namespace

TEST_F(config_files, an_agents_file_in_order_is_summed_up_in_one_line) {
  const auto report =
    check(agent("[[connection]]\nname = \"db\"\nadapter = \"sql\"\n[connection.sql]\npath = \"/tmp/x.db\"\n"
                "default_statement = \"add\"\n[connection.sql.statement.add]\ntext = \"INSERT INTO t VALUES (:a)\"\n"
                "parameters = { a = \"data.a\" }\n"));
  EXPECT_TRUE(report.usable) << report.text;
  EXPECT_EQ(report.text, "f.toml: OK: agent a of group g, 1 connection: db (sql, exactly_once)\n");
}

TEST_F(config_files, a_hubs_file_is_known_by_its_content) {
  EXPECT_THAT(check("[hub]\ndata_dir = \"/d\"\n").text, HasSubstr("f.toml:1: hub.tls.cert_file: is missing"));
  EXPECT_THAT(check("x = 1\n").text, HasSubstr("is neither a hub's file nor an agent's"));
}

TEST_F(config_files, what_an_adapter_finds_comes_with_everything_else_at_its_line) {
  const auto report =
    check(agent("lanes = 99\n[[connection]]\nname = \"db\"\nadapter = \"sql\"\n[connection.sql]\npath = \"relative\"\n"
                "default_statement = \"none\"\nworkerz = 1\n[connection.sql.statement.drop]\ntext = \"DROP TABLE t\"\n"));
  EXPECT_FALSE(report.usable);
  EXPECT_THAT(report.text, HasSubstr("f.toml:7: agent.lanes: 99 is out of range"));
  EXPECT_THAT(report.text, HasSubstr("f.toml:12: connection.sql.path: path must be the absolute path"));
  EXPECT_THAT(report.text, HasSubstr("f.toml:13: connection.sql.default_statement: default_statement 'none' does not exist"));
  EXPECT_THAT(report.text, HasSubstr("f.toml:14: connection.sql.workerz: there is no such setting; did you mean workers?"));
  EXPECT_THAT(report.text, HasSubstr("f.toml:15: connection.sql.statement.drop: statement 'drop'"));
}

TEST_F(config_files, no_message_holds_a_secret) {
  const auto report =
    check("[agent]\ntoken = \"sp_secret\"\n[agent.proxy]\nurl = \"http://user:hunter2@proxy:3128\"\npassword = \"hunter2\"\n"
          "[[connection]]\nname = \"db\"\nadapter = \"sql\"\n[connection.sql]\npassword = \"hunter2\"\n");
  EXPECT_FALSE(report.usable);
  EXPECT_THAT(report.text, AllOf(Not(HasSubstr("hunter2")), Not(HasSubstr("sp_secret"))));
}

TEST_F(config_files, warnings_do_not_make_a_file_unusable) {
  auto text = agent("[[connection]]\nname = \"n\"\nadapter = \"null\"\n");
  ::chmod((dir / "token").c_str(), 0640);
  const auto report = check(text);
  EXPECT_TRUE(report.usable);
  EXPECT_THAT(report.text, HasSubstr("f.toml:6: warning: agent.token: its group may read"));
}

TEST_F(config_files, the_examples_need_only_what_they_name) {
  const auto report = check(example_agent(kinds));
  std::string rest;
  // The token's file, and whatever paths of this machine the adapters look for.
  EXPECT_THAT(report.text, HasSubstr("/etc/sallyport/token"));
  EXPECT_THAT(report.text, Not(HasSubstr("there is no")));
  EXPECT_THAT(report.text, Not(HasSubstr("is missing")));
  EXPECT_THAT(report.text, Not(HasSubstr("statement 'example'")));
  EXPECT_THAT(check(example_hub()).text, HasSubstr("/etc/sallyport/hub.crt"));
}

TEST_F(config_files, an_embedders_kind_is_read_and_described_like_the_others) {
  struct plc {
    std::uint32_t rack = 0;
  };
  static bool made;
  made = false;
  const config::options_of<plc> options("connection.plc",
                                        {config::section<plc>("connection.plc", "Talks to a PLC."),
                                         config::option(&plc::rack, "connection.plc.rack", "Its rack.", {.max = 7})});
  auto more = adapter_kinds::builtin();
  more.add(kind_from<plc>(
    "plc", "Talks to a PLC.", options, [](const plc&) { return result<void>{}; },
    [](const plc& s) {
      made = s.rack == 3;
      return adapters::factory{{.kind = "plc", .fingerprint = "plc:3"}, {}};
    }));
  const auto report =
    check_text(agent("[[connection]]\nname = \"p\"\nadapter = \"plc\"\n[connection.plc]\nrack = 3\n"), "f.toml", more);
  EXPECT_TRUE(report.usable) << report.text;
  EXPECT_TRUE(made);
  EXPECT_THAT(reference(more), HasSubstr("### `[connection.plc]`"));
}

TEST_F(config_files, the_manual_is_what_the_program_says) {
  EXPECT_EQ(sallyport::testing::content_of(SOURCE_ROOT "/docs/configuration.md"), reference(kinds))
    << "run: sallyport config reference > docs/configuration.md";
}
