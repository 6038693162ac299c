#include "cloud/store/journal.hpp"

#include "cloud/store/bytes.hpp"
#include "cloud/store/checksum.hpp"
#include "protocol/assert.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace sallyport::cloud {
namespace {

constexpr std::uint64_t block = 4096;
constexpr std::uint64_t first_bytes = 256 << 10;    // Of a new file; each time it is too short it doubles.
constexpr std::uint32_t record_magic = 0x314a'5053; // "SPJ1"
constexpr std::string_view file_magic = "SALLYJRN";
constexpr std::size_t salt_bytes = 16;
constexpr std::size_t head_bytes = 32;
constexpr std::size_t change_bytes = 7;
constexpr std::uint64_t payload_max = std::uint64_t{64} << 20;

constexpr std::uint64_t round_up(std::uint64_t bytes) {
  return (bytes + block - 1) / block * block;
}

/// 0, or an errno; then `bytes` is what was not written.
int write_all(int fd, std::string_view& bytes, std::uint64_t at) {
  while (!bytes.empty()) {
    const auto done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return done < 0 ? errno : EIO;
    bytes.remove_prefix(static_cast<std::size_t>(done));
    at += static_cast<std::uint64_t>(done);
  }
  return 0;
}

/// Less than wanted only at the end of the file; -1 and errno.
ssize_t read_all(int fd, char* to, std::size_t size, std::uint64_t at) {
  std::size_t have = 0;
  while (have < size) {
    const auto got = ::pread(fd, to + have, size - have, static_cast<off_t>(at + have));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    have += static_cast<std::size_t>(got);
  }
  return static_cast<ssize_t>(have);
}

/// A change's first byte.
char kind_of(const change& c) {
  return static_cast<char>((c.where == tree::content ? 2 : 0) + (c.what == change::kind::del ? 1 : 0));
}

std::optional<batch> read_changes(std::string_view payload, std::uint32_t count) {
  batch changes;
  changes.reserve(std::min<std::size_t>(count, payload.size() / change_bytes));
  for (; count > 0; --count) {
    if (payload.size() < change_bytes || static_cast<unsigned char>(payload[0]) > 3)
      return std::nullopt;
    const auto key_size = read_little<std::uint16_t>(payload.data() + 1);
    const auto value_size = read_little<std::uint32_t>(payload.data() + 3);
    if (key_size == 0 || payload.size() - change_bytes < std::uint64_t{key_size} + value_size)
      return std::nullopt;
    change c;
    c.where = payload[0] & 2 ? tree::content : tree::meta;
    c.what = payload[0] & 1 ? change::kind::del : change::kind::put;
    c.key = record_key{payload.substr(change_bytes, key_size)};
    c.value = payload.substr(change_bytes + key_size, value_size);
    changes.push_back(std::move(c));
    payload.remove_prefix(change_bytes + key_size + value_size);
  }
  if (!payload.empty())
    return std::nullopt;
  return changes;
}

} // namespace

struct journal::found {
  std::uint64_t tail = 0, bytes = 0; // On disk, with what fills it up.
  batch changes;
};

result<void> journal::open() {
  close();
  struct stat facts {};
  const bool is_new = ::stat(file_.c_str(), &facts) != 0 && errno == ENOENT;
  auto draft = file_;
  if (is_new)
    draft += ".new";
  lmdb_files::file_handle handle{::open(draft.c_str(), O_RDWR | O_CLOEXEC | (is_new ? O_CREAT : 0), 0600)};
  reason_ = handle ? 0 : errno;
  if (!handle)
    return errno == EISDIR ? result<void>{errc::store_damaged, draft.string() + " is a directory where the journal should be"}
                           : result<void>{lmdb_files::io_error("open the journal", draft, errno)};
  // Beside the lock file: an owner whose lock file was deleted goes on writing here, and nobody may read over that.
  if (::flock(handle.get(), LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK ? result<void>{errc::store_locked, draft.string() + " is in use by another process"}
                                : result<void>{lmdb_files::io_error("lock", draft, errno)};
  if (is_new)
    if (auto made = create(handle.get(), draft); !made)
      return made;
  // Whoever has named it may have died before its name was durable.
  if (auto named = lmdb_files::sync_directory(file_.parent_path()); !named)
    return named;
  char head[block];
  if (::fstat(handle.get(), &facts) != 0 || read_all(handle.get(), head, sizeof head, 0) < 0)
    return lmdb_files::io_error("read the journal", file_, errno);
  const std::string_view text{head, file_magic.size() + salt_bytes};
  if (static_cast<std::uint64_t>(facts.st_size) < block || text.substr(0, file_magic.size()) != file_magic
      || read_little<std::uint32_t>(head + text.size()) != crc32c(0, text))
    return {errc::store_damaged, file_.string()
                                   + " is not a journal of ours, or its first block was lost: restore it and store.mdb from one "
                                     "backup; to go on without what only the journal held, move it away"};
  salt_ = crc32c(0, text);
  handle_ = std::move(handle);
  size_ = static_cast<std::uint64_t>(facts.st_size) / block * block;
  rewind();
  return {};
}

// Under another name until it is whole, so that a journal without its first block is damage and never new. The salt goes into every
// record's crc: bytes that a producer has sent must not pass for a record, wherever they come to lie.
result<void> journal::create(int fd, const std::filesystem::path& draft) {
  std::string head{file_magic};
  std::random_device random;
  while (head.size() < file_magic.size() + salt_bytes)
    head.push_back(static_cast<char>(random()));
  head.resize(head.size() + 4);
  write_little(head.data() + head.size() - 4, crc32c(0, std::string_view{head}.substr(0, head.size() - 4)));
  head.resize(block);
  if (::ftruncate(fd, 0) != 0)
    return lmdb_files::io_error("make the journal", draft, reason_ = errno);
  std::string_view rest{head};
  if (const int rc = write_all(fd, rest, 0))
    return lmdb_files::io_error("write the journal", draft, reason_ = rc);
  if (::fsync(fd) != 0)
    return lmdb_files::io_error("sync the journal", draft, reason_ = errno);
  if (::rename(draft.c_str(), file_.c_str()) != 0)
    return lmdb_files::io_error("name the new journal", file_, reason_ = errno);
  return {};
}

void journal::discard() {
  if (handle_)
    ::unlink(file_.c_str());
  close();
}

void journal::close() {
  handle_ = {};
  buffer_ = {};
}

// ---------------------------------------------------------------------------------------------------------------- writing

// Holes and blocks that were only promised would each cost a commit of the file system's own journal when they are first synced.
journal::verdict journal::grow(std::uint64_t bytes) {
  const auto goal = std::min(bytes_max_ / block * block, std::max({first_bytes, 2 * size_, round_up(bytes)}));
  struct statvfs facts {};
  // Asked first: what an attempt takes from a disk that is nearly full, others need.
  if (goal < bytes || ::fstatvfs(handle_.get(), &facts) != 0
      || static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize < goal - size_)
    return verdict::no_room;
  const std::string zeros(std::min<std::uint64_t>(goal - size_, 1 << 20), '\0');
  for (auto at = size_; at < goal; at += zeros.size()) {
    auto rest = std::string_view{zeros}.substr(0, std::min<std::uint64_t>(zeros.size(), goal - at));
    if (const int rc = write_all(handle_.get(), rest, at)) {
      reason_ = rc;
      if (::ftruncate(handle_.get(), static_cast<off_t>(size_)) != 0)
        reason_ = errno;
      return rc == ENOSPC || rc == EDQUOT ? verdict::no_room : verdict::failed;
    }
  }
  if (::fsync(handle_.get()) != 0) {
    reason_ = errno;
    return verdict::sync_failed;
  }
  size_ = goal;
  return verdict::durable;
}

journal::verdict journal::append(epoch_number epoch, std::uint64_t tail, const batch& changes) {
  std::uint64_t payload = 0;
  for (const auto& c : changes) {
    SALLYPORT_ASSERT(!c.key.empty());
    SALLYPORT_ASSERT(c.key.size() <= key_bytes_max);
    payload += change_bytes + c.key.size() + (c.what == change::kind::put ? c.bytes().size() : 0);
  }
  const auto bytes = round_up(head_bytes + payload);
  if (payload > payload_max || at_ + bytes > bytes_max_)
    return verdict::no_room;
  if (at_ + bytes > size_)
    if (const auto grown = grow(at_ + bytes); grown != verdict::durable)
      return grown;

  buffer_.assign(bytes, '\0');
  char* to = buffer_.data();
  write_little(to, record_magic);
  write_little(to + 8, epoch.value);
  write_little(to + 16, tail);
  write_little(to + 24, static_cast<std::uint32_t>(payload));
  write_little(to + 28, static_cast<std::uint32_t>(changes.size()));
  to += head_bytes;
  for (const auto& c : changes) {
    const std::string_view key = c.key, value = c.what == change::kind::put ? c.bytes() : std::string_view{};
    *to = kind_of(c);
    write_little(to + 1, static_cast<std::uint16_t>(key.size()));
    write_little(to + 3, static_cast<std::uint32_t>(value.size()));
    to = std::copy(key.begin(), key.end(), to + change_bytes);
    to = std::copy(value.begin(), value.end(), to);
  }
  write_little(buffer_.data() + 4, crc32c(salt_, std::string_view{buffer_}.substr(8, head_bytes - 8 + payload)));

  std::string_view rest{buffer_};
  if (const int rc = write_all(handle_.get(), rest, at_)) {
    reason_ = rc;
    // Of a record that was begun enough may be there to be found one day.
    return (rc == ENOSPC || rc == EDQUOT) && rest.size() == buffer_.size() ? verdict::no_room : verdict::failed;
  }
  if (::fdatasync(handle_.get()) != 0) {
    reason_ = errno;
    return verdict::sync_failed;
  }
  at_ += bytes;
  return verdict::durable;
}

// ---------------------------------------------------------------------------------------------------------------- reading

// Nothing when there is no whole record at that place.
result<std::optional<journal::found>> journal::read_at(std::uint64_t at, std::uint64_t end) {
  const auto refuse = [&]() -> error { return lmdb_files::io_error("read the journal", file_, errno); };
  char head[head_bytes];
  const auto got = read_all(handle_.get(), head, sizeof head, at);
  if (got < 0)
    return refuse();
  if (static_cast<std::size_t>(got) < sizeof head || read_little<std::uint32_t>(head) != record_magic)
    return std::optional<found>{};
  const auto payload = read_little<std::uint32_t>(head + 24);
  if (payload > payload_max || at + head_bytes + payload > end)
    return std::optional<found>{};
  std::string bytes(payload, '\0');
  const auto more = read_all(handle_.get(), bytes.data(), bytes.size(), at + head_bytes);
  if (more < 0)
    return refuse();
  if (static_cast<std::uint64_t>(more) < payload
      || crc32c(crc32c(salt_, {head + 8, head_bytes - 8}), bytes) != read_little<std::uint32_t>(head + 4))
    return std::optional<found>{};
  auto changes = read_changes(bytes, read_little<std::uint32_t>(head + 28));
  if (!changes)
    return std::optional<found>{};
  return std::optional<found>{found{read_little<std::uint64_t>(head + 16), round_up(head_bytes + payload), *std::move(changes)}};
}

result<void> journal::recover(std::uint64_t tail, const std::function<void(std::uint64_t, batch)>& visitor) {
  struct stat facts {};
  if (::fstat(handle_.get(), &facts) != 0)
    return lmdb_files::io_error("look at", file_, errno);
  const auto end = static_cast<std::uint64_t>(facts.st_size);
  std::uint64_t at = front;
  std::optional<std::uint64_t> next; // The tail the next record must have.
  while (at < end) {
    auto record = read_at(at, end);
    if (!record)
      return record.err();
    if (!*record || (next && (*record)->tail != *next))
      break;
    auto& r = **record;
    if (!next && r.tail > tail)
      return {errc::store_damaged, file_.string() + " begins at append " + std::to_string(r.tail)
                                     + " and the store beside it ends at " + std::to_string(tail)
                                     + ": they are not of one time; restore both from one backup, or, if store.mdb is "
                                       "the copy of a hub that was stopped, move the journal away"};
    if (r.tail >= tail)
      visitor(r.tail + 1, std::move(r.changes));
    next = r.tail + 1;
    at += r.bytes;
  }
  // Records are synced in order, so only the last one may be torn. One that can be read and is later than what was found says that
  // something acknowledged is lost.
  const auto reached = std::max(next.value_or(tail), tail);
  for (; at < end; at += block) {
    auto record = read_at(at, end);
    if (!record)
      return record.err();
    if (*record && (*record)->tail >= reached)
      return {errc::store_damaged, file_.string() + ": append " + std::to_string(reached)
                                     + " cannot be read, and a later one (at byte " + std::to_string(at)
                                     + ") can: the disk has lost what was synced"};
  }
  return {};
}

} // namespace sallyport::cloud
