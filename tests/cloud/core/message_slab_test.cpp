#include "cloud/core/message_slab.hpp"

#include <gtest/gtest.h>

namespace sallyport::cloud {
namespace {

TEST(message_slab, hands_out_slots_one_by_one_and_leaves_messages_where_they_are) {
  message_slab slab;
  ASSERT_EQ(slab.add(), 0u);
  auto* const first = &slab[0];
  first->bytes = 7;
  for (slot s = 1; s < 10'000; ++s) { // Into the third block.
    ASSERT_EQ(slab.add(), s);
    slab[s].id = {1, s};
    slab[s].lease = std::make_unique<lease_info>(); // Given back with the slab: the sanitizers look.
  }
  EXPECT_EQ(slab.size(), 10'000u);
  EXPECT_EQ(&slab[0], first);
  EXPECT_EQ(first->bytes, 7u);
  for (slot s = 1; s < 10'000; ++s)
    ASSERT_EQ(slab[s].id, (message_id{1, s}));
}

TEST(message_slab, a_new_message_is_as_one_that_was_never_used) {
  message_slab slab;
  slab.add();
  EXPECT_EQ(slab[0].state, message_state::waiting);
  EXPECT_EQ(slab[0].expires_at, never);
  EXPECT_EQ(slab[0].prev, nowhere);
  EXPECT_FALSE(slab[0].lease);
}

} // namespace
} // namespace sallyport::cloud
