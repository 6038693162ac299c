// Groups of agents, each a process: shares, deaths, drains, and what the hub's history says of them.
#include "tests/integration/world.hpp"
#include "tests/support/tls_server.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <atomic>
#include <future>
#include <set>

namespace sallyport::testing {

namespace {

std::string null_connection(int latency_ms, int batch = 16, int credit = 64) {
  return fmt::format(
    "[[connection]]\nname = \"sink\"\nadapter = \"null\"\ncredit = {}\n[connection.null]\nlatency_ms = {}\nbatch_max = {}\n",
    credit, latency_ms, batch);
}

/// One SQLite file that all agents write, without a unique constraint: a doubled effect shows.
std::string sqlite_connection(const std::string& path) {
  return fmt::format(R"toml([[connection]]
name = "db"
adapter = "sql"
[connection.sql]
backend = "sqlite"
path = "{}"
create = true
default_statement = "add"
batch_max = 4
setup = ["PRAGMA journal_mode = WAL", "CREATE TABLE IF NOT EXISTS effects (n INTEGER)"]
[connection.sql.statement.add]
text = "INSERT INTO effects (n) VALUES (:n)"
parameters = {{ n = "data.n" }}
)toml",
                     path);
}

std::pair<int, int> rows_and_distinct(const std::string& path) {
  sqlite3* db = nullptr;
  std::pair<int, int> counted{-1, -1};
  if (sqlite3_open(path.c_str(), &db) == SQLITE_OK) {
    sqlite3_busy_timeout(db, 5000);
    sqlite3_stmt* s = nullptr;
    if (sqlite3_prepare_v2(db, "SELECT count(*), count(DISTINCT n) FROM effects", -1, &s, nullptr) == SQLITE_OK
        && sqlite3_step(s) == SQLITE_ROW)
      counted = {sqlite3_column_int(s, 0), sqlite3_column_int(s, 1)};
    sqlite3_finalize(s);
  }
  sqlite3_close(db);
  return counted;
}

void share_the_work(int agents, int messages) {
  world w;
  for (int i = 0; i < agents; ++i)
    w.start_agent(fmt::format("agent-{}", i), null_connection(10, 8, 16));
  w.wait_until("all agents live", [&] {
    auto live = 0;
    const auto g = w.group();
    for (auto& a : g.agents)
      live += a.live && !a.connections.empty() && a.connections[0].state == wire::reach::up;
    return live == agents;
  });
  w.enqueue("sink", 0, messages);
  w.wait_until("all settled", [&] { return w.drained("sink"); });
  std::uint64_t total = 0;
  for (auto& a : w.group().agents) {
    EXPECT_GE(a.settled_total * 100, static_cast<std::uint64_t>(messages)) << a.name.value << " settled " << a.settled_total;
    EXPECT_EQ(a.lost_total, 0u);
    total += a.settled_total;
  }
  EXPECT_EQ(total, static_cast<std::uint64_t>(messages));
}

} // namespace

TEST(group, three_agents_share_the_work) {
  share_the_work(3, 3'000);
}

TEST(group, twenty_agents_share_the_work) {
  share_the_work(20, 6'000);
}

TEST(group, agents_and_hub_are_killed_under_load_and_every_message_takes_effect_once) {
  world w;
  const auto db = w.folder / "target.db";
  for (auto* name : {"a", "b", "c"})
    w.start_agent(name, sqlite_connection(db));
  w.wait_until("the connection", [&] { return w.ask("GET", "/v1/groups/plant/connections/db").status == 200; });
  int messages = 0;
  std::vector<message_id> ids;
  const auto feed = [&] {
    auto more = w.enqueue("db", messages, messages + 500);
    ids.insert(ids.end(), more.begin(), more.end());
    messages += 500;
  };
  const auto held_by = [&](const std::string& name) {
    for (auto& a : w.group().agents)
      if (a.name.value == name)
        return a.held;
    return std::uint64_t{0};
  };
  for (int round = 0; round < 8; ++round) {
    feed();
    const std::string victim(1, static_cast<char>('a' + round % 3));
    // Each dies with work in hand; the sender goes on, and repeats what was not acknowledged.
    w.wait_until("the victim to hold work", [&] {
      if (w.drained("db"))
        feed();
      return held_by(victim) > 0;
    });
    if (round % 4 == 3) {
      w.kill_hub();
      w.start_hub();
    } else {
      w.kill_agent(victim);
      w.start_agent(victim, sqlite_connection(db));
    }
  }
  w.wait_until("all settled", [&] { return w.drained("db"); });
  const auto c = w.connection("db");
  EXPECT_EQ(c.dead, 0u);
  EXPECT_EQ(c.retained, static_cast<std::uint64_t>(messages));
  EXPECT_EQ(rows_and_distinct(db), (std::pair{messages, messages}));
  std::size_t lost = 0;
  for (auto id : ids)
    lost += w.message(id).losses;
  EXPECT_GT(lost, 0u) << "else nothing was in hand when they died";
}

TEST(group, an_agent_told_to_stop_under_load_finishes_what_it_holds) {
  world w;
  w.start_agent("stays", null_connection(5));
  w.start_agent("leaves", null_connection(5));
  w.wait_until("both live", [&] { return w.is_live("stays") && w.is_live("leaves"); });
  std::vector<message_id> ids;
  for (int round = 0; round < 5; ++round) {
    auto more = w.enqueue("sink", round * 400, (round + 1) * 400);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  w.wait_until("the leaving one to hold work", [&] {
    for (auto& a : w.group().agents)
      if (a.name.value == "leaves")
        return a.held > 0;
    return false;
  });
  auto end = w.agent("leaves").stop(SIGTERM);
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->code, 0) << w.agent("leaves").err();
  EXPECT_FALSE(w.is_live("leaves")) << "its session is closed, not left to expire";
  w.wait_until("all settled", [&] { return w.drained("sink"); });
  std::size_t by_leaver = 0;
  for (auto id : ids) {
    const auto m = w.message(id);
    EXPECT_EQ(m.state, "settled");
    EXPECT_EQ(count(m, "lost"), 0u);
    EXPECT_EQ(count(m, "granted"), 1u) << to_string(id);
    by_leaver += m.history.size() > 1 && m.history[1].agent == "leaves";
  }
  EXPECT_GT(by_leaver, 0u);
}

TEST(group, a_restarted_agent_works_again_before_its_old_session_could_have_expired) {
  world w{{.session_ttl = milliseconds{20'000}}};
  w.start_agent("a", null_connection(60'000, 1, 2)); // Holds what it is given.
  auto held = w.enqueue("sink", 0, 1).front();
  w.wait_until("the first grant", [&] { return w.message(held).state == "granted"; });
  w.kill_agent("a");
  w.start_agent("a", null_connection(0));
  w.wait_until("it is settled by the next life", [&] { return w.message(held).state == "settled"; });
  const auto m = w.message(held);
  ASSERT_EQ(count(m, "granted"), 2u);
  EXPECT_EQ(count(m, "lost"), 1u);
  std::vector<wall_time> granted;
  std::set<std::string> sessions;
  for (auto& e : m.history)
    if (e.what == "granted")
      granted.push_back(e.at), sessions.insert(e.session);
  EXPECT_EQ(sessions.size(), 2u);
  EXPECT_LT(granted[1] - granted[0], milliseconds{20'000}) << "the old session had not ended by itself";
}

TEST(group, a_paused_agent_that_wakes_up_settles_nothing_that_moved_on) {
  // The local system: keeps its first caller waiting until it may go on, and answers everybody else at once.
  std::atomic<int> callers{0};
  std::promise<void> go_on;
  const auto may_go_on = go_on.get_future().share();
  tls_server shop({}, [&](peer& p) {
    while (p.read_request()) {
      if (callers++ == 0)
        may_go_on.wait_for(std::chrono::seconds(60));
      if (!p.write(http_ok()))
        return;
    }
  });
  const auto connection = fmt::format("[[connection]]\nname = \"shop\"\nadapter = \"http\"\non_lost_lease = \"finish\"\n"
                                      "[connection.http]\nurl = \"http://127.0.0.1:{}\"\npath = \"/orders\"\n",
                                      shop.port());
  world w{{.session_ttl = milliseconds{1'500}}};
  w.start_agent("sleeper", connection);
  w.wait_until("the connection", [&] { return w.ask("GET", "/v1/groups/plant/connections/shop").status == 200; });
  const auto id = w.enqueue("shop", 0, 1).front();
  w.wait_until("the attempt to be under way", [&] { return callers == 1; });
  w.agent("sleeper").signal(SIGSTOP);
  w.start_agent("other", connection);
  w.wait_until("another agent settles it", [&] { return w.message(id).state == "settled"; });
  go_on.set_value();
  w.agent("sleeper").signal(SIGCONT);
  w.wait_until("the sleeper reports too late", [&] { return count(w.message(id), "stale_settle") == 1; });
  const auto m = w.message(id);
  EXPECT_EQ(count(m, "settled"), 1u);
  for (auto& e : m.history)
    EXPECT_TRUE(e.what != "settled" || e.agent == "other");
  w.wait_until("the sleeper is back", [&] { return w.is_live("sleeper"); });
}

} // namespace sallyport::testing
