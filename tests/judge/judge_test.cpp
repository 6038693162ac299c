// Every law is shown a history that keeps it and one that breaks it: a judge who never convicts proves nothing.
#include "tests/judge/judge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::judge {
namespace {

using testing::Contains;
using testing::IsEmpty;

constexpr wall_time noon{milliseconds{1'800'000'000'000}};
wall_time at(int ms) {
  return noon + milliseconds{ms};
}
fence_token fence(std::uint64_t counter, std::uint64_t epoch = 1) {
  return {epoch, counter};
}

/// One event, sent, granted twice (the first holder was lost), settled under the second fence.
struct told : testing::Test {
  told() {
    auto& e = h.events["e1"];
    e.id = "e1", e.tried = true, e.message = m1, e.told = {m1, m1};
    h.epochs = {{{1}, 1, at(0)}};
    h.openings = {{"a", {1, 1}, sa, {}, {}, at(0), at(0), 1}, {"b", {1, 1}, sb, {}, {}, at(0), at(0), 1}};
    h.asked_openings = {{"a", {1, 1}, 1, at(0)}, {"b", {1, 1}, 1, at(0)}};
    h.claims = {{sa, {"l"}, 1, {{m1, fence(1)}}, 9, 10}, {sb, {"l"}, 1, {{m1, fence(2)}}, 29, 30}};
    h.grants = {{"a", m1, fence(1), 10}, {"b", m1, fence(2), 30}};
    h.answers = {{sa, said_to_session::how::served, at(100), 9, 10}, {sb, said_to_session::how::served, at(11'000), 29, 30}};
    h.started = {{m1, fence(1), "e1", "a", 11}, {m1, fence(2), "e1", "b", 31}};
    h.committed = {{m1, fence(2), "e1", "b", 32}};
    seen_verdict v;
    v.agent = "b", v.message = m1, v.fence = fence(2), v.kind = wire::verdict_kind::settled, v.counted = wire::outcome_kind::done;
    v.step = 40;
    h.verdicts = {v}, h.said_verdicts = {v};
    auto& word = h.at_end[m1];
    word.message = m1, word.id = "e1", word.state = "settled";
    word.history = {note(0, "queued"), note(100, "granted", "a", sa, fence(1)), note(10'200, "lost", "a", sa, fence(1)),
                    note(11'000, "granted", "b", sb, fence(2)), note(11'100, "settled", "b", sb, fence(2))};
    expected.session_ttl = milliseconds{10'000};
    expected.max_attempts = 3;
  }
  static wire::history_entry note(int ms, std::string what, std::string agent = {}, session_id session = {}, fence_token f = {},
                                  std::string detail = {}) {
    return {at(ms), std::move(what), std::move(agent), to_string(session), f, std::move(detail)};
  }
  std::vector<std::string> broken() {
    judge(h, expected);
    std::vector<std::string> laws;
    for (auto& v : h.violations)
      laws.push_back(v.law);
    return laws;
  }
  static constexpr message_id m1{1, 1}, m2{1, 2};
  static constexpr session_id sa{1, 1}, sb{1, 2};
  history h;
  expectations expected;
};

using laws = told;

TEST_F(laws, a_faultless_history_breaks_none) {
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(laws, an_acknowledged_event_that_is_gone_breaks_conservation) {
  h.at_end.clear();
  EXPECT_THAT(broken(), Contains("conservation"));
}
TEST_F(laws, an_acknowledged_event_that_is_still_waiting_breaks_conservation_once_all_is_drained) {
  h.at_end[m1].state = "delayed";
  h.verdicts.clear(), h.said_verdicts.clear();
  expected.drained = false;
  EXPECT_THAT(broken(), IsEmpty());
  expected.drained = true;
  EXPECT_THAT(broken(), Contains("conservation"));
}
TEST_F(laws, an_event_without_an_end_that_expired_breaks_conservation) {
  h.verdicts.clear(), h.said_verdicts.clear();
  h.at_end[m1].state = "expired";
  EXPECT_THAT(broken(), Contains("conservation"));
}
TEST_F(laws, an_event_that_nobody_cancelled_and_is_breaks_conservation) {
  h.verdicts.clear(), h.said_verdicts.clear();
  h.at_end[m1].state = "cancelled";
  EXPECT_THAT(broken(), Contains("conservation"));
}
TEST_F(laws, an_unacknowledged_event_may_be_there_or_not) {
  h.events["e2"].id = "e2", h.events["e2"].tried = true;
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(laws, an_event_acknowledged_as_two_messages_breaks_one_message) {
  h.events["e1"].told.push_back(m2);
  EXPECT_THAT(broken(), Contains("one_message"));
}

TEST_F(laws, a_lower_fence_after_a_higher_breaks_fences_rise) {
  std::swap(h.at_end[m1].history[1].fence, h.at_end[m1].history[3].fence);
  EXPECT_THAT(broken(), Contains("fences_rise"));
}
TEST_F(laws, one_fence_given_to_two_agents_breaks_fences_rise) {
  h.grants[1].fence = fence(1);
  EXPECT_THAT(broken(), Contains("fences_rise"));
}
TEST_F(laws, a_fence_of_an_old_epoch_after_one_of_a_new_breaks_fences_rise) {
  h.claims.push_back({sb, {"l"}, 2, {{m1, fence(9, 0)}}, 49, 50});
  EXPECT_THAT(broken(), Contains("fences_rise"));
}
TEST_F(laws, one_fence_said_for_two_messages_breaks_fences_rise) {
  h.claims.push_back({sb, {"l"}, 2, {{m2, fence(2)}}, 49, 50});
  EXPECT_THAT(broken(), Contains("fences_rise"));
}
TEST_F(laws, an_epoch_that_does_not_rise_breaks_fences_rise) {
  h.epochs.push_back({{1}, 20, at(0)});
  EXPECT_THAT(broken(), Contains("fences_rise"));
}

TEST_F(laws, work_begun_under_an_old_fence_breaks_one_holder) {
  h.started.push_back({m1, fence(1), "e1", "a", 35});
  EXPECT_THAT(broken(), Contains("one_holder"));
}
TEST_F(laws, work_begun_under_a_fence_that_was_taken_breaks_nothing_until_its_holder_has_a_newer_one) {
  h.at_end[m1].history[2] = note(10'200, "hold_limit", "a", sa, fence(1));
  h.started.push_back({m1, fence(1), "e1", "a", 35});
  EXPECT_THAT(broken(), IsEmpty());
  h.grants[1].agent = "a";
  h.verdicts[0].step = 34; // It has ended: a late word of the old one may reach the holder yet.
  EXPECT_THAT(broken(), IsEmpty());
  h.verdicts[0].step = 40;
  EXPECT_THAT(broken(), Contains("one_holder"));
}
TEST_F(laws, a_grant_made_before_the_last_one_ended_breaks_one_holder) {
  h.at_end[m1].history[3].at = at(9'000);
  EXPECT_THAT(broken(), Contains("one_holder"));
}

TEST_F(laws, a_grant_lost_while_its_session_was_heard_from_breaks_live_until_silent) {
  h.answers.push_back({sa, said_to_session::how::expired, at(10'100), 20, 21});
  EXPECT_THAT(broken(), Contains("live_until_silent"));
}
TEST_F(laws, a_session_that_expires_while_it_is_heard_from_breaks_live_until_silent) {
  h.answers.push_back({sb, said_to_session::how::expired, at(20'900), 50, 51});
  EXPECT_THAT(broken(), Contains("live_until_silent"));
}
TEST_F(laws, a_grant_lost_soon_after_the_hub_started_or_stood_still_breaks_live_until_silent) {
  h.standstills = {{milliseconds{3'000}, at(5'000)}};
  EXPECT_THAT(broken(), IsEmpty()) << "it was short";
  h.standstills = {{milliseconds{4'000}, at(5'000)}};
  EXPECT_THAT(broken(), Contains("live_until_silent"));
  h.violations.clear(), h.standstills.clear();
  h.epochs.push_back({{2}, 15, at(5'000)});
  EXPECT_THAT(broken(), Contains("live_until_silent"));
}
TEST_F(laws, a_loss_of_a_process_that_came_back_breaks_losses_taken_back) {
  h.openings.push_back({"a", {1, 2}, {1, 3}, {}, {}, at(10'500), at(10'500), 25});
  EXPECT_THAT(broken(), Contains("losses_taken_back"));
  h.violations.clear();
  h.at_end[m1].history.insert(h.at_end[m1].history.begin() + 3, note(10'500, "loss_forgiven", "a", sa, fence(1)));
  EXPECT_THAT(broken(), IsEmpty());
}
TEST_F(laws, a_grant_lost_to_a_new_process_of_the_agent_breaks_nothing) {
  h.answers.push_back({sa, said_to_session::how::served, at(10'100), 20, 21});
  h.asked_openings.push_back({"a", {2, 1}, 22, at(10'150)});
  EXPECT_THAT(broken(), IsEmpty());
}

TEST_F(laws, a_session_served_after_it_was_replaced_breaks_replaced_is_silent) {
  h.openings.push_back({"a", {2, 1}, {1, 3}, {}, {}, at(200), at(200), 15});
  h.answers.push_back({sa, said_to_session::how::served, at(300), 16, 17});
  EXPECT_THAT(broken(), Contains("replaced_is_silent"));
}
TEST_F(laws, an_old_incarnation_that_opens_breaks_replaced_is_silent) {
  h.openings.push_back({"a", {2, 1}, {1, 3}, {}, {}, at(200), at(200), 15});
  h.openings.push_back({"a", {1, 2}, {1, 4}, {}, {}, at(300), at(300), 16});
  EXPECT_THAT(broken(), Contains("replaced_is_silent"));
}

TEST_F(laws, two_settlements_break_one_settlement) {
  auto v = h.verdicts[0];
  v.agent = "a", v.fence = fence(1);
  h.verdicts.push_back(v);
  EXPECT_THAT(broken(), Contains("one_settlement"));
}
TEST_F(laws, a_settlement_under_a_fence_that_is_not_the_highest_breaks_one_settlement) {
  h.grants.push_back({"c", m1, fence(3), 50});
  EXPECT_THAT(broken(), Contains("one_settlement"));
}

TEST_F(laws, a_stale_fence_that_counts_breaks_stale_changes_nothing) {
  auto v = h.said_verdicts[0];
  v.agent = "a", v.fence = fence(1), v.step = 35;
  h.said_verdicts.insert(h.said_verdicts.begin(), v);
  EXPECT_THAT(broken(), Contains("stale_changes_nothing"));
}
TEST_F(laws, a_fence_that_was_taken_back_and_settles_breaks_stale_changes_nothing) {
  h.at_end[m1].history[4] = note(11'050, "taken_back", "b", sb, fence(2));
  h.at_end[m1].history.push_back(note(11'100, "settled", "b", sb, fence(2)));
  EXPECT_THAT(broken(), Contains("stale_changes_nothing"));
}

TEST_F(laws, another_outcome_of_the_same_fence_breaks_same_answer) {
  auto v = h.said_verdicts[0];
  v.counted = wire::outcome_kind::failed, v.kind = wire::verdict_kind::already, v.step = 50;
  h.said_verdicts.push_back(v);
  EXPECT_THAT(broken(), Contains("same_answer"));
}
TEST_F(laws, a_fence_that_counted_and_is_unknown_later_breaks_same_answer) {
  auto v = h.said_verdicts[0];
  v.counted = {}, v.kind = wire::verdict_kind::unknown, v.step = 50;
  h.said_verdicts.push_back(v);
  EXPECT_THAT(broken(), Contains("same_answer"));
}
TEST_F(laws, a_repeated_claim_with_other_grants_breaks_same_answer) {
  h.claims.push_back({sb, {"l"}, 1, {{m2, fence(3)}}, 39, 40});
  EXPECT_THAT(broken(), Contains("same_answer"));
}
TEST_F(laws, a_call_answered_in_two_ways_breaks_same_answer) {
  h.events["e1"].call_ends = {call_end::result, call_end::unknown, call_end::failed};
  EXPECT_THAT(broken(), Contains("same_answer"));
}

struct keyed : told {
  keyed() {
    for (auto& [id, m] : std::map<std::string, message_id>{{"e1", m1}, {"e2", m2}}) {
      auto& e = h.events[id];
      e.id = id, e.key = "k", e.tried = true, e.message = m;
    }
    auto& word = h.at_end[m2];
    word.message = m2, word.id = "e2", word.state = "settled";
    word.history = {note(0, "queued"), note(11'200, "granted", "b", sb, fence(4)), note(11'300, "settled", "b", sb, fence(4))};
    h.committed.push_back({m2, fence(4), "e2", "b", 60});
    auto v = h.said_verdicts[0];
    v.message = m2, v.fence = fence(4), v.step = 61;
    h.said_verdicts.push_back(v);
  }
};
TEST_F(keyed, one_after_the_other_breaks_nothing) {
  EXPECT_THAT(broken(), IsEmpty());
}
TEST_F(keyed, a_message_granted_while_an_earlier_of_its_key_waited_breaks_key_order) {
  h.at_end[m2].history[1].at = at(10'500); // e1 was lost at 10'200 and granted again at 11'000.
  EXPECT_THAT(broken(), Contains("key_order"));
}
TEST_F(keyed, a_message_settled_while_an_earlier_of_its_key_waited_breaks_key_order) {
  h.at_end[m2].history[1].at = at(10'100), h.at_end[m2].history[2].at = at(10'500);
  EXPECT_THAT(broken(), Contains("key_order"));
  h.violations.clear();
  h.at_end[m2].history.insert(h.at_end[m2].history.begin() + 2, note(10'250, "disconnected", "b", sb, fence(4)));
  EXPECT_THAT(broken(), IsEmpty()) << "a late report of what was done in time";
}
TEST_F(keyed, effects_out_of_order_break_key_order) {
  std::swap(h.committed[0], h.committed[1]);
  EXPECT_THAT(broken(), Contains("key_order"));
}

TEST_F(laws, a_grant_before_its_time_breaks_not_early) {
  h.events["e1"].not_before = at(5'000);
  EXPECT_THAT(broken(), Contains("not_early"));
}

TEST_F(laws, a_call_that_never_started_and_ran_breaks_never_started) {
  h.events["e1"].call_ends = {call_end::not_started};
  EXPECT_THAT(broken(), Contains("never_started"));
}
TEST_F(laws, a_cancelled_message_that_was_settled_breaks_never_started) {
  h.events["e1"].cancelled = true;
  EXPECT_THAT(broken(), Contains("never_started"));
}

TEST_F(laws, two_effects_break_effect_once) {
  h.committed.push_back({m1, fence(1), "e1", "a", 33});
  EXPECT_THAT(broken(), Contains("effect_once"));
}
TEST_F(laws, two_effects_at_a_target_without_inbox_break_nothing) {
  h.committed.push_back({m1, fence(1), "e1", "a", 33});
  h.events["e1"].effect_counts = false;
  EXPECT_THAT(broken(), IsEmpty());
}
TEST_F(laws, a_settlement_without_an_effect_breaks_effect_once) {
  h.committed.clear();
  EXPECT_THAT(broken(), Contains("effect_once"));
}

struct dead : told {
  dead() {
    h.verdicts.clear(), h.said_verdicts.clear();
    h.at_end[m1].state = "dead";
    h.at_end[m1].history.back() = note(11'100, "dead", "b", sb, fence(2));
  }
  void fails(std::uint64_t f, bool retryable = true) {
    wire::settlement s;
    s.message = m1, s.fence = fence(f), s.outcome = wire::outcome_kind::failed, s.retryable = retryable;
    h.sent.push_back({"b", s, 33});
  }
};
TEST_F(dead, after_fewer_failures_than_it_had_breaks_fair_dead_letters) {
  fails(1), fails(2), fails(2);
  EXPECT_THAT(broken(), Contains("fair_dead_letters"));
}
TEST_F(dead, after_all_its_failures_or_a_hopeless_one_breaks_nothing) {
  fails(2, false);
  EXPECT_THAT(broken(), IsEmpty());
}
TEST_F(dead, for_losses_of_processes_that_came_back_breaks_fair_dead_letters) {
  h.at_end[m1].error = "lost 3 times";
  h.at_end[m1].history = {note(0, "queued"), note(1'000, "lost", "a", sa, fence(1)), note(2'000, "lost", "b", sb, fence(2)),
                          note(3'000, "dead", "b", sb, fence(3))};
  expected.session_ttl = {};
  EXPECT_THAT(broken(), IsEmpty());
  h.openings.push_back({"a", {1, 2}, {1, 3}, {}, {}, at(1'500), at(1'500), 15});
  EXPECT_THAT(broken(), Contains("fair_dead_letters"));
}

} // namespace
} // namespace sallyport::judge
