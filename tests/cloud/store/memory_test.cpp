#include "cloud/store/memory.hpp"

#include "tests/cloud/store/samples.hpp"

#include <gtest/gtest.h>

namespace sallyport::cloud {
namespace {

class memory_store_test : public ::testing::Test {
protected:
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  memory_store store{disk};
};

TEST_F(memory_store_test, the_disk_outlives_a_crashed_store) {
  {
    memory_store crashed{disk};
    const auto opened = crashed.open({});
    ASSERT_EQ(crashed.append(opened->epoch, opened->tail, {testing::put_meta("k", "v")}).status, append_status::durable);
  } // Gone without close().
  const auto opened = store.open({});
  EXPECT_EQ(opened->epoch.value, 2u);
  EXPECT_EQ(testing::replayed(store), (std::map<std::string, std::string>{{"k", "v"}}));
}

TEST_F(memory_store_test, a_second_owner_fences_the_first) {
  const auto first = store.open({});
  memory_store other{disk};
  const auto second = other.open({});
  EXPECT_EQ(store.append(first->epoch, first->tail, {testing::put_meta("k", "old")}).status, append_status::fenced);
  EXPECT_EQ(other.append(second->epoch, second->tail, {testing::put_meta("k", "new")}).status, append_status::durable);
  EXPECT_EQ(disk->records(tree::meta), (std::map<std::string, std::string>{{"k", "new"}}));
}

TEST_F(memory_store_test, an_ordered_failure_strikes_once_and_changes_nothing) {
  const auto opened = store.open({});
  for (const auto status : {append_status::full, append_status::failed, append_status::fenced, append_status::unknown}) {
    disk->fail_next_append({status, 0, "ordered", status == append_status::unknown});
    const auto outcome = store.append(opened->epoch, opened->tail, {testing::put_meta("k", "v")});
    EXPECT_EQ(outcome.status, status);
    EXPECT_EQ(outcome.sync_failed, status == append_status::unknown);
  }
  EXPECT_TRUE(disk->records(tree::meta).empty());
  EXPECT_EQ(store.append(opened->epoch, opened->tail, {testing::put_meta("k", "v")}).status, append_status::durable);
}

TEST_F(memory_store_test, an_unknown_append_may_have_reached_the_disk) {
  const auto opened = store.open({});
  disk->fail_next_append({append_status::unknown, 0, "ordered"}, true);
  EXPECT_EQ(store.append(opened->epoch, opened->tail, {testing::put_meta("k", "v")}).status, append_status::unknown);
  EXPECT_EQ(disk->records(tree::meta).count("k"), 1u);
  // Memory is behind: the old tail counts no more, and only reopening tells the new one.
  EXPECT_EQ(store.append(opened->epoch, opened->tail, {}).status, append_status::fenced);
  store.close();
  EXPECT_EQ(store.open({})->tail, opened->tail + 1);
}

TEST_F(memory_store_test, opening_and_fetching_fail_when_ordered) {
  disk->fail_next_open(make_error(errc::store_damaged, "ordered"));
  EXPECT_EQ(store.open({}).err().code, errc::store_damaged);
  ASSERT_TRUE(store.open({}).ok());
  disk->fail_next_fetch(make_error(errc::store_io, "ordered"));
  EXPECT_EQ(store.fetch("k").err().code, errc::store_io);
  EXPECT_TRUE(store.fetch("k").ok());
}

TEST_F(memory_store_test, a_disk_that_shrinks_below_its_content_lets_only_shrinking_batches_pass) {
  const auto opened = store.open({});
  auto outcome = store.append(opened->epoch, opened->tail, {testing::put_meta("a", "1234"), testing::put_content("a", "5678")});
  disk->set_capacity(3);
  EXPECT_EQ(store.append(opened->epoch, outcome.tail, {testing::put_meta("b", "1")}).status, append_status::full);
  EXPECT_EQ(disk->records(tree::meta).size(), 1u);
  outcome = store.append(opened->epoch, outcome.tail, {testing::put_meta("b", "1"), testing::del(tree::content, "a")});
  EXPECT_EQ(outcome.status, append_status::durable);
  disk->set_capacity(1'000);
  EXPECT_EQ(store.append(opened->epoch, outcome.tail, {testing::put_meta("c", "1")}).status, append_status::durable);
}

} // namespace
} // namespace sallyport::cloud
