#include "adapters/sql/core/statement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::adapters::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

statement with(std::string text, std::initializer_list<std::string> names = {}) {
  statement s{std::move(text), {}, {}, {}};
  for (const auto& name : names)
    s.parameters[name] = "data." + name;
  return s;
}

std::string fault_of(const std::string& text, backend_kind backend = backend_kind::postgresql) {
  const auto compiled = compile("x", with(text), backend);
  return compiled ? "" : compiled.err().detail;
}

TEST(statement, named_parameters_become_positions_and_one_name_is_one_position) {
  const auto text = with("INSERT INTO t VALUES (:a, :b, :a)", {"a", "b"});
  const auto postgres = compile("x", text, backend_kind::postgresql);
  ASSERT_TRUE(postgres.ok()) << postgres.err().detail;
  EXPECT_EQ(postgres->text, "INSERT INTO t VALUES ($1, $2, $1)");
  EXPECT_THAT(postgres->paths, ElementsAre("data.a", "data.b"));
  EXPECT_EQ(compile("x", text, backend_kind::sqlite)->text, "INSERT INTO t VALUES (?1, ?2, ?1)");
}

TEST(statement, an_insert_of_plain_parameters_can_be_done_for_many_at_once) {
  const auto bulk_of = [](const std::string& text, std::initializer_list<std::string> names) {
    const auto compiled = compile("x", with(text, names), backend_kind::postgresql);
    EXPECT_TRUE(compiled.ok()) << text;
    return compiled.ok() ? compiled->bulk : std::nullopt;
  };
  const auto plain = bulk_of("insert into shop.orders (a, \"B c\",\n d) values (:x, :y::int, :x);", {"x", "y"});
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->table, "shop.orders");
  EXPECT_EQ(bulk_text(*plain, {"text", "int4"}),
            "insert into shop.orders (a, \"B c\",\n d) SELECT k.p1, k.p2::int4::int, k.p1 FROM"
            " unnest($1::text[], $2::text[]) AS k(p1, p2)");
  for (const auto* text :
       {"INSERT INTO t VALUES (:a)", "INSERT INTO t (a) VALUES (:a) ON CONFLICT DO NOTHING",
        "INSERT INTO t (a) VALUES (lower(:a))", "INSERT INTO t (a, b) VALUES (:a, now())",
        "INSERT INTO t (a) VALUES (:a::varchar(3))", "INSERT INTO t (a) VALUES (:a), (:a)", "INSERT INTO t (a) SELECT :a",
        "INSERT INTO t (a) VALUES (:a) RETURNING a", "INSERT INTO t AS u (a) VALUES (:a)", "INSERT INTO t (a[1]) VALUES (:a)",
        "UPDATE t SET a = :a", "INSERT INTO t (a) VALUES (:a) -- b", "WITH x AS (SELECT 1) INSERT INTO t (a) VALUES (:a)"})
    EXPECT_FALSE(bulk_of(text, {"a"})) << text;
  EXPECT_FALSE(compile("x", with("INSERT INTO t (a) VALUES (:a)", {"a"}), backend_kind::sqlite)->bulk);
  auto telling = with("INSERT INTO t (a) VALUES (:a)", {"a"});
  telling.result = result_kind::row;
  EXPECT_FALSE(compile("x", telling, backend_kind::postgresql)->bulk);
}

TEST(statement, what_only_looks_like_a_parameter_is_left_alone) {
  for (const auto* text : {"SELECT ':a', 'it''s :a', \":a\"", "SELECT a::text, b[1:2], now() -- :a\n",
                           "SELECT 1 /* :a /* :b */ */", "SELECT $$ :a $$, $x$ :a ; $x$", "SELECT E'\\' :a'", "CALL f(x := 1)"}) {
    const auto compiled = compile("x", with(text), backend_kind::postgresql);
    ASSERT_TRUE(compiled.ok()) << text << ": " << compiled.err().detail;
    EXPECT_EQ(compiled->text, text);
    EXPECT_TRUE(compiled->paths.empty());
  }
  EXPECT_EQ(fault_of("SELECT [:a], `:a`", backend_kind::sqlite), "");
}

TEST(statement, a_trailing_semicolon_is_dropped_and_a_second_statement_refused) {
  EXPECT_EQ(compile("x", with("SELECT 1 ; -- done"), backend_kind::sqlite)->text, "SELECT 1  -- done");
  EXPECT_THAT(fault_of("SELECT 1; SELECT 2"), HasSubstr("more than one statement"));
  EXPECT_THAT(fault_of("INSERT INTO t VALUES (1); COMMIT"), HasSubstr("more than one statement"));
  EXPECT_THAT(fault_of("SELECT 1; 'x'"), HasSubstr("more than one statement"));
}

TEST(statement, transaction_control_ddl_and_session_commands_are_refused) {
  for (const auto* text : {"COMMIT",
                           "rollback",
                           " begin",
                           "START TRANSACTION",
                           "SAVEPOINT a",
                           "END",
                           "ABORT",
                           "-- x\nCOMMIT",
                           "/* x */ commit",
                           "CREATE TABLE t (a int)",
                           "DROP TABLE t",
                           "ALTER TABLE t ADD b int",
                           "TRUNCATE t",
                           "PRAGMA journal_mode=OFF",
                           "ATTACH 'x' AS y",
                           "SET lock_timeout = 0",
                           "VACUUM",
                           "COPY t FROM stdin",
                           "LISTEN x",
                           "DO $$ BEGIN COMMIT; END $$",
                           "PREPARE TRANSACTION 'x'",
                           "LOCK TABLE t"})
    EXPECT_THAT(fault_of(text), HasSubstr("it must begin with")) << text;
}

TEST(statement, empty_ones_and_strange_beginnings_are_refused) {
  EXPECT_THAT(fault_of(""), HasSubstr("is empty"));
  EXPECT_THAT(fault_of(" -- nothing\n ;"), HasSubstr("is empty"));
  EXPECT_THAT(fault_of("'SELECT'"), HasSubstr("begins with a quote"));
  EXPECT_THAT(fault_of(";COMMIT"), HasSubstr("more than one statement"));
  EXPECT_THAT(fault_of("+1"), HasSubstr("begins with '+'"));
  EXPECT_EQ(fault_of("(SELECT 1) UNION SELECT 2"), "");
  EXPECT_EQ(fault_of("WITH x AS (SELECT 1) SELECT * FROM x"), "");
}

TEST(statement, parameters_and_paths_must_match) {
  EXPECT_THAT(fault_of("SELECT :a"), HasSubstr(":a, for which parameters has no path"));
  EXPECT_THAT(compile("x", with("SELECT 1", {"a"}), backend_kind::sqlite).err().detail, HasSubstr("does not use :a"));
  auto s = with("SELECT :a");
  for (const auto* path : {"", ".data", "data.", "data..a", "$nonsense"}) {
    s.parameters["a"] = path;
    EXPECT_FALSE(compile("x", s, backend_kind::sqlite).ok()) << path;
  }
  for (const auto* path : {"id", "data", "data.a.0.b", "$message", "$fence", "$attempt", "$queue"}) {
    s.parameters["a"] = path;
    EXPECT_TRUE(compile("x", s, backend_kind::sqlite).ok()) << path;
  }
}

TEST(statement, parameters_of_the_databases_own_kinds_are_refused) {
  EXPECT_THAT(fault_of("SELECT $1"), HasSubstr("write :name"));
  EXPECT_THAT(fault_of("SELECT ?1", backend_kind::sqlite), HasSubstr("write :name"));
  EXPECT_THAT(fault_of("SELECT @a", backend_kind::sqlite), HasSubstr("write :name"));
  EXPECT_THAT(fault_of("SELECT $a", backend_kind::sqlite), HasSubstr("write :name"));
  EXPECT_EQ(fault_of("SELECT data ? 'a', data @> '{}' FROM t"), "") << "operators of jsonb";
}

} // namespace
} // namespace sallyport::adapters::sql
