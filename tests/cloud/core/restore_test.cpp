// Rows that are damaged in spite of the store's crc: the hub says so, and does not stumble over them later.
#include "cloud/core/rows.hpp"
#include "tests/cloud/core/scene.hpp"

#include <functional>

namespace sallyport::cloud::test {

class damaged_rows : public scene {
protected:
  using row_map = std::map<std::string, std::string>;

  /// A hub that holds a grant, has lost one, and has a dead letter.
  row_map lived() {
    const auto b = open({.agent = "b"});
    enqueue_all({"1", "2", "3"});
    (void)claim(b, {.most = 1});
    pass(milliseconds{11'000}); // b is silent.
    const auto a = open({});
    const auto got = claim(a, {.most = 2});
    (void)settle(a, failed(got.at(0), false));
    return disk->records(tree::meta);
  }

  /// Are the rows taken? In a life after the one that wrote them.
  static bool taken(const row_map& rows) {
    shard next{shard_settings{}};
    next.reopened({{2}, 1'000});
    for (auto& [key, value] : rows)
      if (!next.restore(key, value))
        return false;
    next.started({mono_time{milliseconds{1}}, wall_time{milliseconds{1'800'000'100'000}}});
    return true;
  }
  static std::string& row(row_map& rows, char kind, std::size_t n = 0) {
    auto at = rows.lower_bound(std::string(1, kind));
    std::advance(at, n);
    return at->second;
  }
};

TEST_F(damaged_rows, undamaged_ones_are_taken) {
  EXPECT_TRUE(taken(lived()));
}

TEST_F(damaged_rows, a_row_cut_anywhere_is_refused) {
  const auto rows = lived();
  for (const auto& [key, value] : rows)
    for (std::size_t size = 0; size < value.size(); ++size) {
      auto cut = rows;
      cut[key].resize(size);
      EXPECT_FALSE(taken(cut)) << key.front() << " at " << size;
    }
}

TEST_F(damaged_rows, any_byte_may_be_another_without_harm) {
  const auto rows = lived();
  std::size_t refused = 0, bytes = 0;
  for (const auto& [key, value] : rows)
    for (std::size_t i = 0; i < value.size(); ++i)
      for (const char wrong : {'\xff', '\x80', '\x01'}) {
        auto damaged = rows;
        damaged[key][i] = static_cast<char>(damaged[key][i] ^ wrong);
        refused += !taken(damaged); // Else it has started, and asserted nothing.
        ++bytes;
      }
  EXPECT_GT(refused, bytes / 3);
}

TEST_F(damaged_rows, a_grant_of_an_agent_without_a_session_is_refused) {
  auto rows = lived();
  auto& agent = row(rows, 'g', 1); // a, the one that holds.
  const std::size_t before_live = 1 + 4 + 5 + 4 + 1 + 4 + 4 + 16 + 4 + 0 + 16;
  ASSERT_EQ(agent.at(before_live), '\1');
  agent[before_live] = '\0';
  EXPECT_FALSE(taken(rows));
}

TEST_F(damaged_rows, what_is_there_twice_is_refused) {
  const auto rows = lived();
  for (const char kind : {'c', 'g', 'm'}) {
    auto twice = rows;
    auto last = std::prev(twice.upper_bound(std::string(1, kind) + std::string(20, static_cast<char>(0xff))));
    auto key = last->first;
    ++key.back();
    twice[key] = last->second; // The same name under the next key.
    EXPECT_FALSE(taken(twice)) << kind;
  }
}

TEST_F(damaged_rows, a_fence_from_a_life_to_come_is_refused) {
  const auto rows = lived();
  shard same_life{shard_settings{}};
  same_life.reopened({{1}, 0}); // The epoch that wrote them: what it mints would not be new.
  bool all = true;
  for (auto& [key, value] : rows)
    all = all && same_life.restore(key, value);
  EXPECT_FALSE(all);
}

} // namespace sallyport::cloud::test
