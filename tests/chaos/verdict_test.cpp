// The judgement is shown a round in which all is well, and then each fault it is there for: a judge who never convicts proves nothing.
#include "tests/chaos/verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::chaos {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;

message_id message(std::uint64_t serial) {
  return {1, serial};
}
fence_token fence(std::uint64_t counter) {
  return {1, counter};
}
wall_time at(int ms) {
  return wall_time{milliseconds(1'800'000'000'000 + ms)};
}

/// Four settled messages, one of each queue, whose first holder was lost.
struct judged_round : ::testing::Test {
  judged_round() {
    std::uint64_t n = 0;
    for (auto q : queues) {
      ++n;
      auto& one = e.events.emplace_back();
      one.id = "r1-p0-" + std::to_string(n), one.target = q, one.ok = 2, one.told = {message(n), message(n)};
      auto& v = e.at_end[message(n)];
      v.message = message(n), v.id = one.id, v.connection = {std::string(to_string(q))}, v.state = "settled";
      v.history = {{at(0), "queued", {}, {}, {}, {}},
                   {at(1), "granted", "agent-0", {}, fence(10 * n), {}},
                   {at(2'000), "lost", "agent-0", {}, fence(10 * n), {}},
                   {at(2'001), "granted", "agent-1", {}, fence(10 * n + 1), {}},
                   {at(2'010), "settled", "agent-1", {}, fence(10 * n + 1), {}}};
    }
    e.rows = {{id(queue::sql), message(1), fence(11)}};
    e.inbox_rows = 1;
    e.files = {{id(queue::file), id(queue::file)}};
    e.orders = {{id(queue::http), to_string(message(3))}};
    e.grants = {{"hand-0", message(4), fence(40), 1}, {"hand-1", message(4), fence(41), 3}};
    e.started = {{message(4), fence(40), id(queue::hand), "hand-0", 2}, {message(4), fence(41), id(queue::hand), "hand-1", 4}};
    e.done = {e.started[1]};
    e.verdicts = {verdict_on(4, "hand-1", 41)};
  }
  static judge::seen_verdict verdict_on(std::uint64_t m, const std::string& agent, std::uint64_t f) {
    judge::seen_verdict v;
    v.agent = agent, v.message = message(m), v.fence = fence(f), v.kind = wire::verdict_kind::settled;
    v.counted = wire::outcome_kind::done, v.state = "settled", v.step = 5;
    return v;
  }
  event& of(queue q) { return e.events[static_cast<std::size_t>(q)]; }
  std::string id(queue q) { return of(q).id; }
  std::vector<std::string> laws() {
    std::vector<std::string> out;
    for (auto& v : weigh(e).violations)
      out.push_back(v.law);
    return out;
  }

  evidence e;
};

} // namespace

TEST_F(judged_round, in_which_all_is_well_is_acquitted) {
  const auto v = weigh(e);
  EXPECT_THAT(laws(), IsEmpty());
  EXPECT_EQ(v.expired_grants, 4u);
  EXPECT_EQ(v.lost + v.settled_twice + v.sql_effects_doubled + v.others, 0u);
}

TEST_F(judged_round, with_a_doubled_row_is_convicted) {
  e.rows.push_back(e.rows[0]);
  EXPECT_THAT(laws(), Contains("sql_once"));
  EXPECT_EQ(weigh(e).sql_effects_doubled, 1u);
}

TEST_F(judged_round, with_a_row_and_no_inbox_row_is_convicted) {
  e.inbox_rows = 0;
  EXPECT_THAT(laws(), Contains("inbox_and_effect"));
}

TEST_F(judged_round, with_an_acknowledged_message_that_is_gone_is_convicted) {
  e.at_end.erase(message(2));
  EXPECT_THAT(laws(), Contains("conservation"));
  EXPECT_GE(weigh(e).lost, 1u);
}

TEST_F(judged_round, with_a_message_that_never_ends_is_convicted) {
  e.at_end[message(2)].state = "granted";
  EXPECT_THAT(laws(), Contains("conservation"));
}

TEST_F(judged_round, with_a_settled_message_without_its_effect_is_convicted) {
  for (auto q : queues) {
    const auto kept = e;
    e.rows.clear(), e.inbox_rows = 0;
    if (q != queue::sql)
      e.rows = kept.rows, e.inbox_rows = 1;
    if (q == queue::file)
      e.files.clear();
    if (q == queue::http)
      e.orders.clear();
    if (q == queue::hand)
      e.done.clear();
    EXPECT_THAT(laws(), Contains("settled_has_its_effect")) << to_string(q);
    EXPECT_GE(weigh(e).lost, 1u);
    e = kept;
  }
}

TEST_F(judged_round, with_a_call_that_its_failure_settled_is_acquitted_without_an_effect) {
  of(queue::http).call = true, of(queue::http).call_ends = {judge::call_end::failed};
  e.at_end[message(3)].history.back().what = "failed";
  e.orders.clear();
  EXPECT_THAT(laws(), IsEmpty());
}

TEST_F(judged_round, with_a_message_settled_twice_by_its_history_is_convicted) {
  e.at_end[message(1)].history.push_back({at(2'020), "settled", "agent-0", {}, fence(10), {}});
  EXPECT_THAT(laws(), Contains("one_settlement"));
  EXPECT_EQ(weigh(e).settled_twice, 1u);
}

TEST_F(judged_round, in_which_a_stale_settlement_counted_is_convicted) {
  e.verdicts.push_back(verdict_on(4, "hand-0", 40));
  EXPECT_THAT(laws(), Contains("one_settlement"));
}

TEST_F(judged_round, with_a_fence_that_falls_is_convicted) {
  e.at_end[message(1)].history[3].fence = fence(9);
  EXPECT_THAT(laws(), Contains("fences_rise"));
}

TEST_F(judged_round, with_two_holders_at_once_is_convicted) {
  auto& history = e.at_end[message(1)].history;
  history.erase(history.begin() + 2);
  EXPECT_THAT(laws(), Contains("one_live_grant"));
}

TEST_F(judged_round, in_which_work_was_begun_under_an_old_fence_is_convicted) {
  e.started[0].step = 4;
  EXPECT_THAT(laws(), Contains("one_holder"));
}

TEST_F(judged_round, with_an_event_acknowledged_as_two_messages_is_convicted) {
  of(queue::sql).told.push_back(message(77));
  EXPECT_THAT(laws(), Contains("one_message"));
}

TEST_F(judged_round, in_which_a_refused_event_took_effect_is_convicted) {
  auto& one = e.events.emplace_back();
  one.id = "r1-p0-refused", one.failed = 3;
  e.rows.push_back({one.id, message(50), fence(50)}), e.inbox_rows = 2;
  EXPECT_THAT(laws(), Contains("refused_is_nowhere"));
  one.unknown = 1;
  EXPECT_THAT(laws(), IsEmpty()) << "one of three requests may have been carried out";
}

TEST_F(judged_round, with_half_a_batch_is_convicted) {
  for (auto* name : {"r1-p0-90", "r1-p0-91"}) {
    auto& one = e.events.emplace_back();
    one.id = name, one.unknown = 1, one.batch = 7;
  }
  EXPECT_THAT(laws(), IsEmpty());
  e.rows.push_back({"r1-p0-90", message(60), fence(60)}), e.inbox_rows = 2;
  EXPECT_THAT(laws(), Contains("batches_are_whole"));
  e.events.back().sent_alone = e.events[e.events.size() - 2].sent_alone = true;
  EXPECT_THAT(laws(), IsEmpty()) << "each was sent by itself as well";
  e.events.back().sent_alone = e.events[e.events.size() - 2].sent_alone = false;
  e.rows.push_back({"r1-p0-91", message(61), fence(61)}), e.inbox_rows = 3;
  EXPECT_THAT(laws(), IsEmpty());
}

TEST_F(judged_round, in_which_what_never_ran_has_run_is_convicted) {
  of(queue::http).cancelled = of(queue::http).cancel_said_never_ran = true;
  e.at_end[message(3)].state = "cancelled";
  EXPECT_THAT(laws(), Contains("never_started"));
}

TEST_F(judged_round, in_which_a_call_that_was_not_started_ran_is_convicted) {
  auto& one = of(queue::sql);
  one.call = true, one.call_ends = {judge::call_end::not_started};
  EXPECT_THAT(laws(), Contains("never_started"));
}

TEST_F(judged_round, with_a_message_granted_before_its_time_is_convicted) {
  of(queue::file).not_before = at(1'000);
  EXPECT_THAT(laws(), Contains("not_early"));
}

TEST_F(judged_round, with_two_keys_for_one_order_is_convicted) {
  e.orders.push_back({id(queue::http), "m1-99"});
  EXPECT_THAT(laws(), Contains("idempotency_key"));
  e.orders.back().key = e.orders.front().key;
  EXPECT_THAT(laws(), IsEmpty()) << "it may come again under the same key";
  EXPECT_EQ(weigh(e).http_repeated, 1u);
}

TEST_F(judged_round, with_a_key_out_of_order_at_the_table_is_convicted) {
  auto& later = e.events.emplace_back();
  later.id = "r1-p0-later", later.key = of(queue::sql).key = "k", later.ok = 1, later.told = {message(9)};
  auto& v = e.at_end[message(9)];
  v = e.at_end[message(1)];
  v.message = message(9), v.id = later.id;
  v.history = {{at(2'000), "queued", {}, {}, {}, {}},
               {at(2'010), "granted", "agent-1", {}, fence(90), {}},
               {at(2'011), "settled", "agent-1", {}, fence(90), {}}};
  e.rows.push_back({later.id, message(9), fence(90)}), e.inbox_rows = 2;
  EXPECT_THAT(laws(), IsEmpty());
  std::swap(e.rows[0], e.rows[1]);
  EXPECT_THAT(laws(), Contains("key_order"));
}

TEST_F(judged_round, with_half_a_file_is_convicted) {
  e.files[id(queue::file)] = "r1-";
  EXPECT_THAT(laws(), Contains("files_are_whole"));
}

TEST_F(judged_round, that_was_not_worked_off_is_convicted) {
  e.drained = false;
  EXPECT_THAT(laws(), Contains("drained"));
}

} // namespace sallyport::chaos
