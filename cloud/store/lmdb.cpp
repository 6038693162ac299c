#include "cloud/store/lmdb.hpp"

#include "cloud/store/lmdb_files.hpp"
#include "cloud/store/lmdb_records.hpp"
#include "protocol/assert.hpp"

#include <lmdb.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace sallyport::cloud {
namespace {
namespace fs = std::filesystem;
namespace records = lmdb_records;
using lmdb_files::file_handle;

// LMDB's own two trees have fixed numbers; mdb_stat counts their pages like any other's.
constexpr MDB_dbi free_tree = 0;
constexpr MDB_dbi main_tree = 1;

constexpr std::uint64_t map_bytes_min = std::uint64_t{4} << 20;
constexpr unsigned readers_max = 1024;

bool is_no_space(int rc) {
  return rc == ENOSPC || rc == EDQUOT;
}

std::string reason_of(int rc) {
  return rc == records::record_damaged ? "a record is not what was written (its checksum does not match)" : mdb_strerror(rc);
}

error judge(int rc, std::string_view what, const fs::path& file) {
  const bool damaged = rc == records::record_damaged || rc == MDB_CORRUPTED || rc == MDB_INVALID || rc == MDB_PAGE_NOTFOUND
                       || rc == MDB_INCOMPATIBLE || rc == MDB_VERSION_MISMATCH;
  return make_error(damaged ? errc::store_damaged : errc::store_io,
                    "cannot " + std::string{what} + " " + file.string() + ": " + reason_of(rc));
}

// A transaction that is given up unless it is committed.
class transaction {
public:
  transaction() = default;
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  ~transaction() { abort(); }
  int begin(MDB_env* env, unsigned flags) { return mdb_txn_begin(env, nullptr, flags, &txn_); }
  int commit() { return mdb_txn_commit(std::exchange(txn_, nullptr)); }
  void abort() {
    if (txn_)
      mdb_txn_abort(std::exchange(txn_, nullptr));
  }
  [[nodiscard]] MDB_txn* get() const { return txn_; }

private:
  MDB_txn* txn_ = nullptr;
};

} // namespace

struct lmdb_store::body {
  explicit body(lmdb_settings s) : settings(std::move(s)), file(settings.directory / "store.mdb") {}
  ~body() { close(); }

  // -- opening
  result<void> create();
  result<void> start(const fs::path& path);
  result<opened_store> take_over(epoch_number at_least);
  void measure();
  void close();

  // -- appending
  append_outcome append(epoch_number epoch, std::uint64_t tail, std::uint64_t new_tail, const batch& changes, const batch& then);
  [[nodiscard]] std::uint64_t reach_of(std::uint64_t changes, std::uint64_t bytes, std::uint64_t used) const;
  int ripen_free_pages();
  [[nodiscard]] std::uint64_t pages_in_use(MDB_txn* txn) const;
  int back_pages(std::uint64_t pages);
  int stretch_file(std::uint64_t pages);
  append_outcome judge_commit(int rc);

  // -- reading
  result<MDB_txn*> borrow_reader();
  void give_back(MDB_txn* reader);
  [[nodiscard]] std::uint64_t disk_free() const;

  lmdb_settings settings;
  fs::path file;
  file_handle owner;
  MDB_env* env = nullptr;
  records::trees trees;

  // In pages. The file has size_pages; of these, the file system has promised the blocks of the first backed_pages.
  std::uint64_t page_bytes = 4096;
  std::uint64_t map_pages = 0;
  std::uint64_t drain_pages = 0;
  std::uint64_t size_pages = 0;
  std::atomic<std::uint64_t> backed_pages = 0;
  bool starved = false;        // The last append found no page to write to.
  bool promises_blocks = true; // Until the file system says that it cannot.

  // fetch and space hold it shared: close waits for them, and they find the store closed after it.
  std::shared_mutex gate;
  // Readers at rest. A read transaction pins pages, so each is reset between uses and lives for one copy only.
  std::mutex readers_mutex;
  std::vector<MDB_txn*> readers;
};

// ---------------------------------------------------------------------------------------------------------------- opening

lmdb_store::lmdb_store(lmdb_settings settings) : body_(std::make_unique<body>(std::move(settings))) {}
lmdb_store::~lmdb_store() = default;

result<opened_store> lmdb_store::open(epoch_number at_least) {
  auto& b = *body_;
  SALLYPORT_ASSERT(!b.env);
  if (auto made = lmdb_files::make_directory(b.settings.directory); !made)
    return made.err();
  auto owner = lmdb_files::take_ownership(b.settings.directory);
  if (!owner)
    return owner.err();
  b.owner = *std::move(owner);
  auto opened = [&]() -> result<opened_store> {
    std::error_code reason;
    if (!fs::exists(b.file, reason) && !reason)
      if (auto created = b.create(); !created)
        return created.err();
    if (auto sound = lmdb_files::check_file(b.file); !sound)
      return sound.err();
    if (auto started = b.start(b.file); !started)
      return started.err();
    return b.take_over(at_least);
  }();
  if (!opened)
    b.close();
  return opened;
}

// A new store is written under another name and renamed when its header is durable: so an empty store.mdb is damage, never new.
result<void> lmdb_store::body::create() {
  auto draft = file;
  draft += ".new";
  auto draft_lock = draft;
  draft_lock += "-lock";
  std::error_code ignored;
  fs::remove(draft, ignored);
  if (auto started = start(draft); !started)
    return started;
  transaction txn;
  int rc = txn.begin(env, 0);
  for (auto [name, tree] :
       {std::pair{"header", &trees.header}, {"meta", &trees.meta}, {"content", &trees.content}, {"chunks", &trees.chunks}})
    if (rc == 0)
      rc = mdb_dbi_open(txn.get(), name, MDB_CREATE, tree);
  if (rc == 0)
    rc = records::write_header(txn.get(), trees, {lmdb_store_format, 0, 0});
  if (rc == 0)
    rc = stretch_file(64);
  if (rc == 0)
    rc = txn.commit();
  txn.abort();
  mdb_env_close(std::exchange(env, nullptr));
  fs::remove(draft_lock, ignored);
  if (rc != 0)
    return judge(rc, "create", file);
  if (::rename(draft.c_str(), file.c_str()) != 0)
    return lmdb_files::io_error("name the new store", file, errno);
  return lmdb_files::sync_directory(settings.directory);
}

result<void> lmdb_store::body::start(const fs::path& path) {
  int rc = mdb_env_create(&env);
  if (rc != 0)
    return judge(rc, "prepare", path);
  mdb_env_set_maxdbs(env, 4);
  mdb_env_set_maxreaders(env, readers_max);
  mdb_env_set_mapsize(env, std::max(settings.map_bytes, map_bytes_min));
  // Never MDB_NOSYNC, MDB_NOMETASYNC or MDB_WRITEMAP: a commit is durable or it is not a commit. NOTLS lets a reader change
  // threads. NORDAHEAD: cold payloads are fetched one by one, and the store may be larger than memory.
  rc = mdb_env_open(env, path.c_str(), MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
  if (rc == ENOMEM)
    return {errc::store_io, "cannot map " + std::to_string(std::max(settings.map_bytes, map_bytes_min))
                              + " bytes of address space for " + path.string()
                              + ": lower the store's map size or raise the process's limit (ulimit -v)"};
  if (rc != 0)
    return judge(rc, "open", path);
  int fd = -1;
  if (mdb_env_get_fd(env, &fd) == 0)
    ::fcntl(fd, F_SETFD, FD_CLOEXEC); // LMDB leaves this one open to children.
  measure();
  return {};
}

void lmdb_store::body::measure() {
  MDB_envinfo info;
  MDB_stat stat;
  mdb_env_info(env, &info);
  mdb_env_stat(env, &stat);
  page_bytes = stat.ms_psize;
  map_pages = info.me_mapsize / page_bytes;
  drain_pages =
    std::clamp<std::uint64_t>(map_pages / 16, (std::uint64_t{512} << 10) / page_bytes, (std::uint64_t{16} << 20) / page_bytes);
  int fd = -1;
  mdb_env_get_fd(env, &fd);
  struct stat facts {};
  ::fstat(fd, &facts);
  size_pages = static_cast<std::uint64_t>(facts.st_size) / page_bytes;
  backed_pages = std::min(size_pages, static_cast<std::uint64_t>(facts.st_blocks) * 512 / page_bytes);
}

result<opened_store> lmdb_store::body::take_over(epoch_number at_least) {
  transaction txn;
  if (const int rc = txn.begin(env, 0))
    return judge(rc, "open", file);
  if (const int rc = mdb_dbi_open(txn.get(), "header", 0, &trees.header)) {
    if (rc == MDB_NOTFOUND)
      return {errc::store_damaged, file.string() + " is an LMDB file, but not a store of ours: it has no header tree"};
    return judge(rc, "open the header tree of", file);
  }
  records::header header;
  int rc = records::read_header(txn.get(), trees, lmdb_store_format, &header);
  if (rc == MDB_NOTFOUND || rc == records::record_damaged || (rc == 0 && header.format == 0))
    return {errc::store_damaged, file.string() + ": its header record is not one of ours"};
  if (rc != 0)
    return judge(rc, "read the header of", file);
  if (header.format > lmdb_store_format)
    return {errc::store_newer, file.string() + " is in store format " + std::to_string(header.format)
                                 + "; this program reads format " + std::to_string(lmdb_store_format)
                                 + ": run the version that wrote it, or a newer one"};
  for (auto [name, tree] : {std::pair{"meta", &trees.meta}, {"content", &trees.content}, {"chunks", &trees.chunks}}) {
    rc = mdb_dbi_open(txn.get(), name, 0, tree);
    if (rc != 0)
      return {errc::store_damaged, file.string() + ": cannot open its " + name + " tree: " + mdb_strerror(rc)};
  }
  header.format = lmdb_store_format; // Before there is a journal that an older version would not look into.
  header.epoch = std::max(header.epoch + 1, at_least.value);
  rc = records::write_header(txn.get(), trees, header);
  // A full disk is no reason to stay away: what was backed before is there, and room may come by draining.
  if (const int room = back_pages(pages_in_use(txn.get()) + drain_pages); rc == 0 && room != 0 && !is_no_space(room))
    rc = room;
  if (rc == 0)
    rc = txn.commit();
  if (rc != 0)
    return judge(rc, "take over", file);
  return opened_store{{header.epoch}, header.tail};
}

void lmdb_store::body::close() {
  std::unique_lock guard{gate};
  for (auto* reader : readers)
    mdb_txn_abort(reader);
  readers.clear();
  if (env)
    mdb_env_close(std::exchange(env, nullptr));
  owner = {};
}

void lmdb_store::close() {
  body_->close();
}

// -------------------------------------------------------------------------------------------------------------- appending

append_outcome lmdb_store::append(epoch_number epoch, std::uint64_t tail, const batch& changes) {
  return append_many(epoch, tail, tail + 1, changes);
}

append_outcome lmdb_store::append_many(epoch_number epoch, std::uint64_t tail, std::uint64_t new_tail, const batch& changes,
                                       const batch& then) {
  auto& b = *body_;
  if (!b.env)
    return {append_status::failed, 0, "the store is not open"};
  auto outcome = b.append(epoch, tail, new_tail, changes, then);
  if (outcome.status == append_status::full && b.starved) {
    // What the last two commits freed cannot be taken yet, and in a full store it may be all there is.
    if (const int rc = b.ripen_free_pages())
      return b.judge_commit(rc);
    outcome = b.append(epoch, tail, new_tail, changes, then);
  }
  return outcome;
}

append_outcome lmdb_store::body::append(epoch_number epoch, std::uint64_t tail, std::uint64_t new_tail, const batch& changes,
                                        const batch& then) {
  starved = false;
  transaction txn;
  if (const int rc = txn.begin(env, 0))
    return {append_status::failed, 0,
            rc == MDB_PANIC ? "the store must be reopened after an earlier failure" : std::string{mdb_strerror(rc)}};

  // The lock file keeps others out; this check holds even where it could not (a deleted lock file, a network file system).
  records::header header;
  if (const int rc = records::read_header(txn.get(), trees, lmdb_store_format, &header))
    return {append_status::failed, 0, "cannot read the header: " + reason_of(rc)};
  if (auto refused = fenced({{header.epoch}, header.tail}, epoch, tail))
    return *std::move(refused);

  records::byte_count bytes;
  int rc = records::apply(txn.get(), trees, changes, &bytes);
  if (rc == 0 && !then.empty())
    rc = records::apply(txn.get(), trees, then, &bytes);
  if (rc == 0)
    rc = records::write_header(txn.get(), trees, {lmdb_store_format, epoch.value, new_tail});
  starved = rc == MDB_MAP_FULL || is_no_space(rc);
  if (rc != 0)
    return {starved ? append_status::full : append_status::failed, 0, reason_of(rc)};

  const bool grows = bytes.added > bytes.removed;
  const auto used = pages_in_use(txn.get());
  if (grows && used + drain_pages > map_pages)
    return {append_status::full, 0,
            "the store has reached its capacity of " + std::to_string((map_pages - drain_pages) * page_bytes) + " bytes"};

  // Blocks first, pages after: so a full disk is noticed before anything is written.
  const auto reach = std::min(map_pages, reach_of(changes.size() + then.size(), bytes.added + bytes.removed, used));
  rc = back_pages(std::max(reach, used + drain_pages));
  if (is_no_space(rc)) {
    if (grows && used + drain_pages > backed_pages)
      return {append_status::full, 0, "the disk is full: " + std::string{mdb_strerror(rc)}};
    rc = stretch_file(reach);
  }
  if (rc != 0)
    return {rc == EIO ? append_status::unknown : append_status::failed, 0,
            std::string{"cannot extend the file: "} + mdb_strerror(rc), rc == EIO};

  rc = txn.commit();
  starved = rc == MDB_MAP_FULL || is_no_space(rc);
  return rc == 0 ? append_outcome{append_status::durable, new_tail, {}} : judge_commit(rc);
}

// A commit writes the new pages, syncs, and then overwrites the older header page through an O_DSYNC descriptor. Until that last
// step nothing refers to the new pages. When it fails LMDB poisons the environment, and only that leaves the outcome open.
append_outcome lmdb_store::body::judge_commit(int rc) {
  const std::string reason = mdb_strerror(rc);
  transaction probe;
  if (probe.begin(env, 0) == MDB_PANIC)
    return {append_status::unknown, 0, "the commit's last write failed: " + reason, true};
  if (is_no_space(rc) || rc == MDB_MAP_FULL)
    return {append_status::full, 0, reason};
  if (rc == EIO)
    return {append_status::unknown, 0, "the commit could not be written or synced: " + reason, true};
  return {append_status::failed, 0, reason};
}

// How far a commit may extend the file, in pages: by what the batch touches, which is a leaf and its share of inner pages for each
// change (and no more leaves than there are), and each page of a long value.
std::uint64_t lmdb_store::body::reach_of(std::uint64_t changes, std::uint64_t bytes, std::uint64_t used) const {
  MDB_envinfo info;
  mdb_env_info(env, &info);
  return info.me_last_pgno + 1 + 64 + 4 * std::min(changes, used) + 2 * bytes / page_bytes;
}

// Of the pages in use only an upper bound is at hand without a transaction: all that were ever used.
int lmdb_store::promise_room(std::uint64_t changes, std::uint64_t bytes) {
  auto& b = *body_;
  const auto reach = b.reach_of(changes, bytes, b.reach_of(0, bytes, 0));
  if (!b.promises_blocks || reach + b.drain_pages > b.map_pages)
    return ENOSPC;
  const int rc = b.back_pages(reach + b.drain_pages);
  return rc == EDQUOT || (rc == 0 && !b.promises_blocks) ? ENOSPC : rc;
}

result<std::uint64_t> lmdb_store::content_bytes_under(const batch& changes) {
  auto& b = *body_;
  auto reader = b.borrow_reader();
  if (!reader)
    return reader.err();
  std::uint64_t bytes = 0;
  int rc = 0;
  for (const auto& c : changes) {
    if (c.where != tree::content)
      continue;
    std::uint64_t size = 0;
    rc = records::content_size(*reader, b.trees, c.key, &size);
    if (rc != 0 && rc != MDB_NOTFOUND)
      break;
    if (size > b.map_pages * b.page_bytes) { // A wrong length under a right checksum.
      rc = records::record_damaged;
      break;
    }
    bytes += size;
  }
  b.give_back(*reader);
  if (rc != 0 && rc != MDB_NOTFOUND)
    return judge(rc, "look into", b.file);
  return bytes;
}

result<std::string> lmdb_store::last_key(tree where) {
  auto& b = *body_;
  auto reader = b.borrow_reader();
  if (!reader)
    return reader.err();
  MDB_cursor* cursor = nullptr;
  MDB_val key{}, value;
  int rc = mdb_cursor_open(*reader, where == tree::meta ? b.trees.meta : b.trees.content, &cursor);
  if (rc == 0)
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
  auto last = rc == 0 ? std::string{records::as_view(key)} : std::string{};
  if (cursor)
    mdb_cursor_close(cursor);
  b.give_back(*reader);
  if (rc != 0 && rc != MDB_NOTFOUND)
    return judge(rc, "find the last record of", b.file);
  return last;
}

// LMDB keeps what a commit freed from the next two, for the sake of its readers and of the older header page. Two commits that
// change nothing make it available.
int lmdb_store::body::ripen_free_pages() {
  int rc = 0;
  for (int i = 0; rc == 0 && i < 2; ++i) {
    transaction txn;
    records::header header;
    rc = txn.begin(env, 0);
    if (rc == 0)
      rc = records::read_header(txn.get(), trees, lmdb_store_format, &header);
    if (rc == 0)
      rc = records::write_header(txn.get(), trees, header);
    if (rc == 0)
      rc = txn.commit();
  }
  return rc;
}

// Exact and without a walk of the free list: every page is a header page, in one of the trees, or free.
std::uint64_t lmdb_store::body::pages_in_use(MDB_txn* txn) const {
  std::uint64_t pages = 2;
  for (const auto tree : {free_tree, main_tree, trees.header, trees.meta, trees.content, trees.chunks}) {
    MDB_stat stat;
    if (mdb_stat(txn, tree, &stat) == 0)
      pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
  }
  return pages;
}

// Makes the file system promise the blocks of the file's first pages. 0 or an errno; no space when the promise cannot be had.
int lmdb_store::body::back_pages(std::uint64_t pages) {
  pages = std::min(pages, map_pages);
  const std::uint64_t backed = backed_pages;
  if (pages <= backed)
    return 0;
  int fd = -1;
  mdb_env_get_fd(env, &fd);
  int rc = ENOSPC;
  for (const auto goal : {std::min(map_pages, pages + drain_pages), pages}) {
    // Asked first, because a fallocate that runs out of space may keep what it got, and others need it.
    if ((goal - backed) * page_bytes > disk_free())
      continue;
    // From the beginning: there may be holes where LMDB took pages and did not write them.
    rc = ::fallocate(fd, 0, 0, static_cast<off_t>(goal * page_bytes)) == 0 ? 0 : errno;
    if (rc == EOPNOTSUPP) { // A file system that promises nothing: statvfs is the best it can do.
      promises_blocks = false;
      rc = stretch_file(goal);
    }
    if (rc == 0) {
      if (::fsync(fd) != 0)
        return errno;
      backed_pages = goal;
      size_pages = std::max(size_pages, goal);
      return 0;
    }
    if (!is_no_space(rc))
      break;
  }
  return rc;
}

// Makes the file long enough, without blocks. check_file takes a page beyond the end for a file that was cut off, so the length
// is made durable before a commit can speak of the page.
int lmdb_store::body::stretch_file(std::uint64_t pages) {
  if (pages <= size_pages)
    return 0;
  int fd = -1;
  mdb_env_get_fd(env, &fd);
  if (::ftruncate(fd, static_cast<off_t>(pages * page_bytes)) != 0 || ::fsync(fd) != 0)
    return errno;
  size_pages = pages;
  return 0;
}

// ---------------------------------------------------------------------------------------------------------------- reading

result<void> lmdb_store::replay(const std::function<void(std::string_view, std::string_view)>& visitor) {
  auto& b = *body_;
  if (!b.env)
    return {errc::store_io, "the store is not open"};
  transaction txn;
  int rc = txn.begin(b.env, MDB_RDONLY);
  MDB_cursor* cursor = nullptr;
  if (rc == 0)
    rc = mdb_cursor_open(txn.get(), b.trees.meta, &cursor);
  MDB_val key, stored;
  for (auto step = MDB_FIRST; rc == 0; step = MDB_NEXT) {
    rc = mdb_cursor_get(cursor, &key, &stored, step);
    if (rc != 0)
      break;
    if (const auto value = records::meta_value(records::as_view(key), records::as_view(stored)))
      visitor(records::as_view(key), *value);
    else
      rc = records::record_damaged;
  }
  if (cursor)
    mdb_cursor_close(cursor);
  if (rc != MDB_NOTFOUND)
    return judge(rc, "replay", b.file);
  return {};
}

result<MDB_txn*> lmdb_store::body::borrow_reader() {
  MDB_txn* reader = nullptr;
  {
    std::lock_guard guard{readers_mutex};
    if (!readers.empty()) {
      reader = readers.back();
      readers.pop_back();
    }
  }
  const int rc = reader ? mdb_txn_renew(reader) : mdb_txn_begin(env, nullptr, MDB_RDONLY, &reader);
  if (rc == 0)
    return reader;
  if (reader)
    mdb_txn_abort(reader);
  return judge(rc, "read", file);
}

void lmdb_store::body::give_back(MDB_txn* reader) {
  mdb_txn_reset(reader);
  std::lock_guard guard{readers_mutex};
  readers.push_back(reader);
}

result<std::shared_ptr<const std::string>> lmdb_store::fetch(std::string_view key) {
  auto& b = *body_;
  std::shared_lock guard{b.gate};
  if (!b.env)
    return {errc::store_io, "the store is not open"};
  auto reader = b.borrow_reader();
  if (!reader)
    return reader.err();
  std::shared_ptr<const std::string> content;
  const int rc = records::read_content(*reader, b.trees, key, &content);
  b.give_back(*reader);
  if (rc != 0 && rc != MDB_NOTFOUND)
    return judge(rc, "fetch from", b.file);
  return content;
}

std::uint64_t lmdb_store::body::disk_free() const {
  struct statvfs facts {};
  return ::statvfs(settings.directory.c_str(), &facts) == 0 ? static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize : 0;
}

store_space lmdb_store::space() {
  auto& b = *body_;
  std::shared_lock guard{b.gate};
  if (!b.env)
    return {};
  auto reader = b.borrow_reader();
  if (!reader)
    return {};
  const auto used = b.pages_in_use(*reader);
  b.give_back(*reader);
  const std::uint64_t backed = b.backed_pages;
  // Of the backed pages, the drain reserve is spoken for.
  const auto unused = backed > used + b.drain_pages ? backed - used - b.drain_pages : 0;
  const auto capacity = (b.map_pages - b.drain_pages) * b.page_bytes;
  return {used * b.page_bytes, capacity, b.disk_free() + unused * b.page_bytes, std::min(b.settings.reserve_bytes, capacity / 4)};
}

} // namespace sallyport::cloud
