#include "runtime/core/claim_lanes.hpp"
#include "tests/runtime/core/core_test_support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::runtime {
namespace {

using namespace test;
using testing::SizeIs;

constexpr session_id s1{9, 1}, s2{9, 2};

lane_settings settings(std::vector<std::string> connections = {"db"}, std::uint32_t lanes = 2) {
  lane_settings s;
  for (auto& c : connections)
    s.connections.push_back(connection_name{c});
  s.lanes = lanes;
  return s;
}
room_report room(std::vector<std::uint32_t> free, std::uint32_t limit = 100, std::uint32_t total = 512,
                 std::uint64_t received = 0) {
  room_report r;
  r.total = total;
  for (auto n : free)
    r.connections.push_back({n, limit, received});
  return r;
}
wire::claim_reply brings(std::initializer_list<wire::grant> grants = {}) {
  return {grants};
}
error fails(errc code) {
  return make_error(code, "x");
}

struct lanes_of_one_session : claim_lanes {
  explicit lanes_of_one_session(lane_settings s = settings()) : claim_lanes(std::move(s), 1) { opened(s1, at(0)); }
};

TEST(claim_lanes, split_the_room_over_the_lanes) {
  lanes_of_one_session lanes;
  auto sent = all<send_claim>(lanes.room(room({100}), at(0)));
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_NE(sent[0].body.lane, sent[1].body.lane);
  EXPECT_EQ(sent[0].body.connections[0].credit + sent[1].body.connections[0].credit, 100u);
  EXPECT_EQ(sent[0].body.seq, 1u);
}

TEST(claim_lanes, never_promise_more_than_there_is_room_for) {
  lanes_of_one_session lanes{settings({"a", "b", "c"}, 2)};
  std::uint64_t promised = 0;
  auto first = all<send_claim>(lanes.room(room({100, 100, 100}, 100, 90), at(0)));
  for (auto& s : first)
    for (auto& c : s.body.connections)
      promised += c.credit;
  EXPECT_LE(promised, 90u);
  EXPECT_GE(promised, 88u);
  EXPECT_FALSE(has<send_claim>(lanes.room(room({100, 100, 100}, 100, 90), at(1))));
}

TEST(claim_lanes, do_not_ask_before_a_session_is_open_nor_after_it_ended) {
  claim_lanes lanes{settings(), 1};
  EXPECT_TRUE(lanes.room(room({100}), at(0)).empty());
  EXPECT_THAT(all<send_claim>(lanes.opened(s1, at(1))), SizeIs(2));
  lanes.ended();
  EXPECT_TRUE(lanes.room(room({100}), at(2)).empty());
}

TEST(claim_lanes, a_claim_is_repeated_with_the_same_seq_until_it_is_answered) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto first = only<send_claim>(lanes.room(room({100}), at(0)));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(lanes.answered(first, fails(errc::timed_out), at(i * 10'000)).empty());
    auto again = only<send_claim>(lanes.tick(lanes.next_wake()));
    EXPECT_EQ(again.body.seq, 1u);
    EXPECT_EQ(again.body.lane, first.body.lane);
  }
  auto out = lanes.answered(first, brings({grant(1)}), at(60'000));
  EXPECT_EQ(only<grant_batch>(out).grants.size(), 1u);
  EXPECT_EQ(only<grant_batch>(out).seq, 1u);
  EXPECT_EQ(only<send_claim>(out).body.seq, 2u);
}

TEST(claim_lanes, count_what_is_under_way_to_the_lease_manager) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto first = only<send_claim>(lanes.room(room({4}, 4), at(0)));
  // Four grants handed on; the report that is known still says that there is room for four.
  auto out = lanes.answered(first, brings({grant(1), grant(2), grant(3), grant(4)}), at(10));
  EXPECT_FALSE(has<send_claim>(out));
  EXPECT_FALSE(has<send_claim>(lanes.room(room({0}, 4, 512, 4), at(11))));
  EXPECT_TRUE(has<send_claim>(lanes.room(room({2}, 4, 512, 4), at(12))));
}

wire::claim_reply brings_so_many(std::uint64_t n, std::uint64_t first = 1) {
  wire::claim_reply r;
  for (auto i = first; i < first + n; ++i)
    r.grants.push_back(grant(i));
  return r;
}

TEST(claim_lanes, that_were_granted_a_few_at_once_let_more_come_together_before_they_ask_again) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto first = only<send_claim>(lanes.room(room({100}), at(0)));
  auto out = lanes.answered(first, brings_so_many(8), at(1));
  EXPECT_EQ(only<grant_batch>(out).grants.size(), 8u) << "what came is worked on at once";
  EXPECT_FALSE(has<send_claim>(out));
  EXPECT_FALSE(has<send_claim>(lanes.room(room({100}, 100, 512, 8), at(2)))) << "nor does a spare lane ask meanwhile";
  EXPECT_FALSE(has<send_claim>(lanes.tick(at(2))));
  EXPECT_EQ(lanes.next_wake(), at(3));
  EXPECT_EQ(only<send_claim>(lanes.tick(at(3))).body.seq, 2u);
  EXPECT_EQ(lanes.next_wake(), mono_time::max());
}

TEST(claim_lanes, ask_again_at_once_where_messages_come_one_by_one_or_many_together_or_late) {
  struct {
    std::uint64_t granted;
    std::int64_t ms;
  } cases[] = {{7, 0}, {25, 0}, {8, 4}};
  for (auto [granted, ms] : cases) {
    lanes_of_one_session lanes{settings({"db"}, 1)};
    auto first = only<send_claim>(lanes.room(room({100}), at(0)));
    EXPECT_EQ(only<send_claim>(lanes.answered(first, brings_so_many(granted), at(ms))).body.seq, 2u)
      << granted << " after " << ms << " ms";
  }
}

TEST(claim_lanes, that_gather_are_at_rest_for_a_drain) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto first = only<send_claim>(lanes.room(room({100}), at(0)));
  lanes.answered(first, brings_so_many(8), at(1));
  auto out = lanes.drain();
  EXPECT_TRUE(has<lanes_drained>(out));
  EXPECT_FALSE(has<send_claim>(out));
  EXPECT_EQ(lanes.next_wake(), mono_time::max());
  EXPECT_TRUE(lanes.tick(at(3)).empty());
}

TEST(claim_lanes, that_drain_do_not_gather) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  lanes.room(room({100}), at(0));
  auto again = only<send_claim>(lanes.drain());
  EXPECT_TRUE(has<lanes_drained>(lanes.answered(again, brings_so_many(8), at(1))));
  EXPECT_EQ(lanes.next_wake(), mono_time::max());
}

TEST(claim_lanes, wait_for_a_quarter_of_the_window_before_they_ask) {
  lanes_of_one_session lanes;
  EXPECT_FALSE(has<send_claim>(lanes.room(room({24}, 100), at(0))));
  EXPECT_TRUE(has<send_claim>(lanes.room(room({25}, 100), at(0))));
}

TEST(claim_lanes, a_spare_lane_asks_for_a_connection_that_no_parked_claim_names) {
  lanes_of_one_session lanes{settings({"fast", "slow"})};
  EXPECT_THAT(all<send_claim>(lanes.room(room({100, 0}), at(0))), SizeIs(2));
  auto sent = only<send_claim>(lanes.room(room({100, 2}, 2), at(1'000)));
  ASSERT_THAT(sent.body.connections, SizeIs(1));
  EXPECT_EQ(sent.body.connections[0].name.value, "slow");
  EXPECT_EQ(sent.body.wait, milliseconds{2'000});
}

TEST(claim_lanes, never_use_more_lanes_than_the_protocol_allows) {
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i)
    names.push_back("c" + std::to_string(i));
  lanes_of_one_session lanes{settings(names)};
  std::size_t sent = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<std::uint32_t> free(names.size(), 0);
    for (std::size_t k = 0; k <= i; ++k)
      free[k] = 10;
    sent += all<send_claim>(lanes.room(room(free, 10), at(static_cast<std::int64_t>(i)))).size();
  }
  EXPECT_EQ(sent, claim_lanes::lanes_max);
}

TEST(claim_lanes, a_new_session_starts_under_new_names_and_ignores_old_answers) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto old = only<send_claim>(lanes.room(room({100}), at(0)));
  auto fresh = only<send_claim>(lanes.opened(s2, at(10)));
  EXPECT_NE(fresh.body.lane, old.body.lane);
  EXPECT_EQ(fresh.session, s2);
  EXPECT_TRUE(lanes.answered(old, brings({grant(1)}), at(11)).empty());
}

TEST(claim_lanes, an_expired_session_stops_all_lanes) {
  lanes_of_one_session lanes;
  auto sent = all<send_claim>(lanes.room(room({100}), at(0)));
  lanes.answered(sent[0], fails(errc::session_expired), at(1));
  EXPECT_EQ(lanes.next_wake(), mono_time::max());
  EXPECT_TRUE(lanes.answered(sent[1], fails(errc::session_expired), at(2)).empty());
}

TEST(claim_lanes, a_stale_seq_makes_a_new_lane) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto sent = only<send_claim>(lanes.room(room({100}), at(0)));
  auto again = only<send_claim>(lanes.answered(sent, fails(errc::claim_seq_stale), at(1)));
  EXPECT_NE(again.body.lane, sent.body.lane);
}

TEST(claim_lanes, wait_as_long_as_the_hub_says) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto sent = only<send_claim>(lanes.room(room({100}), at(0)));
  auto busy = fails(errc::too_many_requests);
  busy.retry_after_s = 3;
  lanes.answered(sent, busy, at(1));
  EXPECT_EQ(lanes.next_wake(), at(3'001));
}

TEST(claim_lanes, a_drain_asks_parked_claims_again_without_waiting_and_is_over_when_those_are_answered) {
  lanes_of_one_session lanes;
  auto parked = all<send_claim>(lanes.room(room({100}), at(0)));
  auto again = all<send_claim>(lanes.drain());
  ASSERT_THAT(again, SizeIs(2));
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(again[i].repetition);
    EXPECT_EQ(again[i].body.seq, parked[i].body.seq);
    EXPECT_EQ(again[i].body.wait, milliseconds{0});
  }
  EXPECT_FALSE(has<lanes_drained>(lanes.answered(again[0], brings(), at(1))));
  auto last = lanes.answered(again[1], brings({grant(1)}), at(2));
  EXPECT_TRUE(has<lanes_drained>(last));
  EXPECT_EQ(only<grant_batch>(last).grants.size(), 1u);
  EXPECT_FALSE(has<send_claim>(lanes.room(room({100}), at(3))));
}

TEST(claim_lanes, grants_that_both_the_parked_claim_and_its_repetition_bring_are_handed_on_once) {
  lanes_of_one_session lanes{settings({"db"}, 1)};
  auto parked = only<send_claim>(lanes.room(room({100}), at(0)));
  auto again = only<send_claim>(lanes.drain());
  EXPECT_EQ(only<grant_batch>(lanes.answered(parked, brings({grant(1)}), at(1))).grants.size(), 1u);
  EXPECT_EQ(only<grant_batch>(lanes.answered(again, brings({grant(1)}), at(2))).grants.size(), 0u);
}

TEST(claim_lanes, without_anything_parked_a_drain_is_over_at_once) {
  claim_lanes lanes{settings(), 1};
  EXPECT_TRUE(has<lanes_drained>(lanes.drain()));
}

TEST(credit_window, starts_at_twice_what_the_workers_can_begin) {
  credit_window w{256};
  w.slots(4);
  EXPECT_EQ(w.limit(), 8u);
  EXPECT_EQ(w.room(3), 5u);
  EXPECT_EQ(w.room(9), 0u);
}

TEST(credit_window, grows_when_it_was_what_held_the_workers_back) {
  credit_window w{100};
  w.slots(1);
  w.ran_dry();
  EXPECT_EQ(w.limit(), 2u) << "the hub had no more to give";
  for (int i = 0; i < 10; ++i) {
    w.holds(w.limit());
    w.ran_dry();
  }
  EXPECT_EQ(w.limit(), 100u);
}

TEST(credit_window, shrinks_while_messages_wait_too_long_but_not_below_its_floor) {
  credit_window w{256};
  w.slots(1);
  for (int i = 0; i < 10; ++i) {
    w.holds(w.limit());
    w.ran_dry();
  }
  EXPECT_EQ(w.limit(), 256u);
  w.began(milliseconds{2'000}, at(10'000));
  w.began(milliseconds{2'000}, at(10'001));
  EXPECT_EQ(w.limit(), 128u) << "once per patience";
  for (int i = 0; i < 20; ++i)
    w.began(milliseconds{2'000}, at(20'000 + i * 2'000));
  EXPECT_EQ(w.limit(), 2u);
}

} // namespace
} // namespace sallyport::runtime
