#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

class calls : public scene {
protected:
  ask::call call(const std::string& id, int wait_s = 10, int deadline_s = 10) {
    return {plant, erp, event(id), milliseconds{deadline_s * 1000}, milliseconds{wait_s * 1000}};
  }
};

TEST_F(calls, a_call_is_answered_with_its_result_and_again_when_repeated) {
  auto a = open({});
  auto asked = submit(call("1"));
  EXPECT_FALSE(take(asked));
  auto g = claim(a).at(0);
  EXPECT_TRUE(g.call);
  settle(a, done(g, R"({"x":1})"));
  EXPECT_EQ(get<wire::call_reply>(asked).result, R"({"x":1})");
  EXPECT_EQ(get<wire::call_reply>(call("1")).result, R"({"x":1})");
  restart();
  EXPECT_EQ(get<wire::call_reply>(call("1")).result, R"({"x":1})");
}

TEST_F(calls, without_an_agent_that_reaches_the_target_nothing_is_stored) {
  EXPECT_EQ(refused(call("1")), errc::no_agent_up);
  open({.state = wire::reach::down});
  EXPECT_EQ(refused(call("1")), errc::no_agent_up);
  EXPECT_EQ(queue().ready, 0u);
}

TEST_F(calls, a_call_nobody_took_in_time_was_never_started_and_never_will_be) {
  auto a = open({});
  auto asked = submit(call("1"));
  for (int i = 0; i < 5; ++i) {
    pass(milliseconds{2000});
    beat(a);
  }
  EXPECT_EQ(get<error>(asked).code, errc::call_not_started);
  EXPECT_TRUE(claim(a).empty());
  EXPECT_EQ(refused(call("1")), errc::call_not_started) << "the same answer again";
}

TEST_F(calls, a_call_nobody_took_was_never_started_also_when_the_wall_clock_is_behind) {
  auto a = open({});
  auto asked = submit(call("1"));
  now.wall -= milliseconds{5'000};
  for (int i = 0; i < 5; ++i) {
    pass(milliseconds{2000});
    beat(a);
  }
  EXPECT_EQ(get<error>(asked).code, errc::call_not_started);
  EXPECT_TRUE(claim(a).empty());
}

TEST_F(calls, a_call_still_running_at_its_deadline_is_unknown_and_its_result_can_be_asked_for_later) {
  auto a = open({});
  auto asked = submit(call("1"));
  auto g = claim(a);
  for (int i = 0; i < 5; ++i) {
    pass(milliseconds{2000});
    beat(a, g);
  }
  EXPECT_EQ(get<error>(asked).code, errc::call_outcome_unknown);
  EXPECT_EQ(settle(a, done(g[0], "7")).kind, wire::verdict_kind::settled);
  EXPECT_EQ(get<wire::call_reply>(call("1")).result, "7");
}

TEST_F(calls, one_who_does_not_wait_is_told_where_to_look) {
  auto a = open({});
  auto pending = get<call_pending>(call("1", 0, 60));
  EXPECT_EQ(look(pending.message).state, "ready");
  auto later = submit(call("2", 1, 60));
  pass(milliseconds{1000});
  get<call_pending>(later);
  EXPECT_EQ(claim(a).size(), 2u);
}

TEST_F(calls, an_adapters_refusal_is_the_answer) {
  auto a = open({});
  auto asked = submit(call("1"));
  settle(a, failed(claim(a).at(0), false));
  EXPECT_EQ(get<error>(asked).code, errc::adapter_failed);
  EXPECT_EQ(refused(call("1")), errc::adapter_failed);
  EXPECT_EQ(queue().dead, 0u) << "a call has an asker; it needs no dead letter";
}

TEST_F(calls, two_who_ask_the_same_get_the_same) {
  auto a = open({});
  auto first = submit(call("1"));
  auto second = submit(call("1"));
  auto got = claim(a);
  ASSERT_EQ(got.size(), 1u);
  settle(a, done(got[0], "1"));
  EXPECT_EQ(get<wire::call_reply>(first).message, get<wire::call_reply>(second).message);
}

TEST_F(calls, who_asks_again_with_less_patience_ends_nothing) {
  auto a = open({});
  auto first = submit(call("1", 8, 8));
  auto second = submit(call("1", 1, 1));
  pass(milliseconds{2'000});
  EXPECT_EQ(get<call_pending>(second).message, claim(a).at(0).message);
  EXPECT_FALSE(take(first));
}

TEST_F(calls, a_call_for_an_event_that_was_sent_before_gets_its_result_and_cannot_end_it) {
  auto a = open({});
  auto m = enqueue("1");
  auto impatient = submit(call("1", 1, 1));
  auto patient = submit(call("1", 9, 9));
  pass(milliseconds{2'000});
  EXPECT_EQ(get<call_pending>(impatient).message, m);
  EXPECT_EQ(look(m).state, "ready");
  settle(a, done(claim(a).at(0), "5"));
  EXPECT_EQ(get<wire::call_reply>(patient).result, "5");
}

TEST_F(calls, a_call_for_an_event_that_was_settled_before_has_its_result_fetched) {
  auto a = open({});
  auto m = enqueue("1");
  settle(a, done(claim(a).at(0), "5"));
  EXPECT_EQ(get<call_answer>(call("1")).reply.message, m);
}

TEST_F(calls, a_full_store_answers_a_repeated_call_and_a_repeated_event_all_the_same) {
  auto a = open({});
  auto asked = submit(call("1"));
  settle(a, done(claim(a).at(0), "5"));
  get<wire::call_reply>(asked);
  auto m = enqueue("2");
  core->set_room(false, "full");
  EXPECT_EQ(get<wire::call_reply>(call("1")).result, "5");
  EXPECT_EQ(get<wire::enqueue_reply>(ask::enqueue{plant, erp, {event("2")}}).messages.at(0).message, m);
  EXPECT_EQ(refused(ask::enqueue{plant, erp, {event("2"), event("3")}}), errc::store_full);
  EXPECT_EQ(refused(call("4")), errc::store_full);
}

TEST_F(calls, a_lost_call_past_its_deadline_is_not_granted_again) {
  auto a = open({});
  auto asked = submit(call("1", 5, 5));
  ASSERT_EQ(claim(a).size(), 1u);
  pass(milliseconds{12'000});
  EXPECT_EQ(get<error>(asked).code, errc::call_outcome_unknown);
  auto b = open({.agent = "b"});
  EXPECT_TRUE(claim(b).empty());
}

} // namespace sallyport::cloud::test
