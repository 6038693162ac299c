// Producers held to what agents take.
#include "cloud/core/enqueue_pace.hpp"
#include "tests/cloud/core/scene.hpp"

#include <gmock/gmock.h>

namespace sallyport::cloud::test {

namespace {

constexpr auto longest = enqueue_pace::longest_hold;
constexpr enqueue_pace::delivery ten{.queue = 0, .messages = 10, .bytes = 10'000, .limit = 100};

mono_time at(milliseconds span) {
  return mono_time{milliseconds{5'000'000} + span};
}

std::vector<std::uint64_t> tickets_of(const std::vector<enqueue_pace::held_answer>& answers) {
  std::vector<std::uint64_t> tickets;
  for (auto& a : answers)
    tickets.push_back(a.to.value);
  return tickets;
}

} // namespace

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(enqueue_paces, a_short_queue_and_one_that_agents_have_in_hand_hold_up_nobody) {
  enqueue_pace pace;
  EXPECT_FALSE(pace.advises(ten, {.there = 100, .waiting = 60}, at({})));
  EXPECT_FALSE(pace.advises(ten, {.there = 5'000, .waiting = 10}, at({}))) << "what waits is what has just come";
  EXPECT_TRUE(pace.advises(ten, {.there = 101, .waiting = 60}, at({})));
}

TEST(enqueue_paces, without_an_agent_there_is_nothing_to_wait_for) {
  enqueue_pace pace;
  EXPECT_FALSE(pace.advises(ten, {.there = 500, .waiting = 500}, at({})));
}

TEST(enqueue_paces, who_brings_little_is_not_held_up) {
  enqueue_pace pace;
  const enqueue_pace::load behind{.there = 5'000, .waiting = 4'500};
  EXPECT_FALSE(pace.advises({.messages = 16, .limit = 4'096}, behind, at({})));
  EXPECT_TRUE(pace.advises({.messages = 17, .limit = 4'096}, behind, at({})));
}

TEST(enqueue_paces, a_backlog_that_will_not_be_gone_soon_holds_up_nobody) {
  enqueue_pace pace;
  EXPECT_TRUE(pace.advises(ten, {.there = 4'000, .waiting = 3'000, .settled = 7'000}, at({}))) << "nothing is known yet";
  // In one span 300 were settled: 3,000 in ten.
  EXPECT_FALSE(pace.advises(ten, {.there = 3'101, .waiting = 3'000, .settled = 7'300}, at(longest)));
  EXPECT_TRUE(pace.advises(ten, {.there = 3'100, .waiting = 3'000, .settled = 7'300}, at(longest)));
  // In the two after that nothing was.
  EXPECT_FALSE(pace.advises(ten, {.there = 101, .waiting = 100, .settled = 7'300}, at(3 * longest)));
  EXPECT_TRUE(pace.advises(ten, {.there = 3'100, .waiting = 3'000, .settled = 7'300}, at(30 * longest)))
    << "after a pause nothing is known again";
}

TEST(enqueue_paces, an_answer_is_held_until_its_queue_is_short_or_for_the_longest_time) {
  enqueue_pace pace;
  auto other = ten;
  other.queue = 1;
  pace.hold({1, {11}, {}}, ten, at({}));
  pace.hold({2, {22}, {}}, other, at(milliseconds{30}));
  pace.hold({3, {33}, {}}, ten, at(milliseconds{60}));
  EXPECT_EQ(pace.next_wake(), at(longest));
  const auto take = [&](milliseconds when, std::uint64_t there, std::uint64_t in_other) {
    return tickets_of(pace.take(
      at(when), [&](std::uint32_t queue) { return enqueue_pace::load{.there = queue == 0 ? there : in_other, .waiting = 50}; }));
  };
  EXPECT_THAT(take(milliseconds{70}, 101, 101), IsEmpty());
  EXPECT_THAT(take(milliseconds{80}, 101, 100), ElementsAre(22));
  EXPECT_THAT(take(longest, 101, 101), ElementsAre(11));
  EXPECT_EQ(pace.next_wake(), at(longest + milliseconds{60}));
  pace.forget({33});
  EXPECT_TRUE(pace.empty());
  EXPECT_EQ(pace.next_wake(), mono_time::max());
}

TEST(enqueue_paces, no_more_is_held_than_there_is_room_for) {
  enqueue_pace pace;
  const enqueue_pace::load behind{.there = 1'000, .waiting = 900};
  for (std::uint64_t i = 1; i <= enqueue_pace::answers_max; ++i) {
    ASSERT_TRUE(pace.advises(ten, behind, at({})));
    pace.hold({1, {i}, {}}, ten, at({}));
  }
  EXPECT_FALSE(pace.advises(ten, behind, at({})));
  EXPECT_EQ(pace.take_all().size(), enqueue_pace::answers_max);

  auto great = ten;
  great.bytes = enqueue_pace::bytes_max;
  EXPECT_TRUE(pace.advises(great, behind, at({}))) << "its room was given back";
  pace.hold({1, {1}, {}}, ten, at({}));
  EXPECT_FALSE(pace.advises(great, behind, at({})));
}

class paced : public scene {
protected:
  paced() {
    settings.pace_messages = 4;
    restart();
  }
  ticket bring(const std::string& first, const std::string& second) {
    return submit(ask::enqueue{plant, erp, {event(first), event(second)}});
  }
  /// As many as should be there, and an agent has one of them: what comes now is held.
  void fill() {
    auto a = open({});
    get<wire::enqueue_reply>(bring("1", "2"));
    ASSERT_EQ(claim(a, {.seq = 1, .most = 1}).size(), 1u);
    get<wire::enqueue_reply>(bring("3", "4"));
  }
};

TEST_F(paced, who_brings_more_than_agents_take_is_answered_when_they_have_it) {
  auto a = open({});
  get<wire::enqueue_reply>(bring("1", "2"));
  auto mine = claim(a, {.seq = 1, .most = 2});
  ASSERT_EQ(mine.size(), 2u);
  get<wire::enqueue_reply>(bring("3", "4"));
  auto held = bring("5", "6");
  EXPECT_FALSE(take(held)) << "six are there, and of four that wait two were there before";
  EXPECT_EQ(queue().ready, 4u) << "stored all the same";
  settle(a, {done(mine[0]), done(mine[1])});
  EXPECT_EQ(get<wire::enqueue_reply>(held).messages.size(), 2u);
}

TEST_F(paced, nobody_waits_longer_than_the_longest_time) {
  fill();
  auto held = bring("5", "6");
  EXPECT_FALSE(take(held));
  EXPECT_LE(core->next_wake(), now.mono + longest);
  leap(longest);
  get<wire::enqueue_reply>(held);
}

TEST_F(paced, what_is_held_is_answered_by_a_hub_that_stops) {
  fill();
  auto held = bring("5", "6");
  EXPECT_FALSE(take(held));
  core->drain();
  pump();
  get<wire::enqueue_reply>(held);
}

TEST_F(paced, an_answer_held_before_a_failed_append_tells_the_truth) {
  fill();
  auto durable = bring("5", "6");
  commits = false;
  submit(ask::enqueue{plant, {"other"}, {event("x")}});
  auto lost = bring("7", "8");
  disk->fail_next_append({append_status::failed, 0, "no", false});
  commits = true;
  pump();
  get<wire::enqueue_reply>(durable);
  EXPECT_EQ(get<error>(lost).code, errc::outcome_unknown);
  EXPECT_EQ(queue().ready, 5u) << "1 to 6, and one of them granted";
}

TEST_F(paced, a_held_answer_never_leaves_before_its_append_is_durable) {
  fill();
  commits = false;
  auto held = bring("5", "6");
  leap(longest);
  EXPECT_FALSE(take(held));
  commits = true;
  pump();
  get<wire::enqueue_reply>(held);
}

} // namespace sallyport::cloud::test
