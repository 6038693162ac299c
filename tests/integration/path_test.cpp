// The whole path with nothing pretended: TLS, a proxy that asks for a password, PostgreSQL.
#include "tests/integration/world.hpp"
#include "tests/support/postgres.hpp"
#include "tests/support/squid.hpp"

#include <fmt/format.h>

namespace sallyport::testing {

namespace {

std::string postgres_connection(const postgres_server& server, const std::string& database, const std::string& password_file) {
  return fmt::format(R"toml([[connection]]
name = "erp"
adapter = "sql"
[connection.sql]
backend = "postgresql"
host = "127.0.0.1"
port = {}
database = "{}"
user = "{}"
password = "file:{}"
default_statement = "add"
statement_by_type = {{ "read" = "count" }}
[connection.sql.statement.add]
text = "INSERT INTO orders (n) VALUES (:n)"
parameters = {{ n = "data.n" }}
[connection.sql.statement.count]
text = "SELECT count(*) AS orders FROM orders"
result = "row"
read_only = true
)toml",
                     server.port(), database, server.user(), password_file);
}

std::string write_secret(const world& w, const std::string& name, const std::string& text) {
  const auto path = w.folder.write(name, text);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return path;
}

} // namespace

TEST(path, events_go_over_tls_through_a_proxy_with_a_password_into_postgresql_once) {
  postgres_server server;
  const auto database = server.create_database();
  server.run(database, "CREATE TABLE orders (n integer)"); // No unique constraint: a doubled effect would show.
  squid proxy;
  world w{{.tls = true}};
  const auto erp = postgres_connection(server, database, write_secret(w, "erp-password", server.password()));
  const auto through = fmt::format("[agent.proxy]\nurl = \"{}\"\nuser = \"plant-7\"\npassword = \"file:{}\"\n", proxy.url(),
                                   write_secret(w, "proxy-password", "s3cret: with colon"));
  for (auto* name : {"a", "b"})
    w.start_agent(name, erp, {}, through);
  w.wait_until("both agents reach the database", [&] {
    int up = 0;
    for (auto& a : w.group().agents)
      up += a.live && !a.connections.empty() && a.connections[0].state == wire::reach::up;
    return up == 2;
  });
  w.enqueue("erp", 0, 1'000);
  w.kill_agent("a");
  w.start_agent("a", erp, {}, through);
  w.enqueue("erp", 500, 1'500); // Half of it again.
  w.wait_until("all settled", [&] { return w.drained("erp"); });
  EXPECT_EQ(server.run(database, "SELECT count(*) || ' ' || count(DISTINCT n) FROM orders"), "1500 1500");

  const auto asked =
    w.ask("POST", "/v1/groups/plant/connections/erp/calls",
          R"({"specversion":"1.0","id":"q1","source":"/test","type":"read","data":{}})", "application/cloudevents+json");
  EXPECT_EQ(asked.status, 200) << asked.body;
  EXPECT_NE(asked.body.find("1500"), std::string::npos) << asked.body;

  w.agent("a").stop(SIGTERM), w.agent("b").stop(SIGTERM); // squid writes a line when a tunnel ends.
  w.wait_until("the proxy's log to tell of tunnels",
               [&] { return proxy.access_log().find("CONNECT localhost:") != std::string::npos; });
  EXPECT_EQ(w.agent("b").err().find("s3cret"), std::string::npos) << "secrets stay out of logs";
  EXPECT_EQ(w.agent("b").err().find(server.password()), std::string::npos);
}

TEST(path, a_database_that_is_down_burns_no_attempts) {
  postgres_server server;
  const auto database = server.create_database();
  server.run(database, "CREATE TABLE orders (n integer)");
  world w{{.policy = "backoff_min_ms = 100\nbackoff_max_ms = 500\n"}};
  w.start_agent("a", postgres_connection(server, database, write_secret(w, "erp-password", server.password())));
  w.wait_until("the agent reaches the database", [&] {
    const auto g = w.group();
    return !g.agents.empty() && !g.agents[0].connections.empty() && g.agents[0].connections[0].state == wire::reach::up;
  });
  server.stop();
  const auto ids = w.enqueue("erp", 0, 50);
  w.wait_until("somebody to notice", [&] {
    const auto g = w.group();
    return w.connection("erp").target_state != "closed" || g.agents[0].connections[0].state == wire::reach::down;
  });
  EXPECT_EQ(w.connection("erp").dead, 0u);
  server.start();
  w.wait_until("all settled", [&] { return w.drained("erp"); });
  for (auto id : ids) {
    const auto m = w.message(id);
    EXPECT_EQ(m.state, "settled");
    EXPECT_EQ(m.attempts, 0u) << "none failed by its own fault";
  }
  EXPECT_EQ(server.run(database, "SELECT count(*) || ' ' || count(DISTINCT n) FROM orders"), "50 50");
}

TEST(path, a_hub_with_a_wrong_certificate_is_refused_by_name_and_issuer) {
  world w{{.tls = true}};
  temp_dir elsewhere;
  certificate_authority other(elsewhere.path(), "Somebody Else's CA");
  auto& a = w.start_agent("a", "[[connection]]\nname = \"sink\"\nadapter = \"null\"\n", {}, "");
  w.wait_until("the right authority is accepted", [&] { return w.is_live("a"); });
  a.stop(SIGTERM);
  // Told to stop before it has heard that its session is open, it cannot close it, and the hub waits for its end.
  w.wait_until("it has left", [&] { return !w.is_live("a"); });
  // The same agent, trusting somebody else.
  auto config = content_of(w.folder / "a.toml");
  const auto at = config.find(w.ca_file());
  ASSERT_NE(at, std::string::npos);
  config.replace(at, w.ca_file().size(), other.ca_file());
  process stranger{{{SALLYPORT_BINARY, "agent", "--config", w.folder.write("stranger.toml", config)},
                    {"AGENT_TOKEN=x"},
                    w.folder / "stranger-out",
                    w.folder / "stranger-log",
                    {},
                    {}}};
  w.wait_until("it says whom it saw", [&] { return stranger.err().find("Sallyport Test CA") != std::string::npos; });
  EXPECT_NE(stranger.err().find("localhost"), std::string::npos) << stranger.err();
  EXPECT_FALSE(w.is_live("a"));
}

} // namespace sallyport::testing
