// Positions, epochs and failed appends.
#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

class shards : public scene {};

TEST_F(shards, no_answer_leaves_before_its_append_is_durable) {
  commits = false;
  auto stored = submit(ask::enqueue{plant, erp, {event("1")}});
  EXPECT_FALSE(take(stored));
  auto seen = submit(ask::view_connection{plant, erp});
  EXPECT_FALSE(take(seen)) << "it shows what is not durable yet";
  auto no = submit(ask::enqueue{plant, erp, {event("1", "2")}});
  EXPECT_FALSE(take(no)) << "a refusal rests on what is not durable yet";
  commits = true;
  pump();
  get<wire::enqueue_reply>(stored);
  EXPECT_EQ(get<wire::connection_view>(seen).ready, 1u);
  EXPECT_EQ(get<error>(no).code, errc::id_reused);
}

TEST_F(shards, while_one_append_is_under_way_the_next_gathers) {
  commits = false;
  auto first = submit(ask::enqueue{plant, erp, {event("1")}});
  std::vector<ticket> more;
  for (int i = 2; i < 10; ++i)
    more.push_back(submit(ask::enqueue{plant, erp, {event(std::to_string(i))}}));
  const auto before = disk->appends();
  commits = true;
  pump();
  EXPECT_EQ(disk->appends(), before + 2);
  get<wire::enqueue_reply>(first);
  for (auto t : more)
    get<wire::enqueue_reply>(t);
}

TEST_F(shards, a_failed_append_leaves_its_waiters_in_doubt_and_the_hub_goes_on) {
  for (bool applied : {false, true}) {
    const auto id = applied ? "there" : "not there";
    disk->fail_next_append({append_status::unknown, 0, "the disk did not say", false}, applied);
    EXPECT_EQ(refused(ask::enqueue{plant, erp, {event(id)}}), errc::outcome_unknown);
    auto again = get<wire::enqueue_reply>(ask::enqueue{plant, erp, {event(id)}}).messages;
    EXPECT_EQ(again.at(0).duplicate, applied) << "asked again, the truth comes out";
  }
  EXPECT_EQ(queue().ready, 2u);
}

TEST_F(shards, waiters_of_a_failed_epoch_are_not_confirmed_by_the_next) {
  auto a = open({});
  auto parked = submit(claim_of(a, {.wait = milliseconds{9000}}));
  commits = false;
  auto first = submit(ask::enqueue{plant, erp, {event("1")}});
  auto second = submit(ask::enqueue{plant, erp, {event("2")}});
  disk->fail_next_append({append_status::failed, 0, "no", false});
  commits = true;
  pump();
  EXPECT_EQ(get<error>(first).code, errc::outcome_unknown);
  EXPECT_EQ(get<error>(second).code, errc::outcome_unknown);
  EXPECT_EQ(get<error>(parked).code, errc::outcome_unknown);
  EXPECT_EQ(queue().ready, 0u);
  EXPECT_EQ(claim(a, {.seq = 1}).size(), 0u) << "its session lives on";
}

TEST_F(shards, a_failed_sync_ends_the_process) {
  disk->fail_next_append({append_status::unknown, 0, "EIO", true});
  EXPECT_EQ(refused(ask::enqueue{plant, erp, {event("1")}}), errc::outcome_unknown);
  EXPECT_EQ(stops.size(), 1u);
}

TEST_F(shards, another_owner_of_the_store_ends_the_process) {
  memory_store other{disk};
  ASSERT_TRUE(other.open({}).ok());
  EXPECT_EQ(refused(ask::enqueue{plant, erp, {event("1")}}), errc::outcome_unknown);
  EXPECT_EQ(stops.size(), 1u);
}

TEST_F(shards, a_stopping_hub_answers_all_that_waits_and_refuses_the_rest) {
  auto a = open({});
  auto parked = submit(claim_of(a, {.wait = milliseconds{9000}}));
  core->drain();
  pump();
  EXPECT_TRUE(get<wire::claim_reply>(parked).grants.empty());
  EXPECT_EQ(refused(ask::enqueue{plant, erp, {event("1")}}), errc::shutting_down);
}

TEST_F(shards, a_row_that_cannot_be_read_is_noticed) {
  shard fresh{settings};
  fresh.reopened({{5}, 0});
  EXPECT_FALSE(fresh.restore("m", "x"));
  EXPECT_FALSE(fresh.restore(std::string(17, 'm'), "\x01garbage"));
  EXPECT_FALSE(fresh.restore("?", ""));
}

TEST_F(shards, everything_replayed_is_as_it_was) {
  auto a = open({});
  auto ids = enqueue_all({"1", "2", "3", "4", "5", "6"});
  auto got = claim(a, {.seq = 1, .most = 5});
  settle(a, {done(got[0]), failed(got[1]), failed(got[2], false), release(got[3])});
  get<wire::cancel_reply>(ask::cancel{ids[5]});
  std::vector<std::string> before, after;
  for (auto id : ids)
    before.push_back(look(id).state + ": " + told(id));
  restart();
  for (auto id : ids)
    after.push_back(look(id).state + ": " + told(id));
  EXPECT_EQ(after, before);
  EXPECT_EQ(before[0], "settled: queued granted(a) settled(a)");
  EXPECT_EQ(before[3], "ready: queued granted(a) released(a)");
}

} // namespace sallyport::cloud::test
