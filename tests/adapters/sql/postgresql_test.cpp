#include "adapters/api/conformance.hpp"
#include "tests/adapters/sql/cutting_proxy.hpp"
#include "tests/adapters/sql/support.hpp"
#include "tests/support/postgres.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

namespace sallyport::adapters::sql {
namespace {

using sallyport::testing::postgres_client;
using sallyport::testing::postgres_server;
using ::testing::HasSubstr;

/// One server for all tests of this program; a database for each.
postgres_server& server() {
  static postgres_server made;
  return made;
}

settings fresh_settings() {
  auto s = name_settings(backend_kind::postgresql);
  s.host = "127.0.0.1";
  s.port = server().port();
  s.user = server().user();
  s.password = server().password();
  s.database = server().create_database();
  server().run(s.database, create_names);
  return s;
}

class postgresql_target final : public conformance_target {
public:
  settings s = [] {
    auto made = fresh_settings();
    made.statements["sleep"] = {"INSERT INTO names (name) SELECT 'slept' FROM pg_sleep(60)", {}, {}, {}};
    made.statement_by_type["slow"] = "sleep";
    return made;
  }();

  factory make_factory() override { return sql::make_factory(s); }
  std::string good_type() const override { return "tell"; }
  std::string good_data(int n) const override { return name_data(n); }
  std::string bad_data() const override { return name_data(0, "bad"); }
  std::string slow_type() const override { return "slow"; }
  std::string slow_data() const override { return "{}"; }
  std::int64_t effects() const override { return std::stoll(server().run(s.database, "SELECT count(*) FROM names")); }
  factory make_unreachable() override {
    auto away = s;
    away.database = "none";
    return sql::make_factory(away);
  }
};

class postgresql : public ::testing::Test {
protected:
  std::unique_ptr<adapter> make() const { return make_factory(s).make(); }
  std::string ask(const std::string& sql) const { return server().run(s.database, sql); }

  settings s = fresh_settings();
};

TEST_F(postgresql, a_repeated_message_gets_its_first_result_and_does_nothing) {
  const auto a = make();
  const auto first = perform_one(*a, name_job(1, "tell"));
  EXPECT_EQ(first.result, R"({"code":"c1","n":1})") << first.error;
  EXPECT_EQ(perform_one(*a, make_job(1, "tell", name_data(99), 2)).result, first.result);
  EXPECT_EQ(perform_one(*make(), make_job(1, "tell", name_data(99), 3)).result, first.result);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
  EXPECT_EQ(ask("SELECT concat_ws(' ', queue, source, id, message_epoch, message_serial, fence) FROM sallyport_inbox"),
            "group/connection /conformance e1 1 1 1-101");
}

TEST_F(postgresql, a_large_batch_is_one_transaction) {
  s.batch_max = 256;
  std::vector<job> jobs;
  for (std::uint64_t n = 1; n <= 256; ++n)
    jobs.push_back(name_job(n, n % 2 ? "add" : "tell"));
  const auto a = make();
  const auto outcomes = a->perform(jobs);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    ASSERT_EQ(outcomes[i].what, outcome::kind::done) << outcomes[i].error;
    EXPECT_EQ(outcomes[i].result.empty(), i % 2 == 0);
  }
  EXPECT_EQ(outcomes[255].result, R"({"code":"c256","n":256})");
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "256");
  EXPECT_EQ(ask("SELECT count(DISTINCT xmin::text) FROM names"), "1");
  const auto again = a->perform(jobs);
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    EXPECT_EQ(again[i].result, outcomes[i].result);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "256");
}

TEST_F(postgresql, a_batch_of_new_and_repeated_messages_does_the_new_ones) {
  const auto a = make();
  a->perform({name_job(2, "tell"), name_job(4)});
  const auto outcomes =
    a->perform({name_job(1, "tell"), make_job(2, "tell", name_data(50), 2), name_job(3), name_job(4, "add", 2)});
  EXPECT_EQ(outcomes[0].result, R"({"code":"c1","n":1})");
  EXPECT_EQ(outcomes[1].result, R"({"code":"c2","n":2})");
  EXPECT_EQ(outcomes[2].what, outcome::kind::done);
  EXPECT_EQ(outcomes[3].what, outcome::kind::done);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "4");
}

TEST_F(postgresql, a_batch_costs_two_round_trips_and_the_inbox_is_asked_first_for_a_while_after_a_repetition) {
  cutting_proxy proxy{server().port()};
  s.port = proxy.port();
  const auto a = make();
  a->perform({name_job(1), name_job(30)}); // Connects, prepares, and looks at the table.
  const auto trips_of = [&](const std::vector<job>& jobs) {
    const auto before = proxy.round_trips();
    for (const auto& o : a->perform(jobs))
      EXPECT_EQ(o.what, outcome::kind::done) << o.error;
    return proxy.round_trips() - before;
  };
  EXPECT_EQ(trips_of({name_job(2), name_job(3), name_job(4)}), 2);
  EXPECT_EQ(trips_of({name_job(3, "add", 2), name_job(5)}), 4) << "refused; asked; recalled; done";
  EXPECT_EQ(trips_of({name_job(5, "add", 2), name_job(6)}), 3) << "asked; recalled; done";
  for (std::uint64_t n = 7; n < 22; ++n)
    EXPECT_EQ(trips_of({name_job(n)}), 2);
  EXPECT_EQ(trips_of({name_job(21, "add", 2), name_job(22)}), 4) << "it has been quiet: refused again";
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "23");
  EXPECT_EQ(ask("SELECT count(*) FROM sallyport_inbox"), "23");
}

// Rows of one command have one cmin.
TEST_F(postgresql, a_batch_of_plain_inserts_is_one_command_and_what_somebody_would_notice_is_done_one_by_one) {
  ask("CREATE TABLE plain (n serial, id text, code text, size bigint, price numeric, ok boolean, at timestamptz, more jsonb, ref "
      "uuid)");
  ask("CREATE TABLE watched (id text)");
  ask("CREATE TABLE seen (id text)");
  ask("CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN INSERT INTO seen SELECT count(*) FROM watched; RETURN NULL; END';"
      "CREATE TRIGGER see AFTER INSERT ON watched FOR EACH STATEMENT EXECUTE FUNCTION see()");
  ask("CREATE TABLE listed (tags text[], id text)");
  const std::map<std::string, std::string> all{
    {"id", "id"},      {"code", "data.code"}, {"size", "data.size"}, {"price", "data.price"},
    {"ok", "data.ok"}, {"at", "data.at"},     {"more", "data.more"}, {"ref", "data.ref"}};
  s.statements["plain"] = {"INSERT INTO plain (id, code, size, price, ok, at, more, ref)"
                           " VALUES (:id, :code, :size, :price, :ok, :at, :more::jsonb, :ref)",
                           result_kind::none, false, all};
  s.statements["watched"] = {"INSERT INTO watched (id) VALUES (:id)", result_kind::none, false, {{"id", "id"}}};
  s.statements["listed"] = {
    "INSERT INTO listed (tags, id) VALUES (:tags, :id)", result_kind::none, false, {{"tags", "data.tags"}, {"id", "id"}}};
  for (const auto* name : {"plain", "watched", "listed"})
    s.statement_by_type[name] = name;
  s.batch_max = 256;
  const auto a = make();
  const auto perform = [&](const std::vector<job>& jobs) {
    for (const auto& o : a->perform(jobs))
      EXPECT_EQ(o.what, outcome::kind::done) << o.error;
  };
  const std::string odd = R"({"code":"a \"b\" \\ {c}, NULL","size":9007199254740993,"price":1.10,"ok":false,)"
                          R"("at":"2026-01-02T03:04:05Z","more":{"a":["\"",null]},"ref":"0b8c4d1e-5f5a-4c8e-9a55-1d2e3f405162"})";
  perform({make_job(1, "plain", odd), make_job(2, "plain", R"({"code":"","size":null,"ok":true})"),
           make_job(3, "plain", R"({"code":"null"})")});
  EXPECT_EQ(ask("SELECT count(DISTINCT cmin::text) FROM plain"), "1");
  EXPECT_EQ(ask("SELECT string_agg(id, ',' ORDER BY n) FROM plain"), "e1,e2,e3");
  EXPECT_EQ(
    ask("SELECT concat_ws('|', code, size, price, ok, at AT TIME ZONE 'UTC', more, ref) FROM plain WHERE id = 'e1'"),
    R"(a "b" \ {c}, NULL|9007199254740993|1.10|f|2026-01-02 03:04:05|{"a": ["\"", null]}|0b8c4d1e-5f5a-4c8e-9a55-1d2e3f405162)");
  EXPECT_EQ(ask("SELECT (code = '')::text || (size IS NULL) || ok || (more IS NULL) FROM plain WHERE id = 'e2'"),
            "truetruetruetrue");
  EXPECT_EQ(ask("SELECT code FROM plain WHERE id = 'e3'"), "null");

  perform({make_job(4, "watched", "{}"), make_job(5, "watched", "{}")});
  EXPECT_EQ(ask("SELECT string_agg(id, ',' ORDER BY id) FROM seen"), "1,2");
  perform({make_job(6, "listed", R"({"tags":"{a,b}"})"), make_job(7, "listed", R"({"tags":null})")});
  EXPECT_EQ(ask("SELECT string_agg(id || coalesce(tags[2], '-'), ',' ORDER BY id) FROM listed"), "e6b,e7-");

  // In order, also where statements change; and what was here before is left out.
  perform({make_job(8, "plain", "{}"), make_job(2, "plain", "{}", 2), make_job(9, "plain", "{}"), make_job(10, "watched", "{}"),
           make_job(11, "plain", "{}")});
  EXPECT_EQ(ask("SELECT string_agg(id, ',' ORDER BY n) FROM plain"), "e1,e2,e3,e8,e9,e11");
  EXPECT_EQ(ask("SELECT count(DISTINCT cmin::text) FROM plain WHERE id IN ('e8', 'e9')"), "1");
}

TEST_F(postgresql, without_its_inbox_row_a_message_is_not_done) {
  const auto a = make();
  ASSERT_EQ(a->probe().state, wire::reach::up);
  ask("CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN IF NEW.id = ''e2'' THEN RETURN NULL; END IF; RETURN NEW; END';"
      "CREATE TRIGGER keep_out BEFORE INSERT ON sallyport_inbox FOR EACH ROW EXECUTE FUNCTION keep_out()");
  a->perform({name_job(1), name_job(2), name_job(3)});
  EXPECT_EQ(ask("SELECT string_agg(code, ',' ORDER BY code) FROM names"), "c1,c3");
}

TEST_F(postgresql, one_bad_message_leaves_its_batch_whole_and_no_inbox_row_of_its_own) {
  const auto outcomes = make()->perform({name_job(1), make_job(2, "add", name_data(2, "bad")), name_job(3)});
  EXPECT_EQ(outcomes[0].what, outcome::kind::done);
  EXPECT_EQ(outcomes[2].what, outcome::kind::done);
  EXPECT_EQ(outcomes[1].what, outcome::kind::failed);
  EXPECT_FALSE(outcomes[1].retryable);
  EXPECT_EQ(outcomes[1].scope, wire::failure_scope::message);
  EXPECT_THAT(outcomes[1].error, HasSubstr("23514"));
  EXPECT_EQ(ask("SELECT string_agg(id, ',' ORDER BY id) FROM sallyport_inbox"), "e1,e3");
}

TEST_F(postgresql, a_constraint_checked_at_the_commit_fails_only_its_message) {
  server().run(s.database, "CREATE TABLE parent (code text PRIMARY KEY); INSERT INTO parent VALUES ('c1'), ('c3');"
                           "ALTER TABLE names ADD FOREIGN KEY (code) REFERENCES parent DEFERRABLE INITIALLY DEFERRED");
  const auto outcomes = make()->perform({name_job(1), name_job(2), name_job(3)});
  EXPECT_EQ(outcomes[0].what, outcome::kind::done);
  EXPECT_EQ(outcomes[2].what, outcome::kind::done);
  EXPECT_EQ(outcomes[1].what, outcome::kind::failed);
  EXPECT_TRUE(outcomes[1].retryable) << "its parent may yet arrive";
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "2");
}

TEST_F(postgresql, a_row_locked_by_another_program_blames_the_target_and_other_rows_go_on) {
  s.busy_timeout = milliseconds{200};
  s.statements["set"] = {
    "UPDATE names SET name = :name WHERE code = :code", {}, {}, {{"name", "data.name"}, {"code", "data.code"}}};
  s.statement_by_type["set"] = "set";
  const auto a = make();
  a->perform({name_job(1), name_job(2)});
  postgres_client other{server().conninfo(s.database)};
  other.run("BEGIN");
  other.run("UPDATE names SET n = 0 WHERE code = 'c1'");
  const auto outcomes =
    a->perform({make_job(11, "set", R"({"code":"c1","name":"x"})"), make_job(12, "set", R"({"code":"c2","name":"x"})")});
  EXPECT_EQ(outcomes[0].what, outcome::kind::failed);
  EXPECT_EQ(outcomes[0].scope, wire::failure_scope::target);
  EXPECT_TRUE(outcomes[0].retryable);
  EXPECT_EQ(outcomes[0].effect, wire::effect_state::none);
  EXPECT_THAT(outcomes[0].error, HasSubstr("55P03"));
  EXPECT_EQ(outcomes[1].what, outcome::kind::done) << outcomes[1].error;
  other.run("COMMIT");
  EXPECT_EQ(perform_one(*a, make_job(11, "set", R"({"code":"c1","name":"x"})", 2)).what, outcome::kind::done);
}

TEST_F(postgresql, a_commit_whose_answer_is_lost_is_asked_for_again_and_has_one_effect) {
  cutting_proxy proxy{server().port()};
  s.port = proxy.port();
  const auto a = make();
  ASSERT_EQ(a->probe().state, wire::reach::up);
  proxy.cut_next_answer_to("COMMIT", 1);
  const auto o = perform_one(*a, name_job(1, "tell"));
  EXPECT_EQ(proxy.cuts(), 1);
  EXPECT_EQ(o.what, outcome::kind::done) << o.error;
  EXPECT_EQ(o.result, R"({"code":"c1","n":1})");
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
}

TEST_F(postgresql, a_commit_that_nobody_can_answer_for_is_unknown_and_its_repetition_has_one_effect) {
  cutting_proxy proxy{server().port()};
  s.port = proxy.port();
  const auto a = make();
  ASSERT_EQ(a->probe().state, wire::reach::up);
  proxy.cut_next_answer_to("COMMIT", 2); // Also that of the second try.
  const auto o = perform_one(*a, name_job(1, "tell"));
  EXPECT_EQ(proxy.cuts(), 2);
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.effect, wire::effect_state::unknown);
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_EQ(perform_one(*a, name_job(1, "tell", 2)).result, R"({"code":"c1","n":1})");
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
}

TEST_F(postgresql, without_the_inbox_an_unanswered_commit_is_not_repeated) {
  cutting_proxy proxy{server().port()};
  s.port = proxy.port();
  s.inbox = false;
  const auto a = make();
  ASSERT_EQ(a->probe().state, wire::reach::up);
  proxy.cut_next_answer_to("COMMIT", 1);
  const auto o = perform_one(*a, name_job(1));
  EXPECT_EQ(o.effect, wire::effect_state::unknown);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
}

TEST_F(postgresql, a_connection_that_died_while_idle_costs_no_attempt) {
  const auto a = make();
  ASSERT_EQ(perform_one(*a, name_job(1)).what, outcome::kind::done);
  ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sallyport' AND datname = "
      "current_database()");
  EXPECT_EQ(perform_one(*a, name_job(2)).what, outcome::kind::done);
  ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sallyport' AND datname = "
      "current_database()");
  EXPECT_EQ(a->probe().state, wire::reach::up);
}

TEST_F(postgresql, an_outage_blames_the_target_and_work_goes_on_after_it) {
  const auto a = make();
  ASSERT_EQ(perform_one(*a, name_job(1)).what, outcome::kind::done);
  server().stop();
  const auto o = perform_one(*a, name_job(2));
  const auto found = a->probe();
  server().start();
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_EQ(o.effect, wire::effect_state::none);
  EXPECT_EQ(found.state, wire::reach::down);
  EXPECT_FALSE(found.detail.empty());
  EXPECT_THAT(found.detail, ::testing::Not(HasSubstr(server().password())));
  EXPECT_EQ(a->probe().state, wire::reach::up);
  EXPECT_EQ(perform_one(*a, name_job(2)).what, outcome::kind::done);
}

TEST_F(postgresql, a_wrong_password_is_down_and_not_repeated_to_anybody) {
  s.password = "wrong-secret";
  const auto found = make()->probe();
  EXPECT_EQ(found.state, wire::reach::down);
  EXPECT_THAT(found.detail, HasSubstr("password authentication failed"));
  EXPECT_THAT(found.detail, ::testing::Not(HasSubstr("wrong-secret")));
}

TEST_F(postgresql, a_cancelled_message_lets_go_of_its_locks) {
  s.statements["slow"] = {
    "UPDATE names SET n = 7 WHERE code = :code AND pg_sleep(60) IS NOT NULL", {}, {}, {{"code", "data.code"}}};
  s.statement_by_type["slow"] = "slow";
  const auto a = make();
  perform_one(*a, name_job(1));
  const auto j = make_job(2, "slow", R"({"code":"c1"})");
  auto running = std::async(std::launch::async, [&] { return perform_one(*a, j); });
  while (ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()") == "0")
    std::this_thread::sleep_for(milliseconds{10});
  j.cancel->raise(cancel_reason::lost_lease);
  const auto o = running.get();
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.effect, wire::effect_state::none);
  EXPECT_EQ(ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"), "0");
  EXPECT_EQ(ask("SELECT count(*) FROM sallyport_inbox WHERE id = 'e2'"), "0");
}

TEST_F(postgresql, the_session_carries_the_timeouts_of_the_attempt) {
  s.statements["get"] = {
    "SELECT current_setting('statement_timeout') AS a, current_setting('idle_in_transaction_session_timeout') AS b,"
    " current_setting('lock_timeout') AS c, current_setting('transaction_read_only') AS d",
    result_kind::row,
    true,
    {}};
  const auto a = make();
  EXPECT_EQ(perform_one(*a, name_job(1, "get", 1, milliseconds{20'000})).result, R"({"a":"20s","b":"20s","c":"10s","d":"on"})");
  EXPECT_EQ(perform_one(*a, name_job(2, "get", 1, milliseconds{60'000})).result, R"({"a":"1min","b":"1min","c":"30s","d":"on"})");
}

TEST_F(postgresql, values_go_in_and_come_out_with_their_types) {
  s.statements["put"] = {
    "SELECT :a::bigint AS a, :b::float8 AS b, :c::text AS c, :d::boolean AS d, :e::text AS e, :f::jsonb AS f, :g::numeric AS g,"
    " 'NaN'::float8 AS h, '\\x00ff'::bytea AS i, '2024-02-29'::date AS j",
    result_kind::row,
    true,
    {{"a", "data.a"}, {"b", "data.b"}, {"c", "data.c"}, {"d", "data.d"}, {"e", "data.e"}, {"f", "data.f"}, {"g", "data.g"}}};
  s.default_statement = "put";
  const auto o = perform_one(*make(), make_job(1, "put", R"({"a":-9223372036854775808,"b":0.1,"c":"grün \"x\" {a,b} \\","d":true,
    "f":{"k":[1]},"g":12345678901234567890123.456})"));
  EXPECT_EQ(o.result, R"({"a":-9223372036854775808,"b":0.1,"c":"grün \"x\" {a,b} \\","d":true,"e":null,"f":{"k": [1]},)"
                      R"("g":12345678901234567890123.456,"h":"NaN","i":"\\x00ff","j":"2024-02-29"})")
    << o.error;
}

TEST_F(postgresql, a_text_that_it_cannot_hold_fails_its_message_for_good) {
  const auto outcomes =
    make()->perform({name_job(1), make_job(2, "add", R"({"code":"a\u0000b","name":"x","n":1})"), name_job(3)});
  EXPECT_EQ(outcomes[0].what, outcome::kind::done) << outcomes[0].error;
  EXPECT_EQ(outcomes[2].what, outcome::kind::done) << outcomes[2].error;
  EXPECT_FALSE(outcomes[1].retryable);
  EXPECT_THAT(outcomes[1].error, HasSubstr("zero character"));
}

TEST_F(postgresql, one_that_fails_before_it_is_sent_leaves_nobody_waiting_for_the_rows_of_its_neighbours) {
  const auto outcomes =
    make()->perform({name_job(1, "tell"), name_job(2, "tell"), make_job(3, "add", R"({"code":"a\u0000b","name":"x","n":1})")});
  EXPECT_EQ(outcomes[0].result, R"({"code":"c1","n":1})") << outcomes[0].error;
  EXPECT_EQ(outcomes[1].result, R"({"code":"c2","n":2})") << outcomes[1].error;
  EXPECT_THAT(outcomes[2].error, HasSubstr("zero character"));
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "2");
}

TEST_F(postgresql, a_repetition_needs_nothing_but_the_inbox) {
  EXPECT_EQ(perform_one(*make(), name_job(1, "tell")).result, R"({"code":"c1","n":1})");
  EXPECT_EQ(make()->perform({name_job(2), name_job(3)})[1].what, outcome::kind::done);
  ask("ALTER TABLE names RENAME TO moved");
  s.setup.clear();
  const auto again = make()->perform({name_job(1, "tell", 2), name_job(2, "add", 2), name_job(3, "add", 2)});
  EXPECT_EQ(again[0].result, R"({"code":"c1","n":1})") << again[0].error;
  EXPECT_EQ(again[1].what, outcome::kind::done) << again[1].error;
  EXPECT_EQ(again[2].what, outcome::kind::done) << again[2].error;
}

TEST_F(postgresql, a_key_within_the_table_is_looked_up_row_by_row) {
  ask("CREATE TABLE tree (id text PRIMARY KEY, above text REFERENCES tree)");
  s.statements["tree"] = {
    "INSERT INTO tree (id, above) VALUES (:id, :above)", result_kind::none, false, {{"id", "id"}, {"above", "data.above"}}};
  s.statement_by_type["tree"] = "tree";
  const auto outcomes = make()->perform({make_job(1, "tree", R"({"above":"e2"})"), make_job(2, "tree", "{}")});
  EXPECT_EQ(outcomes[0].what, outcome::kind::failed) << "its parent comes later, as ever";
  EXPECT_EQ(outcomes[1].what, outcome::kind::done) << outcomes[1].error;
}

TEST_F(postgresql, awkward_ids_are_the_keys_they_are) {
  auto awkward = name_job(1, "tell");
  awkward.attributes.id = "a\"b\\c{d},e' NULL";
  awkward.attributes.source = "";
  const auto a = make();
  const auto first = perform_one(*a, awkward);
  EXPECT_EQ(first.what, outcome::kind::done) << first.error;
  EXPECT_EQ(perform_one(*a, awkward).result, first.result);
  EXPECT_EQ(ask("SELECT id FROM sallyport_inbox"), awkward.attributes.id);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
}

TEST_F(postgresql, a_result_that_is_too_large_fails_for_good_and_undoes_its_effect) {
  s.statements["add_and_tell"].text =
    "INSERT INTO names (code, name, n) VALUES (:code, :name, :n) RETURNING repeat('x', 300000) AS x";
  s.statements["all"].text = "SELECT repeat('x', 1000) AS x, generate_series(1, 1000000000)"; // Must not be read to its end.
  const auto a = make();
  for (const auto* type : {"tell", "all"}) {
    const auto o = perform_one(*a, name_job(1, type));
    EXPECT_EQ(o.what, outcome::kind::failed);
    EXPECT_FALSE(o.retryable);
    EXPECT_THAT(o.error, HasSubstr("256 KiB"));
  }
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "0");
  EXPECT_EQ(perform_one(*a, name_job(2)).what, outcome::kind::done);
}

TEST_F(postgresql, a_schema_changed_under_a_kept_statement_costs_no_attempt) {
  s.statements["get"].text = "SELECT * FROM names WHERE code = :code";
  const auto a = make();
  perform_one(*a, name_job(1));
  ASSERT_EQ(perform_one(*a, make_job(2, "get", R"({"code":"c1"})")).result, R"({"code":"c1","name":"Deutsch","n":1})");
  ask("ALTER TABLE names ADD COLUMN more text DEFAULT 'm'");
  EXPECT_EQ(perform_one(*a, make_job(3, "get", R"({"code":"c1"})")).result, R"({"code":"c1","name":"Deutsch","n":1,"more":"m"})");
}

TEST_F(postgresql, a_user_who_may_not_create_tables_can_use_one_made_for_it) {
  ask(inbox_ddl(s)
      + "; CREATE ROLE plain LOGIN PASSWORD 'p'; GRANT SELECT, INSERT, UPDATE ON sallyport_inbox, names TO plain;"
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
  s.user = "plain";
  s.password = "p";
  s.setup.clear();
  EXPECT_EQ(perform_one(*make(), name_job(1)).what, outcome::kind::done);
}

TEST_F(postgresql, eight_agents_that_meet_an_empty_database_all_find_their_inbox) {
  std::vector<std::future<outcome>> running;
  for (std::uint64_t n = 1; n <= 8; ++n)
    running.push_back(std::async(std::launch::async, [this, n] { return perform_one(*make(), name_job(n)); }));
  for (auto& r : running) {
    const auto o = r.get();
    EXPECT_EQ(o.what, outcome::kind::done) << o.error;
  }
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "8");
}

TEST_F(postgresql, a_setup_that_is_refused_blames_the_target_and_kills_no_message) {
  s.setup.push_back("CREATE TABLE names (code TEXT)"); // Exists.
  const auto a = make();
  EXPECT_THAT(a->probe().detail, HasSubstr("already exists"));
  const auto o = perform_one(*a, name_job(1));
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_TRUE(o.retryable);
}

TEST_F(postgresql, two_holders_of_one_message_have_one_effect) {
  // What a lost lease leads to: the old holder goes on, the new one begins.
  std::vector<std::future<std::vector<outcome>>> running;
  for (std::uint32_t holder = 1; holder <= 4; ++holder)
    running.push_back(std::async(std::launch::async, [this, holder] {
      std::vector<job> jobs;
      for (std::uint64_t n = 0; n < 50; ++n) // Each in another order.
        jobs.push_back(name_job((n * (2 * holder + 1)) % 50 + 1, "tell", holder));
      return make()->perform(jobs);
    }));
  for (auto& r : running)
    for (const auto& o : r.get())
      EXPECT_EQ(o.what, outcome::kind::done) << o.error;
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "50");
}

} // namespace
} // namespace sallyport::adapters::sql

namespace sallyport::adapters {
INSTANTIATE_TEST_SUITE_P(postgresql, adapter_conformance,
                         ::testing::Values(make_conformance_target{[] { return std::make_unique<sql::postgresql_target>(); }}));
} // namespace sallyport::adapters
