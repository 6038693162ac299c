#include "runtime/core/lease_keeper.hpp"
#include "tests/runtime/core/core_test_support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::runtime {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using wire::outcome_kind;

constexpr session_id s1{9, 1}, s2{9, 2};

lease_settings settings() {
  lease_settings s;
  s.connections.resize(2);
  s.connections[0].name = connection_name{"db"};
  s.connections[1].name = connection_name{"web"};
  return s;
}

std::vector<std::uint64_t> numbers(const job_batch& b) {
  std::vector<std::uint64_t> n;
  for (auto& g : b.grants)
    n.push_back(g.message.serial);
  return n;
}
std::vector<std::uint64_t> numbers(const std::vector<wire::settlement>& items) {
  std::vector<std::uint64_t> n;
  for (auto& s : items)
    n.push_back(s.message.serial);
  return n;
}

/// How a whole batch ended.
outcome_batch ends(const job_batch& b, outcome_kind how = outcome_kind::done,
                   wire::failure_scope scope = wire::failure_scope::message) {
  outcome_batch o;
  o.id = b.id;
  o.connection = b.connection;
  for (auto& g : b.grants) {
    wire::settlement s;
    s.message = g.message;
    s.fence = g.fence;
    s.outcome = how;
    s.scope = scope;
    o.items.push_back(s);
  }
  return o;
}
wire::settle_reply all_settled(const std::vector<wire::settlement>& items,
                               wire::verdict_kind kind = wire::verdict_kind::settled) {
  wire::settle_reply r;
  for (auto& s : items) {
    auto& v = r.items.emplace_back();
    v.message = s.message;
    v.fence = s.fence;
    v.kind = kind;
    v.outcome = s.outcome;
  }
  return r;
}

/// A keeper with a session until 10'000 and hosts for both connections.
struct keeper : lease_keeper {
  explicit keeper(lease_settings s = settings(), std::size_t workers = 1, std::size_t batch_max = 1)
    : lease_keeper(std::move(s), 1) {
    started({s1, at(10'000), {}}, at(0));
    for (connection_index i = 0; i < 2; ++i) {
      host_joined(i, {workers, batch_max, {}, {}}, at(0));
      host_state(i, wire::reach::up, {}, at(0));
    }
  }
  actions bring(std::vector<wire::grant> grants, std::int64_t now = 0, std::int64_t asked = 0, session_id session = s1) {
    return granted({session, lane_id{"l"}, ++seq, at(asked), std::move(grants)}, at(now));
  }
  /// Answers everything that is to be settled, until nothing is; returns what was sent.
  std::vector<wire::settlement> answer_all(actions out, std::int64_t now = 0) {
    std::vector<wire::settlement> sent;
    for (auto s = all<lease::settle>(out); !s.empty(); s = all<lease::settle>(out)) {
      sent.insert(sent.end(), s[0].items->begin(), s[0].items->end());
      out = settled(all_settled(*s[0].items), at(now));
      for (auto& d : all<lease::dispatch>(out))
        later.push_back(*d.jobs);
    }
    return sent;
  }
  std::uint64_t seq = 0;
  std::vector<job_batch> later; // Dispatched while answers came.
};

// -- dispatch ----------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, begins_as_many_as_there_are_workers_and_the_next_when_one_ends) {
  keeper k{settings(), 2};
  auto first = all<lease::dispatch>(k.bring({grant(1), grant(2), grant(3)}));
  ASSERT_THAT(first, SizeIs(2));
  auto next = k.ended(ends(*first[0].jobs), at(5));
  EXPECT_THAT(numbers(*only<lease::dispatch>(next).jobs), ElementsAre(3));
}

TEST(lease_keeper, fills_batches_up_to_what_the_adapter_takes) {
  keeper k{settings(), 1, 3};
  std::vector<wire::grant> five;
  for (std::uint64_t n = 1; n <= 5; ++n)
    five.push_back(grant(n));
  auto first = only<lease::dispatch>(k.bring(five));
  EXPECT_THAT(numbers(*first.jobs), ElementsAre(1, 2, 3));
  EXPECT_THAT(numbers(*only<lease::dispatch>(k.ended(ends(*first.jobs), at(1))).jobs), ElementsAre(4, 5));
}

TEST(lease_keeper, a_batch_has_one_attempt_timeout) {
  keeper k{settings(), 1, 3};
  auto other = grant(2);
  other.attempt_timeout = milliseconds{5};
  EXPECT_THAT(numbers(*only<lease::dispatch>(k.bring({grant(1), other, grant(3)})).jobs), ElementsAre(1));
}

TEST(lease_keeper, starts_nothing_past_its_deadline_and_goes_on_when_the_session_proves_alive) {
  keeper k;
  EXPECT_THAT(all<lease::dispatch>(k.bring({grant(1)}, 10'000)), IsEmpty());
  auto alive = k.deadline(at(25'000), at(15'000));
  EXPECT_EQ(only<lease::dispatch>(alive).jobs->start_before, at(25'000));
}

TEST(lease_keeper, starts_nothing_between_the_asking_for_an_opening_and_its_answer) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2)}));
  auto p = k.presence_for({true, false});
  EXPECT_THAT(p.held, UnorderedElementsAre(wire::held_grant{m(1), f(101)}, wire::held_grant{m(2), f(102)}));
  EXPECT_FALSE(has<lease::dispatch>(k.ended(ends(*running.jobs), at(10))));
  EXPECT_THAT(numbers(*only<lease::dispatch>(k.started({s2, at(20'000), {}}, at(20))).jobs), ElementsAre(2));
}

TEST(lease_keeper, what_arrives_of_an_earlier_session_is_not_begun) {
  keeper k;
  (void)k.presence_for({true, false});
  EXPECT_FALSE(has<lease::dispatch>(k.bring({grant(1)})));
  k.started({s2, at(20'000), {}}, at(20));
  EXPECT_FALSE(has<lease::dispatch>(k.bring({grant(2)})));
  EXPECT_TRUE(has<lease::dispatch>(k.bring({grant(3)}, 0, 0, s2)));
  EXPECT_EQ(k.held(), 1u);
}

TEST(lease_keeper, a_repeated_answer_is_not_begun_twice) {
  keeper k{settings(), 4};
  EXPECT_TRUE(has<lease::dispatch>(k.bring({grant(1)})));
  EXPECT_FALSE(has<lease::dispatch>(k.bring({grant(1)})));
}

// Found by the simulator: the hub had taken the first grant back, and its word of it was lost.
TEST(lease_keeper, a_newer_fence_of_a_message_takes_the_place_of_one_not_begun) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2)}));
  k.bring({grant(2, "db", {}, 202)});
  k.bring({grant(2, "db", {}, 150)}); // Overtaken on its way.
  EXPECT_EQ(k.held(), 2u);
  auto next = only<lease::dispatch>(k.ended(ends(*running.jobs), at(5)));
  ASSERT_THAT(numbers(*next.jobs), ElementsAre(2));
  EXPECT_EQ(next.jobs->grants[0].fence, f(202));
}

TEST(lease_keeper, a_newer_fence_of_a_running_message_cancels_the_older_attempt) {
  keeper k;
  k.bring({grant(1)});
  auto c = only<lease::cancel>(k.bring({grant(1, "db", {}, 201)}));
  EXPECT_EQ(c.why, lease::cancel_reason::lost_lease);
  EXPECT_THAT(c.fences, ElementsAre(f(101)));
}

TEST(lease_keeper, a_newer_fence_of_a_settling_message_loses_nothing) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1)}));
  k.ended(ends(*running.jobs, outcome_kind::failed), at(5));
  k.bring({grant(1, "db", {}, 201)});
  EXPECT_EQ(k.snapshot()[0].counters.lost, 0u);
}

TEST(lease_keeper, a_grant_for_a_connection_it_does_not_have_is_given_back) {
  keeper k;
  auto out = k.bring({grant(1, "nobody")});
  EXPECT_TRUE(has<lease::remark>(out));
  auto sent = k.answer_all(out);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].outcome, outcome_kind::release);
  EXPECT_FALSE(sent[0].started);
}

// -- partition keys ----------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, messages_of_one_key_run_one_after_the_other_and_never_in_one_batch) {
  keeper k{settings(), 4, 8};
  auto first = all<lease::dispatch>(k.bring({grant(1, "db", "k"), grant(2, "db", "k"), grant(3, "db", "other"), grant(4)}));
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_THAT(numbers(*first[0].jobs), ElementsAre(1, 3, 4));
  EXPECT_THAT(numbers(*only<lease::dispatch>(k.ended(ends(*first[0].jobs), at(1))).jobs), ElementsAre(2));
}

TEST(lease_keeper, after_a_failure_the_rest_of_the_run_is_given_back_not_begun) {
  keeper k{settings(), 4};
  auto first = only<lease::dispatch>(k.bring({grant(1, "db", "k"), grant(2, "db", "k"), grant(3, "db", "k")}));
  auto sent = k.answer_all(k.ended(ends(*first.jobs, outcome_kind::failed), at(1)));
  EXPECT_THAT(numbers(sent), ElementsAre(1, 2, 3));
  EXPECT_EQ(sent[1].outcome, outcome_kind::release);
  EXPECT_FALSE(sent[1].started);
  EXPECT_THAT(k.later, IsEmpty());
  EXPECT_EQ(k.held(), 0u);
}

TEST(lease_keeper, what_was_granted_behind_a_failed_message_does_not_overtake_its_retry) {
  keeper k{settings(), 4};
  auto first = only<lease::dispatch>(k.bring({grant(1, "db", "k")}));
  auto failed = k.ended(ends(*first.jobs, outcome_kind::failed), at(10));
  // Under way while the failure was reported.
  auto in_between = k.bring({grant(2, "db", "k")}, 11, 5);
  EXPECT_FALSE(has<lease::dispatch>(in_between));
  k.answer_all(failed, 12);
  // Decided before the hub knew, arrived after its answer.
  EXPECT_FALSE(has<lease::dispatch>(k.bring({grant(3, "db", "k")}, 13, 5)));
  // The retry itself, and what follows it.
  EXPECT_TRUE(has<lease::dispatch>(k.bring({grant(1, "db", "k", 300)}, 14, 5)));
  // A straggler of the broken run is still no good; a younger fence is.
  EXPECT_FALSE(has<lease::dispatch>(k.bring({grant(4, "db", "k", 299)}, 15, 5)));
  auto next = k.bring({grant(2, "db", "k", 301)}, 16, 5);
  EXPECT_FALSE(has<lease::dispatch>(next)) << "behind the retry";
}

TEST(lease_keeper, a_key_goes_on_with_a_claim_that_was_sent_after_the_failure_was_known) {
  keeper k{settings(), 4};
  auto first = only<lease::dispatch>(k.bring({grant(1, "db", "k")}));
  k.answer_all(k.ended(ends(*first.jobs, outcome_kind::failed), at(10)), 20);
  // The head was done elsewhere, or is a dead letter.
  EXPECT_TRUE(has<lease::dispatch>(k.bring({grant(2, "db", "k", 400)}, 30, 25)));
}

TEST(lease_keeper, a_lost_message_takes_those_behind_it_along) {
  keeper k{settings(), 1};
  auto running = only<lease::dispatch>(k.bring({grant(9), grant(1, "db", "k"), grant(2, "db", "k"), grant(3, "db", "k")}));
  auto out = k.lost({{m(2), f(102)}}, at(5));
  auto sent = k.answer_all(out);
  EXPECT_THAT(numbers(sent), ElementsAre(3));
  auto next = k.ended(ends(*running.jobs), at(6));
  EXPECT_THAT(numbers(*only<lease::dispatch>(next).jobs), ElementsAre(1));
}

// -- settling ----------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, one_settle_request_is_under_way_and_the_next_gathers) {
  keeper k{settings(), 3};
  auto jobs = all<lease::dispatch>(k.bring({grant(1), grant(2), grant(3)}));
  auto first = only<lease::settle>(k.ended(ends(*jobs[0].jobs), at(1)));
  EXPECT_FALSE(has<lease::settle>(k.ended(ends(*jobs[1].jobs), at(2))));
  EXPECT_FALSE(has<lease::settle>(k.ended(ends(*jobs[2].jobs), at(3))));
  auto second = only<lease::settle>(k.settled(all_settled(*first.items), at(4)));
  EXPECT_THAT(numbers(*second.items), ElementsAre(2, 3));
  k.settled(all_settled(*second.items), at(5));
  EXPECT_EQ(k.held(), 0u);
}

TEST(lease_keeper, a_settlement_is_repeated_until_it_is_answered) {
  keeper k;
  auto jobs = only<lease::dispatch>(k.bring({grant(1)}));
  auto first = only<lease::settle>(k.ended(ends(*jobs.jobs), at(1)));
  auto now = at(2);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(has<lease::settle>(k.settled(make_error(errc::timed_out, "x"), now)));
    EXPECT_GT(k.next_wake(), now);
    now = k.next_wake();
    auto again = only<lease::settle>(k.tick(now));
    ASSERT_TRUE(again.items);
    EXPECT_THAT(numbers(*again.items), ElementsAre(1));
    EXPECT_EQ(again.items->front().fence, first.items->front().fence);
  }
  EXPECT_EQ(k.held(), 1u);
}

TEST(lease_keeper, a_new_session_is_told_the_unanswered_outcomes_at_once) {
  keeper k;
  auto jobs = only<lease::dispatch>(k.bring({grant(1)}));
  k.ended(ends(*jobs.jobs), at(1));
  k.settled(make_error(errc::unreachable, "x"), at(2));
  EXPECT_THAT(k.presence_for({true, false}).held, ElementsAre(wire::held_grant{m(1), f(101)}));
  EXPECT_TRUE(has<lease::settle>(k.started({s2, at(20'000), {}}, at(3))));
}

TEST(lease_keeper, finds_the_one_settlement_the_hub_cannot_read_and_settles_the_others) {
  auto s = settings();
  keeper k{s, 8};
  std::vector<wire::grant> grants;
  for (std::uint64_t n = 1; n <= 8; ++n)
    grants.push_back(grant(n));
  auto jobs = all<lease::dispatch>(k.bring(grants));
  auto out = k.ended(ends(*jobs[0].jobs), at(1)); // Under way alone; the other seven gather.
  for (std::size_t i = 1; i < 8; ++i)
    k.ended(ends(*jobs[i].jobs), at(1));
  std::size_t remarks = 0;
  for (int rounds = 0; has<lease::settle>(out) && rounds < 50; ++rounds) {
    auto items = only<lease::settle>(out).items;
    bool bad = false;
    for (auto& i : *items)
      bad |= i.message == m(5);
    out = bad ? k.settled(make_error(errc::invalid_request, "result of m1-5"), at(2)) : k.settled(all_settled(*items), at(2));
    remarks += all<lease::remark>(out).size();
  }
  EXPECT_EQ(k.held(), 0u);
  EXPECT_EQ(remarks, 1u);
}

TEST(lease_keeper, large_results_are_spread_over_requests) {
  auto s = settings();
  s.settle_bytes_max = 3'000;
  keeper k{s, 1, 4};
  auto jobs = only<lease::dispatch>(k.bring({grant(1), grant(2), grant(3), grant(4)}));
  auto o = ends(*jobs.jobs);
  for (auto& i : o.items)
    i.result = std::string(1'000, '1');
  auto first = only<lease::settle>(k.ended(o, at(1)));
  EXPECT_THAT(*first.items, SizeIs(2));
}

TEST(lease_keeper, lingers_for_more_outcomes_when_told_to) {
  auto s = settings();
  s.settle_linger = milliseconds{5};
  keeper k{s, 2};
  auto jobs = all<lease::dispatch>(k.bring({grant(1), grant(2)}));
  EXPECT_FALSE(has<lease::settle>(k.ended(ends(*jobs[0].jobs), at(10))));
  EXPECT_EQ(k.next_wake(), at(15));
  EXPECT_FALSE(has<lease::settle>(k.ended(ends(*jobs[1].jobs), at(12))));
  EXPECT_THAT(*only<lease::settle>(k.tick(at(15))).items, SizeIs(2));
}

TEST(lease_keeper, outcomes_that_do_not_count_end_the_grant_and_are_remarked) {
  keeper k;
  auto jobs = only<lease::dispatch>(k.bring({grant(1)}));
  auto sent = only<lease::settle>(k.ended(ends(*jobs.jobs), at(1)));
  auto out = k.settled(all_settled(*sent.items, wire::verdict_kind::stale), at(2));
  EXPECT_THAT(only<lease::remark>(out).text, HasSubstr("stale"));
  EXPECT_EQ(k.held(), 0u);
  EXPECT_EQ(k.snapshot()[0].counters.refused, 1u);
}

TEST(lease_keeper, the_host_may_forget_a_batch_when_all_of_it_was_answered) {
  auto s = settings();
  s.settle_items_max = 2;
  keeper k{s, 1, 3};
  auto jobs = only<lease::dispatch>(k.bring({grant(1), grant(2), grant(3)}));
  auto first = only<lease::settle>(k.ended(ends(*jobs.jobs), at(1)));
  auto out = k.settled(all_settled(*first.items), at(2));
  EXPECT_FALSE(has<lease::confirm>(out));
  out = k.settled(all_settled(*only<lease::settle>(out).items), at(3));
  EXPECT_THAT(only<lease::confirm>(out).batches, ElementsAre(jobs.jobs->id));
}

// -- losing ------------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, a_fence_lost_before_it_was_begun_is_dropped) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2)}));
  EXPECT_FALSE(has<lease::cancel>(k.lost({{m(2), f(102)}}, at(5))));
  EXPECT_FALSE(has<lease::dispatch>(k.ended(ends(*running.jobs), at(6))));
}

TEST(lease_keeper, a_fence_lost_while_it_runs_is_cancelled_and_settled_as_evidence) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1)}));
  auto c = only<lease::cancel>(k.lost({{m(1), f(101)}}, at(5)));
  EXPECT_EQ(c.why, lease::cancel_reason::lost_lease);
  EXPECT_THAT(c.fences, ElementsAre(f(101)));
  EXPECT_EQ(k.presence_for({false, false}).held_count, 0u);
  EXPECT_THAT(k.answer_all(k.ended(ends(*running.jobs), at(6))), SizeIs(1));
  EXPECT_EQ(k.held(), 0u);
}

TEST(lease_keeper, work_that_may_finish_is_not_cancelled_when_its_lease_is_lost) {
  auto s = settings();
  s.connections[0].cancel_when_lost = false;
  keeper k{s};
  k.bring({grant(1)});
  EXPECT_FALSE(has<lease::cancel>(k.lost({{m(1), f(101)}}, at(5))));
}

TEST(lease_keeper, at_its_own_deadline_it_cancels_only_what_may_not_finish) {
  auto s = settings();
  s.connections[0].cancel_when_lost = false;
  keeper k{s};
  k.bring({grant(1), grant(2, "web")});
  EXPECT_EQ(k.next_wake(), at(10'000));
  auto c = only<lease::cancel>(k.tick(at(10'000)));
  EXPECT_EQ(c.connection, 1u);
  EXPECT_FALSE(has<lease::cancel>(k.tick(at(10'001))));
}

TEST(lease_keeper, a_rebound_fence_goes_on_and_one_named_lost_does_not) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2), grant(3)}));
  (void)k.presence_for({true, false});
  k.started({s2, at(20'000), {{m(2), f(102)}}}, at(20));
  EXPECT_THAT(numbers(*only<lease::dispatch>(k.ended(ends(*running.jobs), at(21))).jobs), ElementsAre(3));
}

// -- what the hub is told ------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, the_summary_is_that_of_all_fences_held_until_they_are_answered) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2)}));
  held_summary expected;
  expected.add(f(101));
  expected.add(f(102));
  auto p = k.presence_for({false, false});
  EXPECT_EQ(p.held_count, 2u);
  EXPECT_EQ(p.held_hash, expected.hash());
  auto out = k.ended(ends(*running.jobs), at(1));
  EXPECT_EQ(k.presence_for({false, false}).held_count, 2u);
  k.answer_all(out);
  expected.remove(f(101));
  EXPECT_EQ(k.presence_for({false, false}).held_hash, expected.hash());
}

TEST(lease_keeper, a_list_names_the_last_seq_received_per_lane_and_unanswered_settlements) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2)}));
  k.bring({});
  k.ended(ends(*running.jobs), at(1));
  auto p = k.presence_for({false, true});
  ASSERT_TRUE(p.list);
  ASSERT_THAT(p.list->lanes, SizeIs(1));
  EXPECT_EQ(p.list->lanes[0].seq, 2u);
  EXPECT_THAT(p.list->held, UnorderedElementsAre(wire::held_grant{m(1), f(101)}, wire::held_grant{m(2), f(102)}));
}

TEST(lease_keeper, lanes_are_forgotten_with_their_session) {
  keeper k;
  k.bring({grant(1)});
  (void)k.presence_for({true, false});
  k.started({s2, at(20'000), {}}, at(1));
  EXPECT_THAT(k.presence_for({false, true}).list->lanes, IsEmpty());
}

// -- attempts ----------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, an_attempt_past_its_time_is_told_to_stop_and_its_own_word_counts) {
  auto s = settings();
  keeper k{s};
  auto g = grant(1);
  g.attempt_timeout = milliseconds{1'000};
  auto running = only<lease::dispatch>(k.bring({g}));
  EXPECT_EQ(k.next_wake(), at(1'000));
  EXPECT_EQ(only<lease::cancel>(k.tick(at(1'000))).why, lease::cancel_reason::attempt_timeout);
  auto sent = k.answer_all(k.ended(ends(*running.jobs), at(1'100)));
  EXPECT_EQ(sent[0].outcome, outcome_kind::done);
}

TEST(lease_keeper, an_adapter_that_ignores_the_signal_is_reported_failed_and_keeps_its_worker) {
  keeper k;
  auto g = grant(1);
  g.attempt_timeout = milliseconds{1'000};
  auto running = only<lease::dispatch>(k.bring({g, grant(2)}));
  k.tick(at(1'000));
  auto out = k.tick(at(2'000));
  auto sent = k.answer_all(out);
  ASSERT_THAT(numbers(sent), ElementsAre(1, 2)) << "what waited behind it need not wait for it";
  EXPECT_EQ(sent[0].outcome, outcome_kind::failed);
  EXPECT_EQ(sent[0].effect, wire::effect_state::unknown);
  EXPECT_EQ(sent[1].outcome, outcome_kind::release);
  EXPECT_EQ(k.room().connections[0].room, 0u) << "the worker is still occupied";
  // It returns after all: too late to count, but the worker is free.
  auto late = k.ended(ends(*running.jobs), at(3'000));
  EXPECT_FALSE(has<lease::settle>(late));
  EXPECT_THAT(only<lease::confirm>(late).batches, ElementsAre(running.jobs->id));
  EXPECT_GT(k.room().connections[0].room, 0u);
}

TEST(lease_keeper, while_other_workers_are_free_work_goes_on_beside_a_stuck_one) {
  keeper k{settings(), 2};
  auto g = grant(1);
  g.attempt_timeout = milliseconds{1'000};
  auto running = all<lease::dispatch>(k.bring({g, grant(2), grant(3)}));
  k.tick(at(1'000));
  EXPECT_THAT(numbers(k.answer_all(k.tick(at(2'000)))), ElementsAre(1));
  EXPECT_THAT(numbers(*only<lease::dispatch>(k.ended(ends(*running[1].jobs), at(2'500))).jobs), ElementsAre(3));
}

// -- hosts -------------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, when_a_target_is_down_what_was_not_begun_goes_to_others) {
  keeper k;
  k.bring({grant(1), grant(2), grant(3)});
  auto out = k.host_state(0, wire::reach::down, "refused", at(5));
  EXPECT_TRUE(has<lease::announce>(out));
  auto sent = k.answer_all(out);
  EXPECT_THAT(numbers(sent), ElementsAre(2, 3));
  EXPECT_EQ(k.room().connections[0].room, 0u);
}

TEST(lease_keeper, after_a_failure_of_the_target_the_rest_is_given_back_unattempted) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2), grant(3)}));
  auto sent = k.answer_all(k.ended(ends(*running.jobs, outcome_kind::failed, wire::failure_scope::target), at(5)));
  EXPECT_THAT(numbers(sent), ElementsAre(1, 2, 3));
  EXPECT_EQ(sent[2].outcome, outcome_kind::release);
}

TEST(lease_keeper, a_dead_host_charges_the_message_that_was_alone_and_returns_the_rest) {
  keeper k;
  k.bring({grant(1), grant(2)});
  auto sent = k.answer_all(k.host_gone(0, at(5)));
  ASSERT_THAT(numbers(sent), ElementsAre(1, 2));
  EXPECT_EQ(sent[0].outcome, outcome_kind::failed);
  EXPECT_EQ(sent[0].effect, wire::effect_state::unknown);
  EXPECT_EQ(sent[1].outcome, outcome_kind::release);
  EXPECT_FALSE(sent[1].started);
  EXPECT_EQ(k.room().connections[0].room, 0u);
  EXPECT_GT(k.room().connections[1].room, 0u) << "the others go on";
}

TEST(lease_keeper, a_crashed_batch_of_an_exactly_once_adapter_returns_uncounted_and_is_then_tried_one_by_one) {
  auto s = settings();
  s.connections[0].effect = wire::effect_promise::exactly_once;
  keeper k{s, 1, 4};
  k.bring({grant(1), grant(2)});
  auto sent = k.answer_all(k.host_gone(0, at(5)));
  EXPECT_EQ(sent[0].outcome, outcome_kind::release);
  EXPECT_TRUE(sent[0].started);
  k.host_joined(0, {1, 4, {}, {}}, at(6));
  k.host_state(0, wire::reach::up, {}, at(6));
  auto again = only<lease::dispatch>(k.bring({grant(1, "db", "", 201), grant(2, "db", "", 202)}, 7));
  EXPECT_THAT(numbers(*again.jobs), ElementsAre(1));
}

TEST(lease_keeper, a_crashed_batch_that_must_not_be_repeated_lightly_is_charged_as_a_whole) {
  keeper k{settings(), 1, 4}; // at_least_once
  k.bring({grant(1), grant(2)});
  for (auto& s : k.answer_all(k.host_gone(0, at(5))))
    EXPECT_EQ(s.outcome, outcome_kind::failed);
}

TEST(lease_keeper, after_a_restart_it_learns_from_the_hosts_what_runs_and_what_is_unanswered) {
  keeper before{settings(), 2};
  auto jobs = all<lease::dispatch>(before.bring({grant(1, "db", "k"), grant(2)}));
  auto outcome = std::make_shared<const outcome_batch>(ends(*jobs[1].jobs));

  auto s = settings();
  s.life = 2;
  lease_keeper after{s, 2};
  after.host_joined(0, {2, 1, {{jobs[0].jobs, at(0)}}, {outcome}}, at(100));
  EXPECT_THAT(after.presence_for({true, false}).held,
              UnorderedElementsAre(wire::held_grant{m(1), f(101)}, wire::held_grant{m(2), f(102)}));
  auto out = after.started({s2, at(20'000), {}}, at(101));
  (void)out;
  // Behind the running message of its key.
  EXPECT_FALSE(has<lease::dispatch>(after.granted({s2, lane_id{"l"}, 1, at(100), {grant(3, "db", "k")}}, at(102))));
  auto done = after.ended(ends(*jobs[0].jobs), at(103));
  auto next = only<lease::dispatch>(done);
  ASSERT_TRUE(next.jobs);
  EXPECT_THAT(numbers(*next.jobs), ElementsAre(3));
  EXPECT_NE(next.jobs->id, jobs[0].jobs->id);
}

TEST(lease_keeper, an_adopted_attempt_keeps_its_time) {
  auto g = grant(1);
  g.attempt_timeout = milliseconds{1'000};
  auto jobs = std::make_shared<job_batch>();
  jobs->id = {1, 1};
  jobs->attempt_timeout = g.attempt_timeout;
  jobs->grants = {g};
  lease_keeper k{settings(), 1};
  k.host_joined(0, {1, 1, {{jobs, at(500)}}, {}}, at(600));
  EXPECT_EQ(k.next_wake(), at(1'500));
}

// -- room --------------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, there_is_room_only_for_connections_that_are_up) {
  lease_keeper k{settings(), 1};
  k.host_joined(0, {2, 4, {}, {}}, at(0));
  EXPECT_EQ(k.room().connections[0].room, 0u);
  k.host_state(0, wire::reach::up, {}, at(0));
  EXPECT_EQ(k.room().connections[0].room, 16u);
  EXPECT_EQ(k.room().connections[1].room, 0u);
}

TEST(lease_keeper, what_is_done_takes_no_credit_while_its_verdict_is_under_way_but_counts_for_the_window) {
  auto s = settings();
  s.window = 5;
  keeper k{s};
  const auto free = k.room().connections[0].room;
  auto running = only<lease::dispatch>(k.bring({grant(1)}));
  EXPECT_EQ(k.room().connections[0].room, free - 1);
  auto out = k.ended(ends(*running.jobs), at(1));
  EXPECT_EQ(k.room().connections[0].room, free);
  EXPECT_EQ(k.room().total, 4u);
  k.answer_all(out, 2);
  EXPECT_EQ(k.room().total, 5u);
}

TEST(lease_keeper, asks_for_nothing_while_it_holds_as_many_bytes_as_it_may) {
  auto s = settings();
  s.window_bytes = 64;
  keeper k{s};
  auto large = grant(1);
  large.event = std::make_shared<const std::string>(64, 'x');
  auto running = only<lease::dispatch>(k.bring({large}));
  EXPECT_EQ(k.room().total, 0u);
  auto out = k.ended(ends(*running.jobs), at(1));
  k.answer_all(out, 2);
  EXPECT_EQ(k.room().total, s.window);
}

TEST(lease_keeper, grants_of_a_finished_session_count_as_received) {
  keeper k;
  k.bring({grant(1)}, 0, 0, s2);
  EXPECT_EQ(k.room().connections[0].received, 1u);
  EXPECT_EQ(k.held(), 0u);
}

// -- drain -------------------------------------------------------------------------------------------------------------------------

TEST(lease_keeper, a_drain_works_off_what_is_held_and_then_is_idle) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1), grant(2)}));
  auto out = k.drain(at(5'000), milliseconds{2'000}, at(10));
  EXPECT_TRUE(has<lease::announce>(out));
  EXPECT_EQ(k.room().total, 0u);
  for (auto& c : k.presence_for({false, false}).connections)
    EXPECT_EQ(c.state, wire::reach::down);
  auto next = k.ended(ends(*running.jobs), at(20));
  k.answer_all(next, 20);
  auto second = only<lease::dispatch>(next);
  out = k.ended(ends(*second.jobs), at(30));
  auto last = k.settled(all_settled(*only<lease::settle>(out).items), at(31));
  EXPECT_TRUE(has<lease::idle>(last));
}

TEST(lease_keeper, a_drain_that_is_over_gives_back_the_rest_cancels_what_runs_and_gives_it_up) {
  keeper k;
  k.bring({grant(1), grant(2)});
  k.drain(at(5'000), milliseconds{2'000}, at(10));
  auto over = k.tick(at(5'000));
  EXPECT_EQ(only<lease::cancel>(over).why, lease::cancel_reason::shutdown);
  auto sent = k.answer_all(over, 5'000);
  EXPECT_THAT(numbers(sent), ElementsAre(2));
  EXPECT_FALSE(sent[0].started);
  EXPECT_EQ(k.next_wake(), at(7'000));
  auto given_up = k.tick(at(7'000));
  auto last = only<lease::settle>(given_up);
  ASSERT_TRUE(last.items);
  EXPECT_EQ(last.items->front().outcome, outcome_kind::release);
  EXPECT_TRUE(last.items->front().started);
  EXPECT_TRUE(has<lease::idle>(k.settled(all_settled(*last.items), at(7'001))));
}

TEST(lease_keeper, work_stopped_by_a_drain_that_is_over_costs_no_attempt) {
  keeper k;
  auto running = only<lease::dispatch>(k.bring({grant(1)}));
  k.drain(at(100), milliseconds{2'000}, at(10));
  k.tick(at(100));
  outcome_batch stopped;
  stopped.id = running.jobs->id;
  stopped.items.emplace_back();
  auto& s = stopped.items.front();
  s.message = running.jobs->grants.front().message, s.fence = running.jobs->grants.front().fence;
  s.outcome = outcome_kind::failed, s.effect = wire::effect_state::unknown;
  auto sent = only<lease::settle>(k.ended(stopped, at(200)));
  EXPECT_EQ(sent.items->front().outcome, outcome_kind::release);
  EXPECT_TRUE(sent.items->front().started);
}

TEST(lease_keeper, an_idle_keeper_drains_at_once) {
  keeper k;
  EXPECT_TRUE(has<lease::idle>(k.drain(at(5'000), milliseconds{2'000}, at(10))));
}

TEST(lease_keeper, what_arrives_after_a_drain_is_over_is_given_back) {
  keeper k;
  k.drain(at(100), milliseconds{2'000}, at(10));
  k.tick(at(100));
  auto sent = k.answer_all(k.bring({grant(1)}, 101));
  EXPECT_EQ(sent.at(0).outcome, outcome_kind::release);
}

} // namespace
} // namespace sallyport::runtime
