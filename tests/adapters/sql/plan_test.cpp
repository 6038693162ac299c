#include "adapters/sql/core/plan.hpp"

#include "tests/adapters/sql/support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::adapters::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using kind = step::kind;

class sql_plan : public ::testing::Test {
protected:
  catalog statements = *catalog::make(name_settings(backend_kind::sqlite));

  std::vector<work> works(const std::vector<job>& jobs) const {
    std::vector<work> out;
    for (std::size_t i = 0; i < jobs.size(); ++i)
      out.push_back(std::get<work>(plan_work(statements, jobs[i], i)));
    return out;
  }
};

std::string shape(const transaction& t) {
  std::string out;
  for (const auto& s : t.steps) {
    constexpr const char* words[] = {"begin", "claim", "run", "keep", "commit"};
    out += words[static_cast<int>(s.what)];
    if (s.what != kind::begin && s.what != kind::commit)
      out += std::to_string(s.item);
    out += ' ';
  }
  return out;
}

TEST_F(sql_plan, the_inbox_rows_come_first_and_the_results_before_the_commit) {
  const auto planned = plan_transactions(works({name_job(1), name_job(2, "tell")}), "g/c", true, 64);
  ASSERT_EQ(planned.size(), 1u);
  EXPECT_EQ(shape(planned[0]), "begin claim0 claim1 run0 run1 keep1 commit ");
  EXPECT_EQ(planned[0].queue, "g/c");
}

TEST_F(sql_plan, without_the_inbox_nothing_is_claimed_or_kept) {
  EXPECT_EQ(shape(plan_transactions(works({name_job(1, "tell")}), "g/c", false, 64)[0]), "begin run0 commit ");
}

TEST_F(sql_plan, reads_run_alone_after_the_writes_and_leave_no_row) {
  const auto planned =
    plan_transactions(works({name_job(1, "get"), name_job(2), name_job(3, "all"), name_job(4)}), "g/c", true, 64);
  ASSERT_EQ(planned.size(), 3u);
  EXPECT_EQ(shape(planned[0]), "begin claim0 claim1 run0 run1 commit ");
  EXPECT_EQ(shape(planned[1]), "begin run0 commit ");
  EXPECT_TRUE(planned[1].read_only);
  EXPECT_FALSE(planned[0].read_only);
}

TEST_F(sql_plan, a_transaction_holds_at_most_batch_max_and_no_key_twice) {
  std::vector<job> jobs;
  for (std::uint64_t n = 1; n <= 5; ++n)
    jobs.push_back(name_job(n));
  jobs.push_back(name_job(1));
  const auto planned = plan_transactions(works(jobs), "g/c", true, 2);
  std::size_t items = 0;
  for (const auto& t : planned) {
    EXPECT_LE(t.items.size(), 2u);
    items += t.items.size();
  }
  EXPECT_EQ(items, 6u);
  const auto together = plan_transactions(works({name_job(1), name_job(1), name_job(2)}), "g/c", true, 64);
  ASSERT_EQ(together.size(), 2u);
  EXPECT_EQ(together[0].items.size(), 2u);
  EXPECT_EQ(together[1].items[0].job, 1u) << "the later one waits for the earlier one's result";
}

TEST_F(sql_plan, values_keep_their_types) {
  settings s = name_settings(backend_kind::postgresql);
  const std::vector<std::string> paths{"data.text", "data.int",  "data.min",  "data.huge",   "data.real",    "data.yes",
                                       "data.null", "data.gone", "data.list", "data.list.1", "id",           "type",
                                       "$message",  "$fence",    "$attempt",  "$queue",      "data.deep.a b"};
  std::string text = "SELECT 1";
  statement probe;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    auto name = "p" + std::to_string(i);
    text += ", :" + name;
    probe.parameters[name] = paths[i];
  }
  probe.text = text;
  s.statements["probe"] = probe;
  s.default_statement = "probe";
  const auto made = *catalog::make(s);
  const auto j =
    make_job(7, "x", R"({"text":"a\"\u00e9\n","int":42,"min":-9223372036854775808,"huge":12345678901234567890123,"real":1.50,
    "yes":true,"null":null,"list":[1, "two"],"deep":{"a b":{"k":1}}})",
             3);
  const auto w = std::get<work>(plan_work(made, j, 0));
  EXPECT_THAT(w.parameters, ElementsAre(value{"a\"é\n"}, value{std::int64_t{42}}, value{std::numeric_limits<std::int64_t>::min()},
                                        value{decimal{"12345678901234567890123"}}, value{decimal{"1.50"}}, value{true}, value{},
                                        value{}, value{R"([1, "two"])"}, value{"two"}, value{"e7"}, value{"x"}, value{"m1-7"},
                                        value{"1-703"}, value{std::int64_t{3}}, value{"group/connection"}, value{R"({"k":1})"}));
}

TEST_F(sql_plan, an_event_type_without_a_statement_fails_at_once) {
  auto s = name_settings(backend_kind::sqlite);
  s.default_statement.clear();
  const auto f = std::get<failure>(plan_work(*catalog::make(s), name_job(1, "nobody"), 0));
  EXPECT_FALSE(f.retryable);
  EXPECT_EQ(f.effect, wire::effect_state::none);
  EXPECT_THAT(f.error, HasSubstr("'nobody'"));
}

struct judgement {
  wire::failure_scope scope;
  bool retryable;
};
constexpr judgement target{wire::failure_scope::target, true};
constexpr judgement again{wire::failure_scope::message, true};
constexpr judgement never{wire::failure_scope::message, false};

failure judge(backend_kind backend, const std::string& code) {
  execution how;
  how.why = {sql_failure::kind::refused, code, "said"};
  return classify(backend, how, "statement 'x'");
}

void expect(backend_kind backend, const std::map<std::string, judgement>& table) {
  for (const auto& [code, wanted] : table) {
    const auto f = judge(backend, code);
    EXPECT_EQ(f.scope, wanted.scope) << code;
    EXPECT_EQ(f.retryable, wanted.retryable) << code;
    EXPECT_EQ(f.effect, wire::effect_state::none) << code;
    EXPECT_THAT(f.error, HasSubstr(code));
  }
}

TEST(sql_classify, sqlstates_of_locks_and_outages_blame_the_target_and_those_of_data_the_message) {
  expect(backend_kind::postgresql,
         {{"55P03", target}, {"40001", target}, {"40P01", target}, {"08006", target}, {"57P01", target},
          {"57P03", target}, {"53300", target}, {"53100", target}, {"28P01", target}, {"3D000", target},
          {"25006", target}, {"58030", target}, {"23505", never},  {"23502", never},  {"23514", never},
          {"22P02", never},  {"22003", never},  {"54000", never},  {"0A000", never},  {"23503", again},
          {"42601", again},  {"42P01", again},  {"42501", again},  {"P0001", again},  {"XX000", again}});
}

TEST(sql_classify, sqlite_codes_likewise) {
  expect(backend_kind::sqlite, {{"5", target},
                                {"6", target},
                                {"261", target},
                                {"517", target},
                                {"10", target},
                                {"266", target},
                                {"13", target},
                                {"14", target},
                                {"11", target},
                                {"26", target},
                                {"8", target},
                                {"1299", never},
                                {"2067", never},
                                {"275", never},
                                {"20", never},
                                {"18", never},
                                {"787", again},
                                {"1", again}});
}

TEST(sql_classify, only_an_unanswered_commit_leaves_the_effect_unknown) {
  execution how;
  how.why = {sql_failure::kind::lost, {}, "gone"};
  EXPECT_EQ(classify(backend_kind::postgresql, how, "x").effect, wire::effect_state::none);
  how.ended = execution::end::unknown;
  const auto f = classify(backend_kind::postgresql, how, "x");
  EXPECT_EQ(f.effect, wire::effect_state::unknown);
  EXPECT_EQ(f.scope, wire::failure_scope::target);
  EXPECT_TRUE(f.retryable);
}

TEST(sql_check, names_every_fault_at_once) {
  settings s;
  s.path = "relative.db";
  s.statements["bad"] = {"COMMIT", {}, {}, {}};
  s.statements["worse"] = {"SELECT :a", {}, {}, {}};
  s.default_statement = "gone";
  s.inbox_table = "x; DROP";
  s.batch_max = 0;
  s.workers = 0;
  const auto checked = check(s);
  ASSERT_FALSE(checked.ok());
  for (const auto* fault : {"absolute path", "'bad' begins with COMMIT", ":a, for which", "'gone' does not exist", "inbox_table",
                            "batch_max", "workers"})
    EXPECT_THAT(checked.err().detail, HasSubstr(fault));
}

TEST(sql_check, good_settings_pass_and_the_fingerprint_has_no_credentials) {
  auto s = name_settings(backend_kind::postgresql);
  s.database = "erp";
  s.user = "user";
  s.password = "hidden";
  ASSERT_TRUE(check(s).ok()) << check(s).err().detail;
  EXPECT_EQ(make_factory(s).about.fingerprint, "postgresql://localhost:5432/erp");
  EXPECT_EQ(make_factory(s).about.effect, wire::effect_promise::exactly_once);
  s.inbox = false;
  EXPECT_EQ(make_factory(s).about.effect, wire::effect_promise::at_least_once);
}

} // namespace
} // namespace sallyport::adapters::sql
