// The embedded store on a disk that fails. The C library's writing calls are defined here, in front of it, for this test program:
// LMDB and the store call these, which pass on, count, refuse, or write down what a power cut would have to choose from.
#include "cloud/store/journaled.hpp"
#include "tests/cloud/store/samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <functional>
#include <random>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

/// What has happened to the file under test, in order.
struct disk_event {
  enum class kind { write, written_through, resize, barrier, acknowledged } what;
  std::uint64_t at = 0; // write: offset. resize: new size. acknowledged: tail.
  std::string bytes;
};

struct disk_switchboard {
  int sync_error = 0;
  int write_error = 0;
  bool short_writes = false;
  int header_write_error = 0; // Through the O_DSYNC descriptor.
  bool no_space = false;
  std::uint64_t last_block_end = 0; // While no_space: where writing needs a block that is not to be had.
  std::string no_space_for;         // Files with this in their name get no block at all.
  std::atomic<int> syncs = 0;
  std::atomic<int> header_writes = 0;
  ino_t recorded = 0;
  std::vector<disk_event> events;
};
disk_switchboard board;

bool is_recorded(int fd) {
  struct stat facts {};
  return board.recorded != 0 && ::fstat(fd, &facts) == 0 && facts.st_ino == board.recorded;
}

void record(int fd, disk_event event) {
  if (is_recorded(fd))
    board.events.push_back(std::move(event));
}

bool has_no_space(int fd) {
  char name[4096];
  const auto size =
    board.no_space_for.empty() ? -1 : ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), name, sizeof name);
  return size > 0 && std::string_view{name, static_cast<std::size_t>(size)}.find(board.no_space_for) != std::string_view::npos;
}

bool writes_through(int fd) {
  return (::fcntl(fd, F_GETFL) & O_DSYNC) != 0;
}

} // namespace

extern "C" {

int fdatasync(int fd) {
  ++board.syncs;
  if (board.sync_error) {
    errno = board.sync_error;
    return -1;
  }
  const auto rc = static_cast<int>(::syscall(SYS_fdatasync, fd));
  record(fd, {disk_event::kind::barrier, 0, {}});
  return rc;
}

int fsync(int fd) {
  const auto rc = static_cast<int>(::syscall(SYS_fsync, fd));
  record(fd, {disk_event::kind::barrier, 0, {}});
  return rc;
}

ssize_t pwrite(int fd, const void* from, size_t size, off_t at) {
  const bool header = writes_through(fd);
  board.header_writes += header;
  const int fault = header ? board.header_write_error : board.write_error;
  if (fault) {
    errno = fault;
    return -1;
  }
  if ((board.no_space && static_cast<std::uint64_t>(at) + size > board.last_block_end) || has_no_space(fd)) {
    errno = ENOSPC;
    return -1;
  }
  if (board.short_writes && !header)
    size -= size / 2; // Never nothing.
  const auto written = ::syscall(SYS_pwrite64, fd, from, size, at);
  record(fd, {header ? disk_event::kind::written_through : disk_event::kind::write, static_cast<std::uint64_t>(at),
              std::string{static_cast<const char*>(from), size}});
  return written;
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  if (board.write_error) {
    errno = board.write_error;
    return -1;
  }
  if (board.recorded != 0 || board.no_space) {
    std::string bytes;
    for (int i = 0; i < count; ++i)
      bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    const auto at = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR));
    if (board.no_space && at + bytes.size() > board.last_block_end) {
      errno = ENOSPC;
      return -1;
    }
    record(fd, {disk_event::kind::write, at, std::move(bytes)});
  }
  return ::syscall(SYS_writev, fd, parts, board.short_writes ? (count + 1) / 2 : count);
}

int ftruncate(int fd, off_t size) noexcept {
  const auto rc = static_cast<int>(::syscall(SYS_ftruncate, fd, size));
  record(fd, {disk_event::kind::resize, static_cast<std::uint64_t>(size), {}});
  return rc;
}

int statvfs(const char* path, struct statvfs* facts) noexcept {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  const int rc = ::fstatvfs(fd, facts);
  ::close(fd);
  if (board.no_space)
    facts->f_bavail = 0;
  return rc;
}

int fallocate(int fd, int mode, off_t at, off_t size) {
  if (board.no_space) {
    errno = ENOSPC;
    return -1;
  }
  const auto rc = static_cast<int>(::syscall(SYS_fallocate, fd, mode, at, size));
  record(fd, {disk_event::kind::resize, static_cast<std::uint64_t>(at + size), {}});
  return rc;
}

} // extern "C"

namespace sallyport::cloud {
namespace {

/// A store in a directory of its own, made by `make`, and whoever appends to it.
class store_faults : public ::testing::Test {
protected:
  template <class Make>
  explicit store_faults(Make make) : owned(make(directory.path())) {}
  ~store_faults() override { heal(); }

  static void heal() {
    board.sync_error = board.write_error = board.header_write_error = 0;
    board.short_writes = board.no_space = false;
    board.no_space_for.clear();
    board.recorded = 0;
    board.events.clear();
  }
  void open() {
    const auto opened = store.open({});
    ASSERT_TRUE(opened.ok()) << to_string(opened.err());
    epoch = opened->epoch;
    tail = opened->tail;
  }
  append_outcome append(const batch& changes) {
    auto outcome = store.append(epoch, tail, changes);
    if (outcome.status == append_status::durable)
      tail = outcome.tail;
    return outcome;
  }

  testing::temporary_directory directory;
  std::unique_ptr<store_port> owned;
  store_port& store = *owned;
  epoch_number epoch;
  std::uint64_t tail = 0;
};

class lmdb_faults : public store_faults {
protected:
  lmdb_faults()
    : store_faults(
      [](const auto& at) { return std::make_unique<lmdb_store>(lmdb_settings{.directory = at, .map_bytes = 4 << 20}); }) {}

  void expect_only_the_first_record() {
    EXPECT_EQ(testing::replayed(store), (std::map<std::string, std::string>{{"first", "1"}}));
  }
};

TEST_F(lmdb_faults, an_append_syncs_the_pages_and_then_writes_the_header_through) {
  open();
  for (std::uint64_t i = 0; i < 10; ++i) {
    const int syncs = board.syncs, header_writes = board.header_writes;
    ASSERT_EQ(append({testing::put_meta(testing::key_of(i), "v")}).status, append_status::durable);
    EXPECT_GE(board.syncs, syncs + 1);
    EXPECT_EQ(board.header_writes, header_writes + 1);
  }
}

TEST_F(lmdb_faults, after_a_failed_sync_the_outcome_is_unknown_and_the_process_is_told_to_end) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.sync_error = EIO;
  const auto outcome = append({testing::put_meta("second", "2")});
  EXPECT_EQ(outcome.status, append_status::unknown);
  EXPECT_TRUE(outcome.sync_failed);
  EXPECT_FALSE(outcome.detail.empty());
  heal();
  store.close();
  open();
  expect_only_the_first_record();
}

TEST_F(lmdb_faults, after_a_failed_header_write_the_outcome_is_unknown_until_reopened) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1"), testing::put_content("c", "1")}).status, append_status::durable);
  board.header_write_error = EIO;
  const auto outcome = append({testing::put_meta("second", "2")});
  EXPECT_EQ(outcome.status, append_status::unknown);
  EXPECT_TRUE(outcome.sync_failed);
  heal();
  const auto next = append({testing::put_meta("third", "3")});
  EXPECT_EQ(next.status, append_status::failed);
  EXPECT_NE(next.detail.find("reopened"), std::string::npos) << next.detail;
  EXPECT_FALSE(store.fetch("c").ok());
  store.close();
  open();
  ASSERT_EQ(append({testing::put_meta("fourth", "4")}).status, append_status::durable);
}

TEST_F(lmdb_faults, a_disk_that_turns_out_full_while_writing_refuses_and_goes_on_later) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.write_error = ENOSPC;
  const auto outcome = append({testing::put_meta("second", "2"), testing::put_content("c", testing::value_of(1, 100'000))});
  EXPECT_EQ(outcome.status, append_status::full);
  EXPECT_FALSE(outcome.sync_failed);
  heal();
  expect_only_the_first_record();
  EXPECT_EQ(append({testing::put_meta("third", "3")}).status, append_status::durable);
}

TEST_F(lmdb_faults, a_write_that_stops_midway_leaves_nothing) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.short_writes = true;
  const auto outcome = append({testing::put_meta("second", "2"), testing::put_content("c", testing::value_of(1, 100'000))});
  EXPECT_EQ(outcome.status, append_status::unknown) << "LMDB reports EIO for it, which may as well be the disk";
  heal();
  store.close();
  open();
  expect_only_the_first_record();
}

TEST_F(lmdb_faults, another_error_while_writing_is_a_failure_that_changed_nothing) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.write_error = EROFS;
  EXPECT_EQ(append({testing::put_meta("second", "2")}).status, append_status::failed);
  heal();
  expect_only_the_first_record();
  EXPECT_EQ(append({testing::put_meta("third", "3")}).status, append_status::durable);
}

/// Fills a store until it is full, drains it in batches of `batch_size` messages in the worst order, and checks that it works
/// again.
void fill_and_drain(store_port& store, std::size_t batch_size) {
  const auto opened = store.open({});
  ASSERT_TRUE(opened.ok()) << to_string(opened.err());
  auto tail = opened->tail;
  std::string detail;
  const auto write = [&](const batch& changes) {
    const auto outcome = store.append(opened->epoch, tail, changes);
    tail = outcome.status == append_status::durable ? outcome.tail : tail;
    detail = outcome.detail;
    return outcome.status;
  };
  std::vector<std::uint64_t> held;
  for (;;) {
    batch changes;
    for (auto i = held.size(); i < held.size() + 50; ++i) {
      changes.push_back(testing::put_meta(testing::key_of(i), testing::value_of(i, 150)));
      changes.push_back(testing::put_content(testing::key_of(i), testing::value_of(i, i % 10 == 0 ? 9'000 : 1'000)));
    }
    const auto status = write(changes);
    if (status != append_status::durable) {
      ASSERT_EQ(status, append_status::full) << detail;
      break;
    }
    for (int i = 0; i < 50; ++i)
      held.push_back(held.size());
    ASSERT_LT(held.size(), 100'000u);
  }
  ASSERT_GT(held.size(), batch_size);
  EXPECT_FALSE(store.space().admits(100'000));
  std::shuffle(held.begin(), held.end(), std::mt19937{7});
  for (std::size_t from = 0; from < held.size(); from += batch_size) {
    batch changes;
    for (auto i = from; i < std::min(from + batch_size, held.size()); ++i) {
      changes.push_back(testing::put_meta(testing::key_of(held[i]), "settled"));
      changes.push_back(testing::del(tree::content, testing::key_of(held[i])));
    }
    ASSERT_EQ(write(changes), append_status::durable) << detail << ", after " << from << " of " << held.size();
  }
  EXPECT_EQ(testing::replayed(store).size(), held.size());
  for (std::uint64_t i = 0; i < 5; ++i)
    EXPECT_EQ(write({testing::put_content(testing::key_of(i), testing::value_of(i, 50'000))}), append_status::durable) << detail;
}

TEST_F(lmdb_faults, a_store_on_a_full_disk_drains_within_the_blocks_it_has) {
  lmdb_store big{{.directory = directory.path() / "big", .map_bytes = std::uint64_t{64} << 20}};
  ASSERT_TRUE(big.open({}).ok());
  big.close();
  // Others take the rest of the disk.
  struct stat facts {};
  ASSERT_EQ(::stat((directory.path() / "big" / "store.mdb").c_str(), &facts), 0);
  board.last_block_end = static_cast<std::uint64_t>(facts.st_blocks) * 512;
  board.no_space = true;
  fill_and_drain(big, 300);
}

TEST_F(lmdb_faults, a_store_in_a_full_map_drains_in_large_batches) {
  lmdb_store small{{.directory = directory.path() / "small", .map_bytes = std::uint64_t{16} << 20}};
  fill_and_drain(small, 100);
}

TEST_F(lmdb_faults, a_store_on_a_real_file_system_without_room_drains) {
  // A mount of this process alone, which ends with it.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0
      || ::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=12m") != 0)
    GTEST_SKIP() << "may not mount a file system here";
  {
    lmdb_store small{{.directory = directory.path() / "store", .map_bytes = std::uint64_t{64} << 20}};
    fill_and_drain(small, 100);
  }
  ::umount(directory.path().c_str());
}

// -- with a journal before it

class journal_faults : public store_faults {
protected:
  journal_faults()
    : store_faults([](const auto& at) {
        return std::make_unique<journaled_store>(lmdb_settings{.directory = at, .map_bytes = 16 << 20}, journal_settings{});
      }) {}

  /// Nothing may have changed; or it is open, and then the record is there or not.
  void reopen_and_expect(bool second_may_be_there) {
    store.close();
    open();
    auto records = testing::replayed(store);
    if (second_may_be_there)
      records.erase("second");
    EXPECT_EQ(records, (std::map<std::string, std::string>{{"first", "1"}}));
    EXPECT_EQ(append({testing::put_meta("third", "3")}).status, append_status::durable);
  }
};

TEST_F(journal_faults, a_small_append_is_one_sync_and_no_header) {
  open();
  ASSERT_EQ(append({testing::put_meta("grow", "the file")}).status, append_status::durable);
  for (std::uint64_t i = 0; i < 10; ++i) {
    const int syncs = board.syncs, header_writes = board.header_writes;
    ASSERT_EQ(append({testing::put_meta(testing::key_of(i), "v")}).status, append_status::durable);
    EXPECT_EQ(board.syncs, syncs + 1);
    EXPECT_EQ(board.header_writes, header_writes);
  }
}

TEST_F(journal_faults, after_a_failed_sync_the_outcome_is_unknown_and_the_process_is_told_to_end) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.sync_error = EIO;
  const auto outcome = append({testing::put_meta("second", "2")});
  EXPECT_EQ(outcome.status, append_status::unknown);
  EXPECT_TRUE(outcome.sync_failed);
  heal();
  const auto next = append({testing::put_meta("third", "3")});
  EXPECT_EQ(next.status, append_status::failed);
  EXPECT_NE(next.detail.find("reopened"), std::string::npos) << next.detail;
  reopen_and_expect(true);
}

TEST_F(journal_faults, a_write_that_fails_leaves_the_outcome_open) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.write_error = EIO;
  const auto outcome = append({testing::put_meta("second", "2")});
  EXPECT_EQ(outcome.status, append_status::unknown);
  EXPECT_FALSE(outcome.sync_failed);
  heal();
  reopen_and_expect(true);
}

TEST_F(journal_faults, short_writes_are_continued) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.short_writes = true;
  EXPECT_EQ(append({testing::put_meta("second", testing::value_of(2, 20'000))}).status, append_status::durable);
  heal();
  reopen_and_expect(true);
}

TEST_F(journal_faults, where_neither_journal_nor_store_has_room_nothing_has_changed) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.write_error = ENOSPC;
  EXPECT_NE(append({testing::put_meta("second", "2")}).status, append_status::durable);
  heal();
  reopen_and_expect(false);
}

TEST_F(journal_faults, a_checkpoint_that_fails_loses_nothing) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  board.header_write_error = EIO;
  const auto outcome = append({testing::put_meta("second", testing::value_of(1, 600'000))});
  EXPECT_EQ(outcome.status, append_status::unknown);
  EXPECT_TRUE(outcome.sync_failed);
  heal();
  reopen_and_expect(true);
}

TEST_F(journal_faults, a_store_on_a_full_disk_drains_within_the_blocks_it_has) {
  journaled_store big{{.directory = directory.path() / "big", .map_bytes = std::uint64_t{64} << 20}, {}};
  ASSERT_TRUE(big.open({}).ok());
  big.close();
  struct stat facts {};
  ASSERT_EQ(::stat((directory.path() / "big" / "store.mdb").c_str(), &facts), 0);
  board.last_block_end = static_cast<std::uint64_t>(facts.st_blocks) * 512;
  board.no_space = true;
  fill_and_drain(big, 300);
}

TEST_F(journal_faults, where_there_is_no_room_even_to_make_a_journal_the_store_is_opened_and_works_without) {
  open();
  ASSERT_EQ(append({testing::put_meta("first", "1")}).status, append_status::durable);
  store.close();
  board.no_space_for = "store.journal";
  open();
  const int header_writes = board.header_writes;
  EXPECT_EQ(append({testing::put_meta("second", "2")}).status, append_status::durable);
  EXPECT_EQ(board.header_writes, header_writes + 1) << "LMDB's own commit";
  EXPECT_EQ(append({testing::del(tree::meta, "second")}).status, append_status::durable);
  heal();
  reopen_and_expect(false);
}

TEST_F(journal_faults, a_store_in_a_full_map_drains_in_large_batches) {
  journaled_store small{{.directory = directory.path() / "small", .map_bytes = std::uint64_t{16} << 20},
                        {.bytes = 4 << 20, .batch_bytes = 256 << 10}};
  fill_and_drain(small, 100);
}

// -- power cuts

/// The file as a power cut at `moment` may leave it: everything that was synced, and of the rest each page or not.
std::string after_power_cut(const std::string& base, const std::vector<disk_event>& events, std::size_t moment,
                            const std::function<bool()>& survives, bool syncs_count) {
  std::size_t synced = 0;
  for (std::size_t i = 0; syncs_count && i < moment; ++i)
    if (events[i].what == disk_event::kind::barrier)
      synced = i;
  auto image = base;
  for (std::size_t i = 0; i < moment; ++i) {
    const auto& event = events[i];
    const bool is_safe = i < synced || event.what == disk_event::kind::written_through;
    if (event.what == disk_event::kind::resize && (is_safe || survives()))
      image.resize(std::max<std::size_t>(image.size(), event.at));
    if (event.what != disk_event::kind::write && event.what != disk_event::kind::written_through)
      continue;
    for (std::size_t from = 0; from < event.bytes.size(); from += 4096)
      if (is_safe || survives()) {
        const auto part = event.bytes.substr(from, 4096);
        image.resize(std::max(image.size(), static_cast<std::size_t>(event.at) + from + part.size()));
        image.replace(event.at + from, part.size(), part);
      }
  }
  return image;
}

class lmdb_power_cut : public lmdb_faults {
protected:
  /// What append number n (the tail it leads to) does: six records come, the six of five appends ago go.
  static batch changes_of(std::uint64_t n) {
    batch changes;
    for (std::uint64_t i = 0; i < 6; ++i) {
      changes.push_back(testing::put_meta(testing::key_of(n * 6 + i), testing::value_of(n, 150)));
      changes.push_back(testing::put_content(testing::key_of(n * 6 + i), testing::value_of(n, 500 + 1'500 * i)));
      if (n >= 5) {
        changes.push_back(testing::del(tree::meta, testing::key_of((n - 5) * 6 + i)));
        changes.push_back(testing::del(tree::content, testing::key_of((n - 5) * 6 + i)));
      }
    }
    return changes;
  }
  static std::map<std::string, std::string> meta_after(std::uint64_t n) {
    std::map<std::string, std::string> records;
    for (auto of = n >= 5 ? n - 4 : 1; of <= n; ++of)
      for (std::uint64_t i = 0; i < 6; ++i)
        records[testing::key_of(of * 6 + i)] = testing::value_of(of, 150);
    return records;
  }

  /// Empty when the image holds every acknowledged append and no half of one.
  std::string judge(const std::string& image, std::uint64_t acknowledged) {
    const auto& place = images.path();
    std::ofstream{place / "store.mdb", std::ios::binary | std::ios::trunc} << image;
    lmdb_store survivor{{.directory = place, .map_bytes = 4 << 20}};
    const auto opened = survivor.open({});
    if (!opened)
      return to_string(opened.err());
    if (opened->tail != acknowledged && opened->tail != acknowledged + 1)
      return "tail " + std::to_string(opened->tail) + " after " + std::to_string(acknowledged);
    if (testing::replayed(survivor) != meta_after(opened->tail))
      return "the records are not those of tail " + std::to_string(opened->tail);
    for (auto n = opened->tail >= 5 ? opened->tail - 4 : 1; n <= opened->tail; ++n)
      for (std::uint64_t i = 0; i < 6; ++i) {
        const auto payload = survivor.fetch(testing::key_of(n * 6 + i));
        if (!payload || !*payload || **payload != testing::value_of(n, 500 + 1'500 * i))
          return "a payload of append " + std::to_string(n) + " is not whole";
      }
    return {};
  }

  void record_appends(std::uint64_t count) {
    open();
    struct stat facts {};
    ::stat((directory.path() / "store.mdb").c_str(), &facts);
    std::ifstream in{directory.path() / "store.mdb", std::ios::binary};
    base.assign(std::istreambuf_iterator<char>{in}, {});
    board.recorded = facts.st_ino;
    for (std::uint64_t n = 1; n <= count; ++n) {
      ASSERT_EQ(append(changes_of(n)).status, append_status::durable);
      board.events.push_back({disk_event::kind::acknowledged, tail, {}});
    }
    events = std::move(board.events);
    heal();
  }

  std::string base;
  std::vector<disk_event> events;
  testing::temporary_directory images{testing::place::memory};
};

TEST_F(lmdb_power_cut, at_any_moment_keeps_every_acknowledged_append_and_no_half_of_one) {
  record_appends(25);
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random{seed};
  std::uint64_t acknowledged = 0;
  for (std::size_t moment = 0; moment <= events.size(); ++moment) {
    if (moment > 0 && events[moment - 1].what == disk_event::kind::acknowledged)
      acknowledged = events[moment - 1].at;
    const auto survival = random() % 3; // None, half or all of what was not synced.
    const auto image = after_power_cut(
      base, events, moment, [&] { return survival == 2 || (survival == 1 && random() % 2); }, true);
    ASSERT_EQ(judge(image, acknowledged), "") << "cut after event " << moment << " of " << events.size();
  }
  EXPECT_EQ(acknowledged, 25u);
}

TEST_F(lmdb_power_cut, on_a_disk_that_lies_about_syncs_is_seen_by_this_test) {
  record_appends(25);
  std::mt19937 random{1};
  std::size_t bad = 0;
  std::uint64_t acknowledged = 0;
  for (std::size_t moment = 0; moment <= events.size() && bad == 0; ++moment) {
    if (moment > 0 && events[moment - 1].what == disk_event::kind::acknowledged)
      acknowledged = events[moment - 1].at;
    bad += judge(after_power_cut(
                   base, events, moment, [&] { return random() % 2 == 0; }, false),
                 acknowledged)
               .empty()
             ? 0
             : 1;
  }
  EXPECT_GT(bad, 0u);
}

} // namespace
} // namespace sallyport::cloud
