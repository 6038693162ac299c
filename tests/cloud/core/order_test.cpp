#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

class order : public scene {
protected:
  std::vector<message_id> keyed(const std::vector<std::string>& ids, const std::string& key = "k") {
    std::vector<event_item> items;
    for (auto& id : ids)
      items.push_back(event(id, "1", key));
    return enqueue_events(items);
  }
  session_id a = open({});
};

TEST_F(order, one_agent_at_a_time_holds_a_run_of_a_key) {
  auto b = open({.agent = "b"});
  keyed({"1", "2", "3"});
  auto run = claim(a, {.most = 2});
  ASSERT_EQ(run.size(), 2u);
  EXPECT_LT(run[0].message, run[1].message);
  EXPECT_TRUE(claim(b).empty()) << "the third is behind them";
  EXPECT_EQ(queue().behind_key, 1u);
  settle(a, done(run[0]));
  EXPECT_TRUE(claim(b, {.seq = 2}).empty());
  settle(a, done(run[1]));
  EXPECT_EQ(claim(b, {.seq = 3}).size(), 1u);
}

TEST_F(order, keys_do_not_wait_for_one_another) {
  auto b = open({.agent = "b"});
  keyed({"1", "2"}, "k");
  keyed({"3"}, "l");
  EXPECT_EQ(claim(a, {.most = 1}).size(), 1u);
  auto got = claim(b);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(look(got[0].message).id, "3");
}

TEST_F(order, after_a_failure_the_rest_of_the_run_returns_and_the_key_waits_for_the_retry) {
  auto ids = keyed({"1", "2", "3"});
  auto run = claim(a);
  ASSERT_EQ(run.size(), 3u);
  settle(a, done(run[0]));
  settle(a, failed(run[1]));
  EXPECT_EQ(look(ids[1]).state, "delayed");
  EXPECT_EQ(look(ids[2]).state, "behind_key");
  EXPECT_FALSE(look(ids[2]).maybe_started);
  EXPECT_EQ(settle(a, done(run[2])).kind, wire::verdict_kind::burnt) << "it was taken back: it must not overtake";
  EXPECT_TRUE(claim(a, {.seq = 2}).empty());
  pass(milliseconds{1000});
  auto again = claim(a, {.seq = 3});
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].message, ids[1]);
  EXPECT_EQ(again[1].message, ids[2]);
}

TEST_F(order, a_run_released_in_the_same_request_as_its_failure_is_counted_once) {
  auto ids = keyed({"1", "2", "3"});
  auto run = claim(a);
  auto verdicts = settle(a, {failed(run[0]), release(run[1]), release(run[2])});
  EXPECT_EQ(verdicts[0].kind, wire::verdict_kind::settled);
  EXPECT_EQ(verdicts[1].kind, wire::verdict_kind::burnt);
  EXPECT_EQ(look(ids[2]).state, "behind_key");
}

TEST_F(order, a_lost_run_comes_back_in_order) {
  auto ids = keyed({"1", "2", "3"});
  ASSERT_EQ(claim(a, {.most = 2}).size(), 2u);
  auto again = open({.process = 2});
  auto run = claim(again);
  ASSERT_EQ(run.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(run[i].message, ids[i]);
}

TEST_F(order, a_dead_letter_is_skipped_or_blocks_its_key_as_the_policy_says) {
  wire::policy_patch block;
  block.dead = wire::on_dead::block;
  configure(block);
  auto ids = keyed({"1", "2"});
  settle(a, failed(claim(a, {.seq = 1}).at(0), false));
  EXPECT_TRUE(claim(a, {.seq = 2}).empty());
  restart();
  EXPECT_TRUE(claim(a, {.seq = 3}).empty());
  EXPECT_EQ(get<wire::count_reply>(ask::redrive{plant, erp, {ids[0]}}).count, 1u);
  auto run = claim(a, {.seq = 4});
  ASSERT_EQ(run.size(), 2u) << "it goes back to its place";
  EXPECT_EQ(run[0].message, ids[0]);
  settle(a, failed(run[0], false));
  wire::policy_patch skip;
  skip.dead = wire::on_dead::skip;
  configure(skip);
  EXPECT_EQ(claim(a, {.seq = 5}).size(), 1u);
}

TEST_F(order, it_holds_across_a_restart) {
  auto ids = keyed({"1", "2", "3"});
  auto run = claim(a, {.most = 1});
  restart();
  auto b = open({.agent = "b"});
  EXPECT_TRUE(claim(b).empty());
  settle(a, done(run[0]));
  auto rest = claim(b, {.seq = 2});
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].message, ids[1]);
}

} // namespace sallyport::cloud::test
