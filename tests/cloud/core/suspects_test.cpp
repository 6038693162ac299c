// Messages that end their agents: found, buried, and their neighbours live.
#include "tests/cloud/core/scene.hpp"

#include <algorithm>

namespace sallyport::cloud::test {

class suspects : public scene {
protected:
  std::uint64_t life = 1;
  session_id a = open({});
  void crash() { a = open({.process = ++life}); } // The agent's process dies and starts again.
};

TEST_F(suspects, a_message_that_kills_its_agent_ends_as_a_dead_letter_and_its_neighbours_are_settled) {
  std::vector<std::string> names;
  for (int i = 0; i < 256; ++i)
    names.push_back("m" + std::to_string(i));
  auto ids = enqueue_all(names);
  const auto poison = ids[100];
  int crashes = 0;
  std::uint64_t seq = 0;
  for (int turn = 0; turn < 1000 && queue().dead == 0; ++turn) {
    auto got = claim(a, {.seq = ++seq, .most = 256});
    if (std::any_of(got.begin(), got.end(), [&](auto& g) { return g.message == poison; })) {
      crash();
      ++crashes;
      continue;
    }
    for (auto& g : got)
      settle(a, done(g));
    if (got.empty())
      pass(milliseconds{250});
  }
  EXPECT_EQ(look(poison).state, "dead");
  EXPECT_LE(crashes, 14);
  for (int turn = 0; turn < 300; ++turn)
    for (auto& g : claim(a, {.seq = ++seq, .most = 256}))
      settle(a, done(g));
  for (auto id : ids)
    EXPECT_EQ(look(id).state, id == poison ? "dead" : "settled");
}

TEST_F(suspects, they_travel_alone) {
  auto old = enqueue("suspect");
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(claim(a).size(), 1u);
    crash();
  }
  enqueue_all({"x", "y"});
  auto got = claim(a, {.seq = 1});
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].message, old);
  EXPECT_TRUE(claim(a, {.seq = 2}).empty()) << "who holds suspects holds nothing else";
  settle(a, done(got[0]));
  EXPECT_EQ(claim(a, {.seq = 3}).size(), 2u);
}

TEST_F(suspects, a_busy_session_is_given_nothing_new_while_suspects_wait) {
  auto b = open({.agent = "b"});
  auto busy = enqueue("busy");
  auto held = claim(b);
  ASSERT_EQ(held.at(0).message, busy);
  auto bad = enqueue("bad");
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(claim(a).at(0).message, bad);
    crash();
  }
  get<wire::session_closed>(ask::close{a}); // Only b is left, and b is busy.
  enqueue("innocent");
  EXPECT_TRUE(claim(b, {.seq = 2}).empty());
  auto parked = submit(claim_of(b, {.seq = 3, .wait = milliseconds{5000}}));
  settle(b, done(held[0]), "b");
  EXPECT_EQ(get<wire::claim_reply>(parked).grants.at(0).message, bad);
}

TEST_F(suspects, a_flapping_network_kills_nobody) {
  auto m = enqueue("1");
  std::uint64_t turn = 1;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(claim(a).size(), 1u) << i;
    pass(milliseconds{11'000});
    a = open({.turn = ++turn}); // The same process: it lived.
    EXPECT_EQ(look(m).losses, 0u);
  }
}

} // namespace sallyport::cloud::test
