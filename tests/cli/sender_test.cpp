#include "cli/sender.hpp"

#include "protocol/codec.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <deque>

using namespace sallyport;
using namespace sallyport::cli;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

namespace {

// A hub of canned answers and a clock that moves only when somebody sleeps.
struct stage {
  std::deque<error> refusals;      // Before it accepts.
  std::vector<std::string> bodies; // Of all requests.
  std::vector<milliseconds> slept;
  std::vector<std::string> known; // Bodies stored so far: again they are duplicates.
  std::chrono::steady_clock::time_point time{};

  sender_ports ports() {
    return {[this](const hub_request& r) -> result<hub_reply> { return answer(r); },
            [this] { return time; },
            [this](milliseconds d) {
              slept.push_back(d);
              time += d;
            },
            {}};
  }
  result<hub_reply> answer(const hub_request& r) {
    bodies.push_back(r.body);
    if (!refusals.empty()) {
      auto e = refusals.front();
      refusals.pop_front();
      return e;
    }
    const bool repeated = std::find(known.begin(), known.end(), r.body) != known.end();
    known.push_back(r.body);
    wire::enqueue_reply reply;
    for (std::size_t i = 0; i < 1 + static_cast<std::size_t>(std::count(r.body.begin(), r.body.end(), ',')); ++i)
      reply.messages.push_back({{1, i + 1}, "s", std::to_string(i), repeated});
    return hub_reply{201, wire::encode(reply)};
  }
};

} // namespace

TEST(sender, sends_full_batches_and_the_rest_at_the_end) {
  stage s;
  sender out({.target = "/t", .batch = 2}, s.ports());
  for (std::uint64_t i = 1; i <= 3; ++i)
    ASSERT_TRUE(out.add(std::to_string(i), i));
  EXPECT_THAT(s.bodies, ElementsAre("[1,2]"));
  ASSERT_TRUE(out.flush());
  EXPECT_THAT(s.bodies, ElementsAre("[1,2]", "[3]"));
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(s.bodies.size(), 2u);
  EXPECT_EQ(out.totals().sent(), 3u);
  EXPECT_EQ(out.totals().stored, 3u);
}

TEST(sender, counts_what_the_hub_had_already) {
  stage s;
  sender out({.target = "/t", .batch = 2}, s.ports());
  for (int round = 0; round < 2; ++round)
    for (std::uint64_t i = 1; i <= 2; ++i)
      ASSERT_TRUE(out.add(std::to_string(i), i));
  EXPECT_EQ(out.totals().stored, 2u);
  EXPECT_EQ(out.totals().duplicates, 2u);
}

TEST(sender, sends_the_same_batch_again_while_the_hub_is_away) {
  stage s;
  s.refusals = {make_error(errc::unreachable, ""), make_error(errc::outcome_unknown, ""), make_error(errc::timed_out, "")};
  sender out({.target = "/t", .batch = 1, .patience = 60s, .retry_min = 100ms}, s.ports());
  ASSERT_TRUE(out.add("1", 1));
  EXPECT_THAT(s.bodies, ElementsAre("[1]", "[1]", "[1]", "[1]"));
  EXPECT_THAT(s.slept, ElementsAre(100ms, 200ms, 400ms));
  EXPECT_EQ(out.totals().sent(), 1u);
}

TEST(sender, waits_as_long_as_the_hub_asks) {
  stage s;
  auto full = make_error(errc::store_full, "");
  full.retry_after_s = 7;
  s.refusals = {full};
  sender out({.target = "/t", .batch = 1}, s.ports());
  ASSERT_TRUE(out.add("1", 1));
  EXPECT_THAT(s.slept, ElementsAre(7s));
}

TEST(sender, gives_up_when_its_patience_ends) {
  stage s;
  s.refusals.assign(100, make_error(errc::unreachable, ""));
  sender out({.target = "/t", .batch = 1, .patience = 3s, .retry_min = 1s}, s.ports());
  const auto added = out.add("1", 1);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.err().code, errc::unreachable);
  EXPECT_LE(s.slept.size(), 3u);
}

TEST(sender, does_not_try_what_never_will_pass_and_names_the_place) {
  stage s;
  auto bad = make_error(errc::event_too_large, "");
  bad.index = 1;
  s.refusals = {bad};
  sender out({.target = "/t", .batch = 2}, s.ports());
  ASSERT_TRUE(out.add("1", 10));
  const auto added = out.add("2", 20);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.err().index, 20u);
  EXPECT_THAT(s.slept, IsEmpty());
  EXPECT_EQ(s.bodies.size(), 1u);
}

TEST(sender, keeps_the_pace) {
  stage s;
  sender out({.target = "/t", .batch = 256, .rate = 100}, s.ports());
  for (std::uint64_t i = 1; i <= 100; ++i)
    ASSERT_TRUE(out.add("1", i));
  EXPECT_EQ(s.bodies.size(), 10u); // A tenth of a second each.
  EXPECT_EQ(s.time.time_since_epoch(), 900ms);
}

TEST(sender, does_not_catch_up_after_an_outage_in_one_burst) {
  stage s;
  sender out({.target = "/t", .batch = 10, .rate = 100}, s.ports());
  s.time += 60s;
  std::uint64_t i = 0;
  const auto began = s.time;
  while (s.time - began < 1s && i < 10'000)
    ASSERT_TRUE(out.add("1", ++i));
  EXPECT_LE(i, 300u); // A second's worth at once, then the pace again.
}

TEST(sender, sends_large_events_in_smaller_batches) {
  stage s;
  sender out({.target = "/t", .batch = 1000}, s.ports());
  const std::string large(1 << 20, 'x');
  for (std::uint64_t i = 1; i <= 8; ++i)
    ASSERT_TRUE(out.add(large, i));
  EXPECT_EQ(s.bodies.size(), 2u);
}
