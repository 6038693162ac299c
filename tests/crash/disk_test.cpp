// The disk that the images are made of: if it kept too much, a lost write would go unnoticed; if it kept too little, nothing could pass.
#include "tests/crash/disk.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <set>

namespace sallyport::crash {
namespace {

struct crash_disk : testing::Test {
  void does(record_kind kind, std::uint32_t file, std::string bytes = {}, std::uint64_t at = 0, std::uint8_t flags = 0) {
    texts.push_back(std::move(bytes));
    recording::entry e;
    e.head.kind = kind, e.head.file = file, e.head.at = at, e.head.flags = flags;
    e.bytes = texts.back();
    d.apply(e);
  }
  /// A file whose name is safe.
  void make() {
    does(record_kind::created, 1, "f");
    does(record_kind::sync_directory, 0, "");
  }
  static std::string content(const image& i) {
    auto found = i.names.find("f");
    return found == i.names.end() ? "(none)" : found->second.value();
  }
  /// Every content that any number of subsets show.
  std::set<std::string> possible() {
    std::set<std::string> all;
    runtime::dice chance{1};
    for (int n = 0; n < 200; ++n)
      all.insert(content(d.subset(chance)));
    return all;
  }
  std::deque<std::string> texts;
  disk d;
};

TEST_F(crash_disk, what_was_synced_is_there_and_what_was_not_may_be) {
  make();
  does(record_kind::write, 1, "old");
  does(record_kind::sync, 1);
  does(record_kind::write, 1, "new");
  EXPECT_EQ(content(d.prefix(0)), "old");
  EXPECT_EQ(content(d.prefix(1)), "new");
  EXPECT_EQ(possible(), (std::set<std::string>{"old", "new"}));
}

TEST_F(crash_disk, a_write_through_is_there_and_takes_no_other_with_it) {
  make();
  does(record_kind::write, 1, std::string(512, 'a'));
  does(record_kind::write, 1, "b", 512, through);
  EXPECT_EQ(content(d.prefix(0)), std::string(512, '\0') + "b");
  EXPECT_EQ(d.pending(), 1u);
}

TEST_F(crash_disk, sectors_are_lost_one_by_one_and_never_in_part) {
  make();
  does(record_kind::resize, 1, {}, 1'024);
  does(record_kind::sync, 1);
  does(record_kind::write, 1, std::string(1'024, 'x'));
  const std::string lost(512, '\0'), kept(512, 'x');
  EXPECT_EQ(d.pending_sectors(), 2u);
  EXPECT_EQ(possible(), (std::set<std::string>{lost + lost, lost + kept, kept + lost, kept + kept}));
}

TEST_F(crash_disk, after_a_failed_sync_no_later_one_vouches_for_what_it_should_have_written) {
  make();
  does(record_kind::write, 1, "lost");
  does(record_kind::sync_failed, 1);
  does(record_kind::write, 1, "!", 4);
  does(record_kind::sync, 1);
  EXPECT_EQ(content(d.prefix(0)), std::string(4, '\0') + "!");
}

TEST_F(crash_disk, a_write_that_failed_late_is_never_certain) {
  make();
  does(record_kind::write, 1, "late", 0, never_kept);
  does(record_kind::sync, 1);
  EXPECT_EQ(possible(), (std::set<std::string>{"", "late"}));
}

TEST_F(crash_disk, a_name_is_certain_when_its_directory_was_synced_and_not_when_its_file_was) {
  does(record_kind::made_directory, 0, "d");
  does(record_kind::sync_directory, 0, "");
  does(record_kind::created, 1, "d/new");
  does(record_kind::write, 1, "text");
  does(record_kind::sync, 1);
  EXPECT_EQ(d.prefix(0).names.count("d/new"), 0u);
  does(record_kind::renamed, 1, std::string{"d/new\0d/f", 9});
  EXPECT_EQ(d.prefix(0).names.count("d/f"), 0u);
  EXPECT_EQ(d.prefix(2).names.at("d/f"), "text");
  does(record_kind::sync_directory, 0, "d");
  EXPECT_EQ(d.prefix(0).names.at("d/f"), "text");
  EXPECT_EQ(d.prefix(0).names.count("d/new"), 0u);
}

TEST_F(crash_disk, a_file_that_is_written_through_a_mapping_is_believed_nothing) {
  make();
  does(record_kind::write, 1, "text");
  does(record_kind::sync, 1);
  does(record_kind::mapped, 1);
  EXPECT_EQ(possible().count("text"), 0u);
}

TEST_F(crash_disk, an_image_that_is_written_out_replaces_the_one_before) {
  char name[] = "/tmp/sallyport-image-XXXXXX";
  const std::filesystem::path place = ::mkdtemp(name);
  make();
  const auto holes = std::string(10'000, '\0') + "end";
  does(record_kind::write, 1, holes);
  does(record_kind::created, 2, "g");
  d.prefix(9).write_to(place);
  EXPECT_TRUE(std::filesystem::exists(place / "g"));
  EXPECT_EQ(std::filesystem::file_size(place / "f"), holes.size());
  d.prefix(0).write_to(place);
  EXPECT_FALSE(std::filesystem::exists(place / "g"));
  EXPECT_EQ(std::filesystem::file_size(place / "f"), 0u);
  std::filesystem::remove_all(place);
}

} // namespace
} // namespace sallyport::crash
