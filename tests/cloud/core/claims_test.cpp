#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

class claims : public scene {};

TEST_F(claims, a_parked_claim_is_fed_by_the_very_append_that_stores_the_message) {
  auto a = open({});
  auto parked = submit(claim_of(a, {.wait = milliseconds{5000}}));
  EXPECT_FALSE(take(parked));
  const auto appends = disk->appends();
  enqueue("1");
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.size(), 1u);
  EXPECT_EQ(disk->appends(), appends + 1);
}

TEST_F(claims, a_parked_claim_ends_empty_after_its_wait) {
  auto a = open({});
  auto parked = submit(claim_of(a, {.wait = milliseconds{1000}}));
  pass(milliseconds{1000});
  EXPECT_TRUE(get<wire::claim_reply>(parked).grants.empty());
}

TEST_F(claims, a_repeated_seq_gets_the_same_grants_again_also_after_a_restart) {
  auto a = open({});
  enqueue_all({"1", "2", "3"});
  auto first = claim(a, {.seq = 5});
  ASSERT_EQ(first.size(), 3u);
  settle(a, done(first[1]));
  for (int turn = 0; turn < 2; ++turn) {
    auto again = claim(a, {.seq = 5});
    ASSERT_EQ(again.size(), 2u) << "less the one that was settled";
    EXPECT_EQ(again[0].fence, first[0].fence);
    EXPECT_EQ(again[1].fence, first[2].fence);
    restart();
  }
}

// Found by the simulator: with all its grants gone, the repetition was served as a new claim, whose answer nobody waited for.
TEST_F(claims, a_repeated_seq_whose_grants_have_all_ended_gets_nothing_also_after_a_restart) {
  auto a = open({});
  auto b = open({.agent = "b"});
  enqueue("1");
  auto first = claim(a, {.seq = 5});
  ASSERT_EQ(first.size(), 1u);
  settle(a, release(first[0]));
  ASSERT_EQ(claim(b).size(), 1u); // The grant that knew of the claim is overwritten.
  enqueue("2");
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_TRUE(claim(a, {.seq = 5}).empty());
    EXPECT_EQ(refused(claim_of(a, {.seq = 4})), errc::claim_seq_stale);
    restart();
  }
  EXPECT_EQ(claim(a, {.seq = 6}).size(), 1u);
}

TEST_F(claims, a_repeated_seq_that_got_nothing_may_get_something) {
  auto a = open({});
  EXPECT_TRUE(claim(a, {.seq = 5}).empty());
  enqueue("1");
  EXPECT_EQ(claim(a, {.seq = 5}).size(), 1u);
}

TEST_F(claims, a_lower_seq_is_stale_and_gaps_are_legal) {
  auto a = open({});
  enqueue_all({"1", "2"});
  claim(a, {.seq = 7, .most = 1});
  EXPECT_EQ(refused(claim_of(a, {.seq = 6})), errc::claim_seq_stale);
  EXPECT_EQ(claim(a, {.seq = 100}).size(), 1u);
}

TEST_F(claims, a_ninth_lane_is_refused) {
  auto a = open({});
  for (int i = 0; i < 8; ++i)
    claim(a, {.lane = "lane-" + std::to_string(i)});
  EXPECT_EQ(refused(claim_of(a, {.lane = "one-more"})), errc::too_many_lanes);
}

TEST_F(claims, a_lane_asks_one_thing_at_a_time) {
  auto a = open({});
  auto first = submit(claim_of(a, {.seq = 1, .wait = milliseconds{5000}}));
  auto second = submit(claim_of(a, {.seq = 2, .wait = milliseconds{5000}}));
  EXPECT_TRUE(get<wire::claim_reply>(first).grants.empty());
  enqueue("1");
  EXPECT_EQ(get<wire::claim_reply>(second).grants.size(), 1u);
}

TEST_F(claims, a_claim_whose_connection_is_gone_is_granted_nothing) {
  auto a = open({});
  auto gone = submit(claim_of(a, {.wait = milliseconds{5000}}));
  core->forget(gone);
  auto m = enqueue("1");
  EXPECT_EQ(look(m).state, "ready");
  EXPECT_FALSE(take(gone));
}

TEST_F(claims, messages_are_granted_in_the_order_they_came_and_what_came_back_goes_first) {
  auto a = open({});
  auto ids = enqueue_all({"1", "2", "3", "4"});
  auto got = claim(a, {.seq = 1, .most = 2});
  ASSERT_EQ(got.size(), 2u);
  settle(a, release(got[1]));
  auto next = claim(a, {.seq = 2});
  ASSERT_EQ(next.size(), 3u);
  EXPECT_EQ(next[0].message, ids[1]);
  EXPECT_EQ(next[1].message, ids[2]);
  EXPECT_EQ(next[2].message, ids[3]);
}

TEST_F(claims, only_a_session_whose_probe_says_up_is_granted_messages) {
  auto a = open({.state = wire::reach::down});
  enqueue("1");
  EXPECT_TRUE(claim(a, {.seq = 1}).empty());
  auto parked = submit(claim_of(a, {.seq = 2, .wait = milliseconds{5000}}));
  get<wire::heartbeat_reply>(ask::beat{a, {{{erp, wire::reach::up, ""}}, 0, 0, {}}});
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.size(), 1u);
}

TEST_F(claims, the_hubs_knowledge_of_reach_survives_its_restart) {
  auto a = open({.state = wire::reach::down});
  get<wire::heartbeat_reply>(ask::beat{a, {{{erp, wire::reach::up, ""}}, 0, 0, {}}});
  enqueue("1");
  restart();
  EXPECT_EQ(claim(a).size(), 1u);
}

TEST_F(claims, limits_of_count_and_bytes_hold_but_one_message_always_passes) {
  auto a = open({});
  enqueue_all({"1", "2", "3"});
  EXPECT_EQ(claim(a, {.seq = 1, .most = 1}).size(), 1u);
  EXPECT_EQ(claim(a, {.seq = 2, .bytes = 1}).size(), 1u);
  EXPECT_EQ(claim(a, {.seq = 3, .bytes = 1}).size(), 1u);
}

TEST_F(claims, max_in_flight_holds_for_the_whole_group) {
  wire::policy_patch patch;
  patch.max_in_flight = 2;
  configure(patch);
  auto a = open({});
  auto b = open({.agent = "b"});
  enqueue_all({"1", "2", "3"});
  auto got = claim(a);
  EXPECT_EQ(got.size(), 2u);
  auto parked = submit(claim_of(b, {.wait = milliseconds{5000}}));
  EXPECT_FALSE(take(parked));
  settle(a, done(got[0]));
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.size(), 1u);
}

TEST_F(claims, agents_that_wait_are_served_in_turn) {
  std::vector<session_id> agents;
  for (int i = 0; i < 20; ++i)
    agents.push_back(open({.agent = "agent-" + std::to_string(i)}));
  std::vector<std::pair<int, ticket>> parked;
  for (int i = 0; i < 20; ++i)
    parked.emplace_back(i, submit(claim_of(agents[i], {.seq = 1, .wait = milliseconds{9000}})));
  std::map<int, int> served;
  std::uint64_t seq = 1;
  for (int n = 0; n < 200; ++n) {
    enqueue("m" + std::to_string(n));
    for (auto& [who, t] : parked)
      if (auto got = take(t)) {
        served[who] += static_cast<int>(std::get<wire::claim_reply>(*got).grants.size());
        t = submit(claim_of(agents[who], {.seq = ++seq, .wait = milliseconds{9000}}));
      }
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(served[i], 10) << i;
}

TEST_F(claims, nothing_is_granted_before_its_time) {
  auto a = open({});
  auto item = event("later");
  item.attributes.not_before = now.wall + milliseconds{5000};
  auto m = enqueue_events({item}).front();
  EXPECT_EQ(look(m).state, "delayed");
  auto parked = submit(claim_of(a, {.wait = milliseconds{9000}}));
  pass(milliseconds{4750});
  EXPECT_FALSE(take(parked));
  pass(milliseconds{250});
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.size(), 1u);
}

TEST_F(claims, a_delayed_message_stays_delayed_across_a_restart) {
  auto item = event("later");
  item.attributes.not_before = now.wall + milliseconds{5000};
  auto m = enqueue_events({item}).front();
  restart();
  EXPECT_EQ(look(m).state, "delayed");
  pass(milliseconds{5000});
  EXPECT_EQ(look(m).state, "ready");
}

TEST_F(claims, a_message_past_its_time_to_live_expires_wherever_it_is) {
  auto a = open({});
  std::vector<event_item> items{event("waits"), event("held")};
  for (auto& item : items)
    item.attributes.expires_at = now.wall + milliseconds{3000};
  std::swap(items[0], items[1]);
  auto ids = enqueue_events(items);
  auto got = claim(a, {.most = 1});
  pass(milliseconds{3000});
  EXPECT_EQ(look(ids[0]).state, "expired");
  EXPECT_EQ(look(ids[1]).state, "expired");
  EXPECT_EQ(beat(a, got).lost.size(), 1u);
  EXPECT_EQ(settle(a, done(got[0])).kind, wire::verdict_kind::burnt);
}

TEST_F(claims, a_paused_connection_grants_nothing_until_it_is_resumed) {
  wire::policy_patch pause, resume;
  pause.paused = true, resume.paused = false;
  configure(pause);
  auto a = open({});
  enqueue("1");
  auto parked = submit(claim_of(a, {.wait = milliseconds{9000}}));
  EXPECT_FALSE(take(parked));
  configure(resume);
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.size(), 1u);
}

} // namespace sallyport::cloud::test
