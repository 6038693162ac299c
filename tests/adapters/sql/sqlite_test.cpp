#include "tests/adapters/sql/sqlite_program.hpp"
#include "tests/adapters/sql/support.hpp"
#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::adapters::sql {
namespace {

using ::testing::HasSubstr;

class sqlite : public ::testing::Test {
protected:
  sqlite() {
    s.path = dir / "erp.db";
    s.create = true;
  }
  std::unique_ptr<adapter> make() const { return make_factory(s).make(); }
  std::string ask(const std::string& sql) const { return other_program{s.path}.run(sql); }

  sallyport::testing::temp_dir dir;
  settings s = name_settings(backend_kind::sqlite);
};

TEST_F(sqlite, a_repeated_message_gets_its_first_result_and_does_nothing) {
  const auto a = make();
  const auto first = perform_one(*a, name_job(1, "tell"));
  EXPECT_EQ(first.result, R"({"code":"c1","n":1})");
  auto repeated = make_job(1, "tell", name_data(99), 2); // The data differs: the row, not the statement, must answer.
  EXPECT_EQ(perform_one(*a, repeated).result, first.result);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
  EXPECT_EQ(ask("SELECT queue || ' ' || source || ' ' || id || ' ' || message_epoch || ' ' || message_serial || ' ' || fence "
                "FROM sallyport_inbox"),
            "group/connection /conformance e1 1 1 1-101");
}

TEST_F(sqlite, without_the_inbox_a_repeated_message_repeats_its_effect) {
  s.inbox = false;
  const auto a = make();
  perform_one(*a, name_job(1));
  perform_one(*a, name_job(1, "add", 2));
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "2");
}

TEST_F(sqlite, a_batch_is_one_transaction) {
  s.statements["add"].text = "INSERT INTO names (code, name, n) VALUES (:code, :name, (SELECT count(*) FROM names) + 0 * :n)";
  s.batch_max = 256;
  std::vector<job> jobs;
  for (std::uint64_t n = 1; n <= 200; ++n)
    jobs.push_back(name_job(n));
  const auto a = make();
  const auto before = ask("PRAGMA data_version"); // Makes the file.
  for (const auto& o : a->perform(jobs))
    EXPECT_EQ(o.what, outcome::kind::done) << o.error;
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "200");
  EXPECT_EQ(ask("SELECT count(*) FROM sallyport_inbox"), "200");
}

TEST_F(sqlite, one_bad_message_leaves_its_batch_whole_and_no_inbox_row_of_its_own) {
  const auto a = make();
  const auto outcomes = a->perform({name_job(1), make_job(2, "add", name_data(2, "bad")), name_job(3)});
  EXPECT_EQ(outcomes[0].what, outcome::kind::done);
  EXPECT_EQ(outcomes[2].what, outcome::kind::done);
  EXPECT_EQ(outcomes[1].what, outcome::kind::failed);
  EXPECT_FALSE(outcomes[1].retryable);
  EXPECT_EQ(outcomes[1].effect, wire::effect_state::none);
  EXPECT_THAT(outcomes[1].error, HasSubstr("CHECK constraint failed"));
  EXPECT_EQ(ask("SELECT group_concat(id) FROM (SELECT id FROM sallyport_inbox ORDER BY id)"), "e1,e3");
}

TEST_F(sqlite, the_same_event_twice_in_a_batch_has_one_effect_and_one_result) {
  const auto outcomes = make()->perform({name_job(1, "tell"), name_job(1, "tell", 2)});
  EXPECT_EQ(outcomes[0].result, outcomes[1].result);
  EXPECT_FALSE(outcomes[0].result.empty());
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "1");
}

TEST_F(sqlite, a_lock_held_by_another_program_blames_the_target_and_ends_in_time) {
  s.busy_timeout = milliseconds{100};
  const auto a = make();
  ASSERT_EQ(perform_one(*a, name_job(1)).what, outcome::kind::done);
  other_program other{s.path};
  other.run("BEGIN IMMEDIATE");
  const auto o = perform_one(*a, name_job(2));
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_EQ(o.effect, wire::effect_state::none);
  EXPECT_THAT(o.error, HasSubstr("locked"));
  EXPECT_EQ(a->probe().state, wire::reach::up) << "a busy database is not a dead one";
  other.run("COMMIT");
  EXPECT_EQ(perform_one(*a, name_job(2)).what, outcome::kind::done);
}

TEST_F(sqlite, values_go_in_and_come_out_with_their_types) {
  s.setup.push_back("CREATE TABLE IF NOT EXISTS v (a, b, c, d, e, f, g)");
  s.statements["put"] = {"INSERT INTO v VALUES (:a, :b, :c, :d, :e, :f, x'00ff') RETURNING *",
                         result_kind::row,
                         false,
                         {{"a", "data.a"}, {"b", "data.b"}, {"c", "data.c"}, {"d", "data.d"}, {"e", "data.e"}, {"f", "data.f"}}};
  s.default_statement = "put";
  const auto o = perform_one(
    *make(), make_job(1, "put", R"({"a":9223372036854775807,"b":0.1,"c":"grün\u0000 \"x\"","d":true,"f":{"k":[1]}})"));
  EXPECT_EQ(o.result,
            R"({"a":9223372036854775807,"b":0.1,"c":"grün\u0000 \"x\"","d":1,"e":null,"f":"{\"k\":[1]}","g":"\\x00ff"})")
    << o.error;
}

TEST_F(sqlite, reads_answer_a_row_or_null_or_all_rows) {
  const auto a = make();
  a->perform({name_job(1), name_job(2)});
  EXPECT_EQ(perform_one(*a, make_job(3, "get", R"({"code":"c2"})")).result, R"({"code":"c2","name":"Deutsch","n":2})");
  EXPECT_EQ(perform_one(*a, make_job(4, "get", R"({"code":"none"})")).result, "null");
  EXPECT_EQ(perform_one(*a, make_job(5, "all", "{}")).result, R"([{"code":"c1"},{"code":"c2"}])");
  EXPECT_EQ(ask("SELECT count(*) FROM sallyport_inbox"), "2") << "reads leave no row";
}

TEST_F(sqlite, a_result_that_is_too_large_fails_for_good_and_undoes_its_effect) {
  s.statements["add_and_tell"].text =
    "INSERT INTO names (code, name, n) VALUES (:code, :name, :n) RETURNING hex(zeroblob(200000)) AS code";
  const auto a = make();
  const auto o = perform_one(*a, name_job(1, "tell"));
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_FALSE(o.retryable);
  EXPECT_THAT(o.error, HasSubstr("256 KiB"));
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "0");
  EXPECT_EQ(perform_one(*a, name_job(2)).what, outcome::kind::done);
}

TEST_F(sqlite, a_statement_that_says_row_and_returns_more_fails_for_good) {
  s.statements["get"].text = "SELECT code FROM names WHERE code <> :code";
  const auto a = make();
  a->perform({name_job(1), name_job(2)});
  const auto o = perform_one(*a, make_job(3, "get", R"({"code":"none"})"));
  EXPECT_FALSE(o.retryable);
  EXPECT_THAT(o.error, HasSubstr("more than one row"));
}

TEST_F(sqlite, a_statement_that_says_read_only_and_writes_is_not_run) {
  s.statements["add"].read_only = true;
  const auto o = perform_one(*make(), name_job(1));
  EXPECT_THAT(o.error, HasSubstr("read_only"));
  EXPECT_FALSE(o.retryable);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "0");
}

TEST_F(sqlite, a_statement_that_rolls_back_behind_our_back_does_nothing_outside_a_transaction) {
  s.setup.push_back("CREATE TABLE IF NOT EXISTS once (code TEXT UNIQUE ON CONFLICT ROLLBACK)");
  s.statements["once"] = {"INSERT INTO once VALUES (:code)", {}, {}, {{"code", "data.code"}}};
  s.statement_by_type["once"] = "once";
  const auto a = make();
  ASSERT_EQ(perform_one(*a, make_job(1, "once", R"({"code":"x"})")).what, outcome::kind::done);
  const auto outcomes = a->perform({name_job(2), make_job(3, "once", R"({"code":"x"})"), name_job(4)});
  EXPECT_EQ(outcomes[0].what, outcome::kind::done);
  EXPECT_EQ(outcomes[1].what, outcome::kind::failed);
  EXPECT_EQ(outcomes[2].what, outcome::kind::done);
  EXPECT_EQ(ask("SELECT count(*) FROM names"), "2");
  EXPECT_EQ(ask("SELECT count(*) FROM sallyport_inbox"), "3");
}

TEST_F(sqlite, a_missing_database_is_made_only_when_asked_for) {
  s.create = false;
  const auto a = make();
  EXPECT_EQ(a->probe().state, wire::reach::down);
  EXPECT_FALSE(std::filesystem::exists(s.path));
  s.create = true;
  EXPECT_EQ(make()->probe().state, wire::reach::up);
  EXPECT_EQ(a->probe().state, wire::reach::up) << "it is there now";
  std::filesystem::remove(s.path);
  EXPECT_EQ(a->probe().state, wire::reach::down) << "writing on into a deleted file would lose everything";
}

TEST_F(sqlite, a_file_that_is_no_database_is_down) {
  FILE* f = std::fopen(s.path.c_str(), "w");
  std::fputs("this is certainly not a database, but long enough to be read as one by its header, page and all", f);
  std::fclose(f);
  const auto a = make();
  EXPECT_EQ(a->probe().state, wire::reach::down);
  EXPECT_EQ(perform_one(*a, name_job(1)).scope, wire::failure_scope::target);
}

TEST_F(sqlite, a_setup_that_is_refused_blames_the_target_and_kills_no_message) {
  s.setup.push_back("CREATE TABLE names (code TEXT)"); // Exists.
  const auto a = make();
  EXPECT_THAT(a->probe().detail, HasSubstr("already exists"));
  const auto o = perform_one(*a, name_job(1));
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_TRUE(o.retryable);
}

TEST_F(sqlite, a_cancelled_message_of_a_batch_takes_nobody_with_it) {
  auto jobs = std::vector<job>{name_job(1), name_job(2), name_job(3)};
  jobs[1].cancel->raise(cancel_reason::lost_lease);
  const auto outcomes = make()->perform(jobs);
  EXPECT_EQ(outcomes[0].what, outcome::kind::done);
  EXPECT_EQ(outcomes[1].what, outcome::kind::failed);
  EXPECT_EQ(outcomes[2].what, outcome::kind::done);
  EXPECT_THAT(outcomes[1].error, HasSubstr("lost lease"));
}

} // namespace
} // namespace sallyport::adapters::sql
