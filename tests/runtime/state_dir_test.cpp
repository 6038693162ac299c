#include "runtime/state_dir.hpp"

#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

namespace sallyport::runtime {
namespace {

using testing::temp_dir;

TEST(state_dir, keeps_its_id_and_raises_the_incarnation_at_every_start) {
  temp_dir folder;
  const auto path = folder / "state";
  std::string id;
  for (std::uint64_t start = 1; start <= 3; ++start) {
    auto dir = state_dir::open(path);
    ASSERT_TRUE(dir.ok()) << to_string(dir.err());
    EXPECT_EQ(dir->incarnation(), start);
    EXPECT_TRUE(is_valid_token_id(dir->id().value));
    EXPECT_TRUE(start == 1 || dir->id().value == id);
    id = dir->id().value;
  }
}

TEST(state_dir, two_installations_differ) {
  temp_dir folder;
  auto a = state_dir::open(folder / "a"), b = state_dir::open(folder / "b");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->id(), b->id());
}

TEST(state_dir, a_second_process_is_refused_and_told_who_holds_it) {
  temp_dir folder;
  auto first = state_dir::open(folder / "state");
  ASSERT_TRUE(first.ok());
  auto second = state_dir::open(folder / "state"); // flock() tells open files apart, not processes.
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.err().code, errc::state_locked);
  EXPECT_NE(second.err().detail.find(std::to_string(::getpid())), std::string::npos) << second.err().detail;
  { auto gone = std::move(*first); }
  EXPECT_TRUE(state_dir::open(folder / "state").ok()) << "the lock goes with its holder";
}

TEST(state_dir, what_it_cannot_understand_it_does_not_overwrite) {
  temp_dir folder;
  std::filesystem::create_directories(folder / "state");
  folder.write("state/incarnation", "seven\n");
  auto dir = state_dir::open(folder / "state");
  ASSERT_FALSE(dir.ok());
  EXPECT_EQ(dir.err().code, errc::state_io);
  EXPECT_EQ(testing::content_of(folder / "state/incarnation"), "seven\n");
}

TEST(state_dir, a_place_where_none_can_be_is_named) {
  temp_dir folder;
  folder.write("file", "");
  auto dir = state_dir::open(folder / "file/state");
  ASSERT_FALSE(dir.ok());
  EXPECT_EQ(dir.err().code, errc::state_io);
  EXPECT_NE(dir.err().detail.find("file/state"), std::string::npos);
}

} // namespace
} // namespace sallyport::runtime
