// The journal before the embedded store: what it leaves for the next open, and what of a damaged one is refused.
#include "cloud/store/journaled.hpp"
#include "tests/cloud/store/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace sallyport::cloud {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string bytes_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}
void write_bytes(const fs::path& file, const std::string& bytes) {
  std::ofstream{file, std::ios::binary | std::ios::trunc} << bytes;
}

/// The files of a store as they are now, as a process that dies now would leave them.
class journal_test : public ::testing::Test {
protected:
  static constexpr std::size_t block = 4096;

  journal_settings small{.bytes = 64 << 10, .batch_bytes = 16 << 10};

  void open(journaled_store& store) {
    const auto opened = store.open({});
    ASSERT_TRUE(opened.ok()) << to_string(opened.err());
    epoch = opened->epoch;
    tail = opened->tail;
  }
  void append(journaled_store& store, const batch& changes) {
    const auto outcome = store.append(epoch, tail, changes);
    ASSERT_EQ(outcome.status, append_status::durable) << outcome.detail;
    tail = outcome.tail;
  }
  /// Appends one record of each number from 1 to n.
  void append_numbers(journaled_store& store, std::uint64_t n) {
    for (std::uint64_t i = 1; i <= n; ++i) {
      append(store, {testing::put_meta(testing::key_of(i), testing::value_of(i, 50))});
      expected[testing::key_of(i)] = testing::value_of(i, 50);
    }
  }
  /// A copy of the files of a store that is open and has been used.
  fs::path crashed() {
    const auto copy = parent.path() / ("copy" + std::to_string(copies++));
    fs::create_directories(copy);
    for (const auto* name : {"store.mdb", "store.journal"})
      fs::copy_file(directory / name, copy / name);
    return copy;
  }
  static result<opened_store> open_at(const fs::path& place, std::map<std::string, std::string>* records = nullptr) {
    journaled_store survivor{{.directory = place, .map_bytes = 8 << 20}, {}};
    auto opened = survivor.open({});
    if (opened && records)
      *records = testing::replayed(survivor);
    return opened;
  }

  /// Opened there, a store is at this tail and has the records that are expected.
  void expect_recovered(const fs::path& place, std::uint64_t at_tail) {
    std::map<std::string, std::string> records;
    const auto opened = open_at(place, &records);
    ASSERT_TRUE(opened.ok()) << to_string(opened.err());
    EXPECT_EQ(opened->tail, at_tail);
    EXPECT_TRUE(records == expected);
  }

  testing::temporary_directory parent;
  fs::path directory = parent.path() / "store";
  lmdb_settings settings{.directory = directory, .map_bytes = 8 << 20};
  std::map<std::string, std::string> expected;
  epoch_number epoch;
  std::uint64_t tail = 0;
  int copies = 0;
};

TEST_F(journal_test, small_appends_change_the_journal_only_and_large_ones_the_store) {
  journaled_store store{settings, small};
  open(store);
  const auto mdb = bytes_of(directory / "store.mdb");
  append_numbers(store, 5);
  EXPECT_TRUE(bytes_of(directory / "store.mdb") == mdb);
  append(store, {testing::put_content("large", testing::value_of(1, 20'000))});
  EXPECT_FALSE(bytes_of(directory / "store.mdb") == mdb);
  EXPECT_TRUE(bytes_of(directory / "store.journal").find(testing::value_of(1, 20'000).substr(0, 100)) == std::string::npos);
}

TEST_F(journal_test, an_append_of_many_changes_changes_the_store_however_small_they_are) {
  small.batch_changes = 8;
  journaled_store store{settings, small};
  open(store);
  const auto mdb = bytes_of(directory / "store.mdb");
  const auto append_together = [&](std::uint64_t from, std::uint64_t n) {
    batch changes;
    for (std::uint64_t i = from; i < from + n; ++i) {
      changes.push_back(testing::put_meta(testing::key_of(i), testing::value_of(i, 50)));
      expected[testing::key_of(i)] = testing::value_of(i, 50);
    }
    append(store, changes);
  };
  append_together(1, 8);
  EXPECT_TRUE(bytes_of(directory / "store.mdb") == mdb);
  append_together(9, 9);
  EXPECT_FALSE(bytes_of(directory / "store.mdb") == mdb);
  expect_recovered(crashed(), tail);
}

TEST_F(journal_test, what_was_acknowledged_is_there_after_a_crash_at_every_append) {
  journaled_store store{settings, small};
  open(store);
  // Over the end of the journal several times, with deletions of what came before and after the last checkpoint.
  for (std::uint64_t i = 1; i <= 60; ++i) {
    batch changes{testing::put_meta(testing::key_of(i), testing::value_of(i, 100)),
                  testing::put_content(testing::key_of(i), testing::value_of(i, i % 40 == 0 ? 20'000 : 1'500))};
    expected[testing::key_of(i)] = testing::value_of(i, 100);
    for (const auto gone : {i - 1, i - 20})
      if (gone >= 1 && gone < i && gone % 3 != 0) {
        changes.push_back(testing::del(tree::meta, testing::key_of(gone)));
        changes.push_back(testing::del(tree::content, testing::key_of(gone)));
        expected.erase(testing::key_of(gone));
      }
    append(store, changes);
    journaled_store survivor{{.directory = crashed(), .map_bytes = 8 << 20}, small};
    const auto opened = survivor.open({});
    ASSERT_TRUE(opened.ok()) << to_string(opened.err());
    ASSERT_EQ(opened->tail, tail);
    ASSERT_TRUE(testing::replayed(survivor) == expected) << i;
    for (std::uint64_t k = 1; k <= i; ++k) {
      const auto content = survivor.fetch(testing::key_of(k));
      ASSERT_TRUE(content.ok());
      ASSERT_EQ(*content != nullptr, expected.contains(testing::key_of(k))) << k << " after " << i;
      if (*content) {
        ASSERT_TRUE(**content == testing::value_of(k, k % 40 == 0 ? 20'000 : 1'500)) << k << " after " << i;
      }
    }
  }
}

TEST_F(journal_test, a_closed_store_needs_no_journal) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 3);
  store.close();
  ASSERT_FALSE(fs::exists(directory / "store.journal"));
  expect_recovered(directory, tail);
}

TEST_F(journal_test, a_journal_switched_off_gives_back_what_it_holds) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 3);
  const auto copy = crashed();
  journaled_store without{{.directory = copy, .map_bytes = 8 << 20}, {.bytes = 0}};
  const auto opened = without.open({});
  ASSERT_TRUE(opened.ok()) << to_string(opened.err());
  EXPECT_EQ(opened->tail, tail);
  EXPECT_TRUE(testing::replayed(without) == expected);
}

TEST_F(journal_test, a_last_record_cut_off_or_torn_at_any_block_is_as_if_it_was_never_begun) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 3);
  const auto before = bytes_of(directory / "store.journal");
  append(store, {testing::put_meta("last", testing::value_of(9, 14'000))});
  const auto after = bytes_of(directory / "store.journal");
  ASSERT_EQ(before.size(), after.size()) << "blocks are there before they are used";
  for (unsigned kept = 0; kept < 0xf; ++kept) { // The record has four blocks; each of them is there or not.
    auto torn = before;
    for (std::size_t i = 0; i < 4; ++i)
      if (kept & (1u << i))
        torn.replace((4 + i) * block, block, after, (4 + i) * block, block);
    const auto copy = crashed();
    write_bytes(copy / "store.journal", torn);
    SCOPED_TRACE(kept);
    expect_recovered(copy, tail - 1);
  }
}

TEST_F(journal_test, a_flipped_byte_in_what_was_acknowledged_is_damage_and_not_a_shorter_journal) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 6);
  const auto whole = bytes_of(directory / "store.journal");
  for (const std::size_t at : {std::size_t{3}, std::size_t{20}, block + 2, block + 40, 2 * block + 9, 4 * block + 60}) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const auto copy = crashed();
    write_bytes(copy / "store.journal", damaged);
    const auto opened = open_at(copy);
    ASSERT_FALSE(opened.ok()) << at;
    EXPECT_EQ(opened.err().code, errc::store_damaged) << at;
    EXPECT_THAT(opened.err().detail, HasSubstr("store.journal"));
    EXPECT_TRUE(bytes_of(copy / "store.journal") == damaged) << "evidence was changed";
  }
}

TEST_F(journal_test, a_journal_newer_than_the_store_beside_it_is_refused) {
  journaled_store store{settings, small};
  open(store);
  const auto old = bytes_of(directory / "store.mdb");
  append_numbers(store, 3);
  append(store, {testing::put_content("large", testing::value_of(1, 20'000))}); // A checkpoint.
  append_numbers(store, 2);
  const auto copy = crashed();
  write_bytes(copy / "store.mdb", old);
  const auto opened = open_at(copy);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.err().code, errc::store_damaged);
  EXPECT_THAT(opened.err().detail, HasSubstr("not of one time"));
}

TEST_F(journal_test, a_journal_older_than_the_store_beside_it_adds_nothing) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 3);
  const auto old = bytes_of(directory / "store.journal");
  append(store, {testing::put_content("large", testing::value_of(1, 20'000)), testing::del(tree::meta, testing::key_of(2))});
  expected.erase(testing::key_of(2));
  const auto copy = crashed();
  write_bytes(copy / "store.journal", old);
  expect_recovered(copy, tail);
}

TEST_F(journal_test, bytes_that_came_with_a_payload_never_pass_for_a_record) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 2);
  // A record of another journal, one that follows well, comes as payload and lies where a record may begin.
  journaled_store other{{.directory = parent.path() / "other", .map_bytes = 8 << 20}, small};
  ASSERT_TRUE(other.open(epoch).ok());
  const auto first = other.append({epoch.value}, 0, {});
  std::uint64_t n = first.status == append_status::durable ? first.tail : 0;
  for (; n < 8; ++n)
    ASSERT_EQ(other.append({epoch.value}, n, {testing::put_meta("forged", "x")}).status, append_status::durable);
  const auto foreign = bytes_of(parent.path() / "other" / "store.journal").substr(block, 8 * block);
  auto torn = bytes_of(directory / "store.journal");
  torn.replace(4 * block, foreign.size(), foreign);
  const auto copy = crashed();
  write_bytes(copy / "store.journal", torn);
  expect_recovered(copy, tail);
}

TEST_F(journal_test, what_is_no_journal_is_refused) {
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 1);
  for (const std::string& garbage : {std::string{}, std::string{"x"}, std::string(block, 'x'), std::string(3 * block, 0)}) {
    const auto copy = crashed();
    write_bytes(copy / "store.journal", garbage);
    const auto opened = open_at(copy);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.err().code, errc::store_damaged);
    EXPECT_THAT(opened.err().detail, HasSubstr("not a journal of ours"));
  }
  const auto copy = crashed();
  fs::remove(copy / "store.journal");
  fs::create_directory(copy / "store.journal");
  EXPECT_EQ(open_at(copy).err().code, errc::store_damaged);
}

TEST_F(journal_test, a_creation_cut_short_is_begun_anew) {
  fs::create_directories(directory);
  write_bytes(directory / "store.journal.new", "half");
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 1);
  expect_recovered(crashed(), tail);
}

TEST_F(journal_test, a_store_without_a_journal_gets_one) {
  {
    lmdb_store store{settings};
    const auto opened = store.open({});
    ASSERT_TRUE(opened.ok());
    ASSERT_EQ(store.append(opened->epoch, opened->tail, {testing::put_meta("old", "1")}).status, append_status::durable);
  }
  expected["old"] = "1";
  journaled_store store{settings, small};
  open(store);
  append_numbers(store, 1);
  expect_recovered(crashed(), tail);
}

TEST_F(journal_test, keys_that_come_and_go_leave_nothing_pending) {
  journaled_store store{settings, {}};
  open(store);
  for (std::uint64_t i = 0; i < 500; ++i) {
    batch come, go;
    for (std::uint64_t k = 0; k < 20; ++k) {
      come.push_back(testing::put_content(testing::key_of(i * 20 + k), testing::value_of(k, 500)));
      go.push_back(testing::del(tree::content, testing::key_of(i * 20 + k)));
    }
    append(store, come);
    append(store, go);
  }
  const auto used = store.space().used_bytes;
  const auto last = tail;
  store.close();
  EXPECT_FALSE(fs::exists(directory / "store.journal")) << "a closed store is one file";
  open(store);
  EXPECT_EQ(tail, last);
  EXPECT_EQ(used, store.space().used_bytes) << "nothing was pending";
}

} // namespace
} // namespace sallyport::cloud
