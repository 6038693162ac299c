#include "runtime/core/session_keeper.hpp"
#include "tests/runtime/core/core_test_support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::runtime {
namespace {

using namespace test;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

session_settings settings(std::size_t hubs = 1) {
  session_settings s;
  s.group = group_name{"plant"};
  s.agent = agent_name{"a"};
  s.id = agent_id{"id"};
  s.process = 3;
  s.version = "1";
  s.hubs = hubs;
  return s;
}

wire::session_opened session(std::uint64_t serial = 1, std::uint64_t epoch = 9) {
  wire::session_opened o;
  o.session = {epoch, serial};
  o.ttl = milliseconds{10'000};
  o.heartbeat = milliseconds{2'500};
  o.epoch = {epoch};
  return o;
}
wire::heartbeat_reply alive(std::uint64_t epoch = 9) {
  wire::heartbeat_reply r;
  r.ttl = milliseconds{10'000};
  r.epoch = {epoch};
  return r;
}
error fails(errc code) {
  return make_error(code, "x");
}

/// A keeper with an open session whose opening left at 0 and was answered at 100.
struct open_keeper {
  explicit open_keeper(std::size_t hubs = 1) : k(settings(hubs), 1) {
    k.start(at(0));
    k.on(presence{}, at(0));
    first = k.opened(session(), at(100));
  }
  /// Runs the heartbeat that is due at `when`, up to its leaving.
  session_keeper::actions beat(std::int64_t when, presence p = {}) {
    auto ask = k.tick(at(when));
    EXPECT_THAT(all<presence_ask>(ask), SizeIs(1));
    return k.on(std::move(p), at(when));
  }
  session_keeper k;
  session_keeper::actions first;
};

TEST(session_keeper, opens_with_its_identity_and_the_fences_still_held) {
  session_keeper k{settings(), 1};
  auto ask = only<presence_ask>(k.start(at(0)));
  EXPECT_TRUE(ask.opening);
  presence p;
  p.held = {{m(1), f(7)}};
  auto open = only<send_open>(k.on(p, at(0)));
  EXPECT_EQ(open.body.life, (incarnation{3, 1}));
  EXPECT_EQ(open.body.held, p.held);
  EXPECT_EQ(open.body.id.value, "id");
}

TEST(session_keeper, its_deadline_counts_from_before_the_request_left) {
  open_keeper o;
  EXPECT_EQ(only<session_started>(o.first).deadline, at(10'000 - 500));
  EXPECT_TRUE(o.k.may_work(at(9'499)));
  EXPECT_FALSE(o.k.may_work(at(9'500)));
}

TEST(session_keeper, beats_at_a_quarter_of_the_ttl) {
  open_keeper o;
  EXPECT_EQ(o.k.next_wake(), at(2'500));
  EXPECT_TRUE(o.k.tick(at(2'499)).empty());
  auto sent = only<send_heartbeat>(o.beat(2'500));
  EXPECT_EQ(sent.session, session().session);
  o.k.heard(o.k.session(), alive(), at(2'510));
  EXPECT_EQ(o.k.next_wake(), at(5'000));
}

TEST(session_keeper, any_answered_request_counts_as_a_sign_of_life) {
  open_keeper o;
  auto moved = o.k.answered(o.k.session(), nullptr, at(2'000), true, at(2'050));
  EXPECT_EQ(only<deadline_moved>(moved).deadline, at(2'000 + 9'500));
  EXPECT_EQ(o.k.next_wake(), at(4'500));
}

TEST(session_keeper, an_unanswered_request_does_not_put_the_heartbeat_off) {
  open_keeper o;
  auto lost = fails(errc::timed_out);
  o.k.answered(o.k.session(), &lost, at(2'000), true, at(2'050));
  EXPECT_EQ(o.k.next_wake(), at(2'500));
}

TEST(session_keeper, a_real_heartbeat_leaves_once_per_ttl_however_busy_the_session_is) {
  open_keeper o;
  for (int t = 100; t < 10'000; t += 100)
    o.k.answered(o.k.session(), nullptr, at(t), true, at(t + 1));
  EXPECT_EQ(o.k.next_wake(), at(10'000));
}

TEST(session_keeper, a_settlement_accepted_after_the_deadline_does_not_revive_the_session) {
  open_keeper o;
  o.k.answered(o.k.session(), nullptr, at(9'400), false, at(12'000));
  EXPECT_FALSE(o.k.may_work(at(12'000)));
  o.k.answered(o.k.session(), nullptr, at(9'400), true, at(12'001)); // A claim would have been refused.
  EXPECT_TRUE(o.k.may_work(at(12'001)));
}

// Found by the simulator: the late answer to the last heartbeat of the old session said that it had been replaced, by ourselves.
TEST(session_keeper, a_late_answer_to_a_heartbeat_of_an_earlier_session_changes_nothing) {
  open_keeper o;
  const auto before = o.k.session();
  o.beat(2'500);
  o.k.heard(before, alive(), at(2'501));
  o.beat(5'000); // Its answer is late.
  const auto expired = fails(errc::session_expired);
  o.k.answered(before, &expired, at(5'001), true, at(5'002));
  o.k.on(presence{}, at(5'003));
  o.k.opened(session(2), at(5'004));
  o.beat(7'504);
  EXPECT_THAT(o.k.heard(before, fails(errc::session_replaced), at(7'505)), IsEmpty());
  EXPECT_TRUE(o.k.may_work(at(7'506)));
}

TEST(session_keeper, an_expired_session_is_reopened_at_once_with_the_next_opening) {
  open_keeper o;
  o.beat(2'500);
  o.k.heard(o.k.session(), alive(), at(2'501));
  o.beat(5'000);
  auto gone = o.k.heard(o.k.session(), fails(errc::session_expired), at(5'001));
  EXPECT_TRUE(has<session_over>(gone));
  EXPECT_TRUE(only<presence_ask>(gone).opening);
  EXPECT_FALSE(o.k.may_work(at(5'001)));
  EXPECT_EQ(only<send_open>(o.k.on(presence{}, at(5'002))).body.life, (incarnation{3, 2}));
}

TEST(session_keeper, a_session_that_never_lived_is_reopened_with_a_pause) {
  open_keeper o;
  auto e = fails(errc::unknown_session);
  auto gone = o.k.answered(o.k.session(), &e, at(200), true, at(201));
  EXPECT_TRUE(has<session_over>(gone));
  EXPECT_FALSE(has<presence_ask>(gone));
  EXPECT_GT(o.k.next_wake(), at(201));
  EXPECT_TRUE(has<presence_ask>(o.k.tick(o.k.next_wake())));
}

TEST(session_keeper, a_lost_opening_is_repeated_with_the_same_number) {
  session_keeper k{settings(), 1};
  k.start(at(0));
  k.on(presence{}, at(0));
  k.opened(fails(errc::timed_out), at(10'000));
  auto ask = k.tick(k.next_wake());
  ASSERT_TRUE(has<presence_ask>(ask));
  EXPECT_EQ(only<send_open>(k.on(presence{}, at(10'400))).body.life.opening, 1u);
}

TEST(session_keeper, what_changed_while_the_opening_was_under_way_is_told_at_once) {
  session_keeper k(settings(), 1);
  k.start(at(0));
  k.on(presence{}, at(0));
  k.beat_soon(at(50));
  k.opened(session(), at(100));
  EXPECT_LE(k.next_wake(), at(100));
  EXPECT_THAT(all<presence_ask>(k.tick(at(100))), SizeIs(1));
}

TEST(session_keeper, a_lost_opening_whose_session_has_ended_meanwhile_is_followed_by_the_next_number) {
  session_keeper k(settings(), 1);
  k.start(at(0));
  k.on(presence{}, at(0));
  k.opened(fails(errc::timed_out), at(10'000));
  k.tick(k.next_wake());
  k.on(presence{}, k.next_wake());
  k.opened(fails(errc::session_expired), at(21'000));
  k.tick(k.next_wake());
  auto again = all<send_open>(k.on(presence{}, k.next_wake()));
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].body.life, (incarnation{3, 2}));
}

TEST(session_keeper, goes_around_the_hub_addresses_with_growing_pauses_and_never_gives_up) {
  session_keeper k{settings(3), 1};
  k.start(at(0));
  auto now = at(0);
  std::vector<std::size_t> hubs;
  milliseconds longest{};
  for (int i = 0; i < 200; ++i) {
    k.on(presence{}, now);
    auto out = k.opened(fails(errc::unreachable), now);
    for (auto& u : all<use_hub>(out))
      hubs.push_back(u.index);
    EXPECT_EQ(only<link_news>(out).what, link_news::kind::disconnected);
    ASSERT_NE(k.next_wake(), mono_time::max());
    longest = std::max(longest, k.next_wake() - now);
    now = k.next_wake();
    ASSERT_TRUE(has<presence_ask>(k.tick(now)));
  }
  hubs.resize(6);
  EXPECT_THAT(hubs, ElementsAre(1, 2, 0, 1, 2, 0));
  EXPECT_LE(longest, milliseconds{30'000});
  EXPECT_GE(longest, milliseconds{15'000});
}

TEST(session_keeper, one_silent_heartbeat_is_repeated_and_the_second_goes_to_the_next_hub) {
  open_keeper o{2};
  o.beat(2'500);
  auto first = o.k.heard(o.k.session(), fails(errc::timed_out), at(5'800));
  EXPECT_FALSE(has<use_hub>(first));
  o.beat(o.k.next_wake().time_since_epoch().count());
  auto second = o.k.heard(o.k.session(), fails(errc::timed_out), at(9'200));
  EXPECT_TRUE(has<use_hub>(second));
  // The session may still live there: it is asked for, not opened anew.
  EXPECT_THAT(all<send_heartbeat>(o.beat(o.k.next_wake().time_since_epoch().count())), SizeIs(1));
}

TEST(session_keeper, a_heartbeat_leaves_time_to_try_another_way) {
  open_keeper o;
  EXPECT_LE(only<send_heartbeat>(o.beat(2'500)).timeout, milliseconds{3'400});
}

TEST(session_keeper, a_replaced_session_ends_it_for_good) {
  for (int by = 0; by < 3; ++by) {
    open_keeper o;
    session_keeper::actions out;
    auto e = fails(errc::session_replaced);
    if (by == 0) {
      o.beat(2'500);
      out = o.k.heard(o.k.session(), e, at(2'501));
    } else if (by == 1) {
      out = o.k.answered(o.k.session(), &e, at(200), true, at(201));
    } else {
      session_keeper fresh{settings(), 1};
      fresh.start(at(0));
      fresh.on(presence{}, at(0));
      out = fresh.opened(e, at(1));
      EXPECT_EQ(fresh.next_wake(), mono_time::max());
    }
    EXPECT_TRUE(has<session_taken>(out)) << by;
    EXPECT_FALSE(o.k.may_work(at(300)) && by < 2);
  }
}

TEST(session_keeper, a_name_in_use_is_waited_for_as_long_as_the_hub_says) {
  session_keeper k{settings(), 1};
  k.start(at(0));
  k.on(presence{}, at(0));
  auto e = fails(errc::name_in_use);
  e.retry_after_s = 7;
  auto out = k.opened(e, at(10));
  EXPECT_EQ(only<link_news>(out).what, link_news::kind::waiting);
  EXPECT_EQ(k.next_wake(), at(7'010));
}

TEST(session_keeper, a_bad_token_is_tried_again_slowly_and_said_each_time) {
  session_keeper k{settings(), 1};
  k.start(at(0));
  auto now = at(0);
  for (int i = 0; i < 20; ++i) {
    k.on(presence{}, now);
    auto out = k.opened(fails(errc::bad_token), now);
    EXPECT_EQ(only<link_news>(out).what, link_news::kind::refused);
    EXPECT_THAT(only<link_news>(out).detail, HasSubstr("bad_token"));
    EXPECT_GE(k.next_wake() - now, milliseconds{2'000});
    now = k.next_wake();
    k.tick(now);
  }
}

TEST(session_keeper, a_list_is_sent_at_once_when_asked_for_and_again_until_it_was_heard) {
  open_keeper o;
  o.beat(2'500);
  auto wants = alive();
  wants.commands = {wire::session_command::list_held};
  o.k.heard(o.k.session(), wants, at(2'510));
  auto ask = only<presence_ask>(o.k.tick(at(2'510)));
  EXPECT_TRUE(ask.list);
  presence p;
  p.list.emplace();
  EXPECT_TRUE(only<send_heartbeat>(o.k.on(p, at(2'511))).body.list.has_value());
  o.k.heard(o.k.session(), fails(errc::timed_out), at(5'900));
  EXPECT_TRUE(only<presence_ask>(o.k.tick(o.k.next_wake())).list);
  o.k.on(p, at(6'500));
  o.k.heard(o.k.session(), alive(), at(6'501));
  EXPECT_FALSE(only<presence_ask>(o.k.tick(o.k.next_wake())).list);
}

TEST(session_keeper, what_changed_before_the_opening_left_is_said_by_it_and_not_again) {
  session_keeper k{settings(), 1};
  k.start(at(0));
  k.beat_soon(at(0));
  k.on(presence{}, at(1));
  k.opened(session(), at(10));
  EXPECT_EQ(k.next_wake(), at(2'501));
}

TEST(session_keeper, carries_the_highest_epoch_ever_seen_into_every_opening) {
  open_keeper o;
  o.beat(2'500);
  o.k.heard(o.k.session(), alive(42), at(2'501));
  o.beat(5'001);
  o.k.heard(o.k.session(), fails(errc::unknown_session), at(5'002)); // A restored backup knows nothing of us.
  EXPECT_EQ(only<send_open>(o.k.on(presence{}, at(5'003))).body.highest_epoch.value, 42u);
}

TEST(session_keeper, reports_lost_fences_and_drain_commands) {
  open_keeper o;
  o.beat(2'500);
  auto r = alive();
  r.lost = {{m(1), f(1)}};
  r.commands = {wire::session_command::drain};
  auto out = o.k.heard(o.k.session(), r, at(2'501));
  EXPECT_EQ(only<fences_lost>(out).grants, r.lost);
  EXPECT_TRUE(has<drain_wanted>(out));
}

TEST(session_keeper, says_when_the_hub_knows_that_nothing_more_is_wanted) {
  open_keeper o;
  EXPECT_TRUE(has<presence_ask>(o.k.beat_for_drain(at(1'000))));
  o.k.on(presence{}, at(1'000));
  EXPECT_TRUE(has<drain_heard>(o.k.heard(o.k.session(), alive(), at(1'010))));
}

TEST(session_keeper, a_heartbeat_that_left_before_the_drain_does_not_count_as_its_announcement) {
  open_keeper o;
  o.beat(2'500);
  o.k.beat_for_drain(at(2'501));
  EXPECT_FALSE(has<drain_heard>(o.k.heard(o.k.session(), alive(), at(2'510))));
  EXPECT_TRUE(has<presence_ask>(o.k.tick(at(2'510))));
  o.k.on(presence{}, at(2'510));
  EXPECT_TRUE(has<drain_heard>(o.k.heard(o.k.session(), alive(), at(2'520))));
}

TEST(session_keeper, closes_and_tries_again_a_few_times_when_no_answer_comes) {
  open_keeper o;
  EXPECT_TRUE(has<send_close>(o.k.close_session(at(200))));
  auto now = at(200);
  int tries = 1;
  for (; tries < 10; ++tries) {
    auto out = o.k.closed(fails(errc::timed_out), now);
    if (has<session_closed>(out))
      break;
    now = o.k.next_wake();
    ASSERT_TRUE(has<send_close>(o.k.tick(now)));
  }
  EXPECT_EQ(tries, 3);
  open_keeper ok;
  ok.k.close_session(at(200));
  EXPECT_TRUE(has<session_closed>(ok.k.closed(wire::session_closed{}, at(210))));
}

TEST(session_keeper, closing_without_a_session_is_over_at_once) {
  session_keeper k{settings(), 1};
  k.start(at(0));
  EXPECT_TRUE(has<session_closed>(k.close_session(at(1))));
  EXPECT_TRUE(k.on(presence{}, at(2)).empty());
}

} // namespace
} // namespace sallyport::runtime
