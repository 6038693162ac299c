#include "cloud/core/message_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sallyport::cloud {
namespace {

TEST(message_index, finds_what_was_inserted_and_nothing_beside_it) {
  message_index index;
  EXPECT_EQ(index.find({1, 255}), nowhere);
  EXPECT_TRUE(index.insert({1, 255}, 7));
  EXPECT_TRUE(index.insert({1, 256}, 8)); // The first of the next page.
  EXPECT_TRUE(index.insert({2, 255}, 9)); // The same serial of another epoch.
  EXPECT_EQ(index.find({1, 255}), 7u);
  EXPECT_EQ(index.find({1, 256}), 8u);
  EXPECT_EQ(index.find({2, 255}), 9u);
  EXPECT_EQ(index.find({1, 254}), nowhere);
  EXPECT_EQ(index.find({3, 255}), nowhere);
}

TEST(message_index, keeps_the_first_of_two_with_one_id) {
  message_index index;
  EXPECT_TRUE(index.insert({1, 1}, 7));
  EXPECT_FALSE(index.insert({1, 1}, 8));
  EXPECT_EQ(index.find({1, 1}), 7u);
  index.erase({1, 1});
  EXPECT_EQ(index.pages(), 0u); // It was counted once.
}

TEST(message_index, gives_a_page_back_with_its_last_message) {
  message_index index;
  for (std::uint64_t serial = 0; serial < 1024; ++serial)
    index.insert({1, serial}, static_cast<slot>(serial));
  EXPECT_EQ(index.pages(), 4u);
  for (std::uint64_t serial = 0; serial < 1024; ++serial)
    if (serial != 700)
      index.erase({1, serial});
  index.erase({1, 699}); // For the second time.
  EXPECT_EQ(index.pages(), 1u);
  EXPECT_EQ(index.find({1, 700}), 700u);
  index.erase({1, 700});
  EXPECT_EQ(index.pages(), 0u);
}

TEST(message_index, is_a_map_whatever_the_order) {
  std::mt19937_64 random{7};
  message_index index;
  std::map<message_id, slot> oracle;
  for (int step = 0; step < 200'000; ++step) {
    const message_id id{random() % 3, random() % 2'000 + (random() % 8 == 0 ? std::uint64_t{1} << 40 : 0)};
    if (random() % 2 == 0) {
      const auto s = static_cast<slot>(step);
      EXPECT_EQ(index.insert(id, s), oracle.emplace(id, s).second);
    } else {
      index.erase(id);
      oracle.erase(id);
    }
    const auto known = oracle.find(id);
    ASSERT_EQ(index.find(id), known == oracle.end() ? nowhere : known->second);
  }
  for (const auto& [id, s] : oracle)
    ASSERT_EQ(index.find(id), s);
  for (const auto& [id, s] : std::exchange(oracle, {}))
    index.erase(id);
  EXPECT_EQ(index.pages(), 0u);
}

} // namespace
} // namespace sallyport::cloud
