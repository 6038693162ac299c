#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

class settling : public scene {
protected:
  session_id a = open({});
};

TEST_F(settling, a_repeated_settle_gets_the_same_answer_and_another_outcome_gets_the_first) {
  auto m = enqueue("1");
  auto g = claim(a).at(0);
  EXPECT_EQ(settle(a, done(g)).kind, wire::verdict_kind::settled);
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(settle(a, done(g)).kind, wire::verdict_kind::settled);
    auto other = settle(a, failed(g));
    EXPECT_EQ(other.kind, wire::verdict_kind::already);
    EXPECT_EQ(other.outcome, wire::outcome_kind::done);
    restart();
  }
  EXPECT_EQ(look(m).state, "settled");
}

TEST_F(settling, a_repeated_failure_gets_the_same_answer_even_after_a_newer_grant) {
  enqueue("1");
  auto g = claim(a, {.seq = 1}).at(0);
  settle(a, failed(g));
  pass(milliseconds{1000});
  auto newer = claim(a, {.seq = 2}).at(0);
  EXPECT_EQ(settle(a, failed(g)).kind, wire::verdict_kind::settled);
  EXPECT_EQ(settle(a, done(g)).kind, wire::verdict_kind::already);
  EXPECT_EQ(settle(a, done(newer)).kind, wire::verdict_kind::settled);
}

// Found by the simulator: the answer was "unknown" from the next agent's grant to its settlement.
TEST_F(settling, a_repeated_settle_gets_the_same_answer_while_another_agent_has_the_message) {
  enqueue("1");
  auto g = claim(a).at(0);
  settle(a, release(g));
  auto b = open({.agent = "b"});
  ASSERT_EQ(claim(b).size(), 1u);
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(settle(a, release(g)).kind, wire::verdict_kind::settled);
    auto other = settle(a, done(g));
    EXPECT_EQ(other.kind, wire::verdict_kind::already);
    EXPECT_EQ(other.outcome, wire::outcome_kind::release);
    EXPECT_EQ(settle(b, release(g), "b").kind, wire::verdict_kind::unknown) << "not its fence";
    restart();
  }
}

TEST_F(settling, a_repeated_failure_that_killed_the_message_gets_the_same_answer_after_it_was_redriven) {
  enqueue("1");
  auto g = claim(a).at(0);
  settle(a, failed(g, false));
  get<wire::count_reply>(ask::redrive{plant, erp, {}});
  auto b = open({.agent = "b"});
  ASSERT_EQ(claim(b).size(), 1u);
  EXPECT_EQ(settle(a, failed(g, false)).kind, wire::verdict_kind::settled);
  EXPECT_EQ(settle(a, done(g)).kind, wire::verdict_kind::already);
}

TEST_F(settling, a_failure_counts_and_is_retried_later_until_the_message_is_dead) {
  auto m = enqueue("1");
  std::uint64_t seq = 0;
  for (int attempt = 1; attempt <= 5; ++attempt) {
    auto got = claim(a, {.seq = ++seq});
    ASSERT_EQ(got.size(), 1u) << attempt;
    EXPECT_EQ(got[0].attempt, static_cast<unsigned>(attempt));
    settle(a, failed(got[0]));
    EXPECT_EQ(look(m).state, attempt < 5 ? "delayed" : "dead");
    EXPECT_TRUE(claim(a, {.seq = ++seq}).empty()) << "not before its backoff";
    for (int i = 0; i < 10; ++i) {
      pass(milliseconds{2000});
      beat(a);
    }
  }
  EXPECT_EQ(look(m).error, "no luck");
  EXPECT_EQ(queue().dead, 1u);
}

TEST_F(settling, a_failure_that_no_retry_can_mend_is_dead_at_once) {
  auto m = enqueue("1");
  settle(a, failed(claim(a).at(0), false));
  EXPECT_EQ(look(m).state, "dead");
}

TEST_F(settling, a_release_of_work_not_begun_counts_nothing_and_leaves_no_doubt) {
  auto m = enqueue("1");
  auto g = claim(a).at(0);
  EXPECT_TRUE(look(m).maybe_started);
  settle(a, release(g));
  auto v = look(m);
  EXPECT_EQ(v.state, "ready");
  EXPECT_EQ(v.attempts, 0u);
  EXPECT_FALSE(v.maybe_started);
}

TEST_F(settling, a_release_does_not_clear_the_doubt_an_earlier_holder_left) {
  auto m = enqueue("1");
  claim(a);
  pass(milliseconds{11'000});
  auto b = open({.agent = "b"});
  settle(b, release(claim(b).at(0)), "b");
  EXPECT_TRUE(look(m).maybe_started);
  EXPECT_TRUE(get<wire::cancel_reply>(ask::cancel{m}).may_have_run);
}

TEST_F(settling, another_agents_settle_changes_nothing) {
  auto m = enqueue("1");
  auto g = claim(a).at(0);
  auto b = open({.agent = "b"});
  auto v = settle(b, done(g), "b");
  EXPECT_EQ(v.kind, wire::verdict_kind::unknown);
  EXPECT_EQ(v.code, errc::not_holder);
  EXPECT_EQ(look(m).state, "granted");
}

TEST_F(settling, an_unknown_fence_and_an_unknown_message_are_unknown) {
  enqueue("1");
  auto g = claim(a).at(0);
  auto high = done(g);
  high.fence.counter += 1000;
  EXPECT_EQ(settle(a, high).kind, wire::verdict_kind::unknown);
  auto nobody = done(g);
  nobody.message.serial += 1000;
  EXPECT_EQ(settle(a, nobody).kind, wire::verdict_kind::unknown);
}

TEST_F(settling, a_burnt_fence_gets_the_final_state_and_stays_as_evidence) {
  auto m = enqueue("1");
  auto g = claim(a).at(0);
  EXPECT_TRUE(get<wire::cancel_reply>(ask::cancel{m}).may_have_run);
  auto v = settle(a, done(g));
  EXPECT_EQ(v.kind, wire::verdict_kind::burnt);
  EXPECT_EQ(v.state, "cancelled");
  settle(a, done(g));
  EXPECT_EQ(told(m), "queued granted(a) cancelled late_settle(a)") << "once";
}

TEST_F(settling, a_target_failure_burns_no_attempt_pauses_the_group_and_lets_one_probe) {
  auto b = open({.agent = "b"});
  enqueue_all({"1", "2", "3"});
  auto got = claim(a, {.seq = 1, .most = 2});
  settle(a, failed(got[0], true, wire::failure_scope::target));
  EXPECT_EQ(queue().target_state, "open");
  EXPECT_EQ(look(got[0].message).attempts, 0u);
  EXPECT_TRUE(claim(b, {.seq = 1}).empty());
  settle(a, failed(got[1], true, wire::failure_scope::target));
  pass(milliseconds{1000});
  EXPECT_EQ(queue().target_state, "probing");
  auto probe = claim(b, {.seq = 2});
  ASSERT_EQ(probe.size(), 1u) << "one tries for all";
  EXPECT_TRUE(claim(a, {.seq = 2}).empty());
  settle(b, failed(probe[0], true, wire::failure_scope::target), "b");
  EXPECT_EQ(queue().target_state, "open");
  pass(milliseconds{2000});
  probe = claim(a, {.seq = 3});
  ASSERT_EQ(probe.size(), 1u);
  auto parked = submit(claim_of(b, {.seq = 3, .wait = milliseconds{5000}}));
  settle(a, done(probe[0]));
  EXPECT_EQ(queue().target_state, "closed");
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.size(), 2u);
}

TEST_F(settling, an_agent_that_sees_the_target_again_ends_the_pause_early) {
  enqueue_all({"1"});
  settle(a, failed(claim(a, {.seq = 1}).at(0), true, wire::failure_scope::target));
  get<wire::heartbeat_reply>(ask::beat{a, {{{erp, wire::reach::down, "gone"}}, 0, 0, {}}});
  get<wire::heartbeat_reply>(ask::beat{a, {{{erp, wire::reach::up, ""}}, 0, 0, {}}});
  pass(milliseconds{1});
  EXPECT_EQ(claim(a, {.seq = 2}).size(), 1u);
}

TEST_F(settling, a_probe_that_is_lost_lets_another_try) {
  enqueue_all({"1"});
  settle(a, failed(claim(a, {.seq = 1}).at(0), true, wire::failure_scope::target));
  pass(milliseconds{1000});
  ASSERT_EQ(claim(a, {.seq = 2}).size(), 1u);
  auto again = open({.process = 2});
  EXPECT_EQ(claim(again).size(), 1u);
}

TEST_F(settling, an_unknown_effect_is_dead_where_the_policy_says_so) {
  wire::policy_patch patch;
  patch.unknown_effect = wire::on_unknown_effect::dead_letter;
  configure(patch);
  auto m = enqueue("1");
  auto s = failed(claim(a).at(0));
  s.effect = wire::effect_state::unknown;
  settle(a, s);
  EXPECT_EQ(look(m).state, "dead");
}

TEST_F(settling, held_past_its_limit_a_message_is_taken_and_one_attempt_counted) {
  wire::policy_patch patch;
  patch.hold_limit = milliseconds{60'000};
  configure(patch);
  auto m = enqueue("1");
  auto got = claim(a);
  auto extra = get<wire::extend_reply>(ask::extend{a, {{{m, got[0].fence, milliseconds{70'000}}}}});
  EXPECT_EQ(extra.items.at(0).kind, wire::verdict_kind::settled);
  for (int i = 0; i < 13; ++i) {
    pass(milliseconds{5000});
    beat(a, got);
  }
  EXPECT_EQ(look(m).state, "granted") << "it was extended";
  bool told_lost = false;
  for (int i = 0; i < 2; ++i) {
    pass(milliseconds{4000});
    auto reply = beat(a, got);
    told_lost |= reply.lost == std::vector<wire::held_grant>{{m, got[0].fence}};
  }
  EXPECT_TRUE(told_lost);
  EXPECT_EQ(look(m).attempts, 1u);
  EXPECT_EQ(settle(a, done(got[0])).kind, wire::verdict_kind::burnt);
}

TEST_F(settling, settlements_are_judged_by_agent_id_when_the_session_is_forgotten) {
  auto m = enqueue("1");
  auto g = claim(a).at(0);
  auto v = get<wire::settle_reply>(ask::settle{{99, 99}, {{"id-a"}, {done(g)}}}).items;
  EXPECT_EQ(v.at(0).kind, wire::verdict_kind::settled);
  EXPECT_EQ(look(m).state, "settled");
  EXPECT_EQ(refused(ask::settle{{99, 99}, {{"id-nobody"}, {done(g)}}}), errc::unknown_session);
  EXPECT_EQ(refused(ask::settle{a, {{"id-nobody"}, {done(g)}}}), errc::not_holder);
}

TEST_F(settling, results_are_kept_as_content) {
  auto m = enqueue("1");
  settle(a, done(claim(a).at(0), R"({"rows":1})"));
  EXPECT_TRUE(get<message_answer>(ask::view_message{m}).fetch_result);
  EXPECT_EQ(disk->records(tree::content).size(), 1u) << "the event has gone, the result has come";
}

} // namespace sallyport::cloud::test
