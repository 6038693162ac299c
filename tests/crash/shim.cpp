#include "tests/crash/shim.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

using namespace sallyport::crash;

namespace {

/// A file below the directory, known by its inode: so it keeps its number when it is renamed, opened twice, or its descriptor copied.
struct known_file {
  dev_t device;
  ino_t inode;
  std::uint32_t number;
};

struct recorder {
  std::mutex gate; // LMDB starts no threads of its own, but nothing here depends on that.
  bool on = false;
  std::string root; // With a slash at its end.
  int log = -1;
  fault_plan plan;
  unsigned env_flags = 0;
  std::uint32_t calls = 0, faults = 0, files = 0;
  std::vector<known_file> known;
};

recorder& me() {
  static recorder it; // Not before main(): others' constructors may write.
  return it;
}

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "crash shim: %s: %s\n", why, std::strerror(errno));
  std::abort();
}

void put(disk_record head, std::string_view bytes) {
  auto& r = me();
  head.size = static_cast<std::uint32_t>(bytes.size());
  iovec parts[] = {{&head, sizeof head}, {const_cast<char*>(bytes.data()), bytes.size()}};
  const auto whole = static_cast<ssize_t>(sizeof head + bytes.size());
  if (::syscall(SYS_writev, r.log, parts, 2) != whole)
    give_up("the log cannot be written");
}

disk_record record_of(record_kind kind, std::uint32_t file, std::uint32_t call, std::uint64_t at = 0, std::uint8_t flags = 0) {
  disk_record d;
  d.kind = kind, d.flags = flags, d.file = file, d.call = call, d.at = at;
  return d;
}

/// The name relative to the directory under watch; false: it is not below it.
bool is_watched(const char* path, std::string& name) {
  auto& r = me();
  if (!r.on || !path)
    return false;
  const std::string_view whole{path};
  if (whole.substr(0, r.root.size()) != r.root)
    return false;
  name = whole.substr(r.root.size());
  while (!name.empty() && name.back() == '/')
    name.pop_back();
  return true;
}

std::uint32_t number_of(const struct stat& facts) {
  for (auto& k : me().known)
    if (k.device == facts.st_dev && k.inode == facts.st_ino)
      return k.number;
  return 0;
}

/// 0: not ours.
std::uint32_t file_of(int fd) {
  struct stat facts {};
  if (!me().on || ::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode))
    return 0;
  return number_of(facts);
}

bool writes_through(int fd) {
  return (::fcntl(fd, F_GETFL) & O_DSYNC) != 0; // O_SYNC contains it.
}

/// Counts a call that can fail, and says how it does.
fault_kind next_call(std::uint32_t& number) {
  auto& r = me();
  number = ++r.calls;
  const bool hit = r.plan.what != fault_kind::none && number >= r.plan.call && number - r.plan.call < r.plan.calls;
  return hit ? r.plan.what : fault_kind::none;
}

int fail(int reason) {
  ++me().faults;
  errno = reason;
  return -1;
}

bool is_error(fault_kind fault) {
  return fault == fault_kind::io_error || fault == fault_kind::late_io_error || fault == fault_kind::no_space;
}
int reason_of(fault_kind fault) {
  return fault == fault_kind::no_space ? ENOSPC : EIO;
}

/// All the writing calls. `at` < 0: at the descriptor's place, which moves.
ssize_t write_parts(int fd, const iovec* parts, int count, off_t at) {
  auto& r = me();
  std::unique_lock lock{r.gate};
  const auto pass_on = [&](const iovec* p, int n) {
    return at < 0 ? ::syscall(SYS_writev, fd, p, n) : ::syscall(SYS_pwritev, fd, p, n, at, 0);
  };
  const auto file = file_of(fd);
  if (file == 0) {
    lock.unlock();
    return pass_on(parts, count);
  }
  std::string bytes;
  for (int i = 0; i < count; ++i)
    bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  const auto place = at >= 0 ? at : ::lseek(fd, 0, (::fcntl(fd, F_GETFL) & O_APPEND) != 0 ? SEEK_END : SEEK_CUR);
  const bool is_through = writes_through(fd);
  std::uint32_t call = 0;
  auto fault = next_call(call);
  if (fault == fault_kind::late_io_error && !is_through)
    fault = fault_kind::io_error; // Into the page cache: there is no disk to be late.
  if (is_error(fault) && fault != fault_kind::late_io_error)
    return fail(reason_of(fault));
  if (fault == fault_kind::short_write && bytes.size() > 1) {
    bytes.resize(bytes.size() / 2);
    ++r.faults;
  }
  iovec one{bytes.data(), bytes.size()};
  const auto done = pass_on(&one, 1);
  if (done < 0)
    return done;
  bytes.resize(static_cast<std::size_t>(done));
  if (fault == fault_kind::late_io_error) {
    put(record_of(record_kind::write, file, call, static_cast<std::uint64_t>(place), never_kept), bytes);
    return fail(EIO);
  }
  put(record_of(record_kind::write, file, call, static_cast<std::uint64_t>(place), is_through ? through : 0), bytes);
  return done;
}

int resize(int fd, off_t size, bool grows, long (*pass_on)(int, off_t, off_t, int), off_t at, int mode) {
  auto& r = me();
  std::lock_guard lock{r.gate};
  const auto file = file_of(fd);
  if (file == 0)
    return static_cast<int>(pass_on(fd, at, size, mode));
  std::uint32_t call = 0;
  if (const auto fault = next_call(call); is_error(fault))
    return fail(reason_of(fault));
  const auto rc = static_cast<int>(pass_on(fd, at, size, mode));
  if (rc == 0)
    put(record_of(record_kind::resize, file, call, static_cast<std::uint64_t>(at + size), grows ? grows_only : 0), {});
  return rc;
}

int sync(int fd, long system_call) {
  auto& r = me();
  std::lock_guard lock{r.gate};
  struct stat facts {};
  if (!r.on || ::fstat(fd, &facts) != 0)
    return static_cast<int>(::syscall(system_call, fd));
  auto head = record_of(record_kind::sync, number_of(facts), 0);
  std::string name;
  char place[4096];
  const auto length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), place, sizeof place - 1);
  place[std::max<ssize_t>(length, 0)] = 0;
  if ((r.env_flags & journal_not_synced) != 0 && std::string_view{place}.ends_with("/store.journal"))
    return 0;
  if (S_ISDIR(facts.st_mode)) {
    // The directory under watch itself is the parent of what is made in it.
    if (!is_watched((std::string{place} + "/").c_str(), name))
      return static_cast<int>(::syscall(system_call, fd));
    head.kind = record_kind::sync_directory;
  } else if (head.file == 0) {
    return static_cast<int>(::syscall(system_call, fd));
  }
  const auto fault = next_call(head.call);
  if (is_error(fault)) {
    if (head.kind == record_kind::sync) {
      head.kind = record_kind::sync_failed;
      put(head, {});
    }
    return fail(reason_of(fault));
  }
  const auto rc = static_cast<int>(::syscall(system_call, fd));
  if (rc == 0)
    put(head, name);
  return rc;
}

int open_file(int at, const char* path, int flags, mode_t mode) {
  auto& r = me();
  std::lock_guard lock{r.gate};
  const auto pass_on = [&] { return static_cast<int>(::syscall(SYS_openat, at, path, flags, mode)); };
  std::string name;
  if (!is_watched(path, name) || name.empty())
    return pass_on();
  struct stat facts {};
  const bool is_new = (flags & O_CREAT) != 0 && ::stat(path, &facts) != 0;
  std::uint32_t call = 0;
  if (is_new)
    if (const auto fault = next_call(call); is_error(fault))
      return fail(reason_of(fault));
  const int fd = pass_on();
  if (fd < 0 || ::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode))
    return fd;
  if (is_new) {
    // Inodes are used again.
    std::erase_if(r.known, [&](const known_file& k) { return k.device == facts.st_dev && k.inode == facts.st_ino; });
    r.known.push_back({facts.st_dev, facts.st_ino, ++r.files});
    put(record_of(record_kind::created, r.files, call), name);
  } else if (number_of(facts) == 0) {
    errno = EEXIST;
    give_up("a file was there before the recording began");
  } else if ((flags & O_TRUNC) != 0) {
    put(record_of(record_kind::resize, number_of(facts), 0), {});
  }
  return fd;
}

template <class PassOn>
int name_call(record_kind kind, const char* path, const char* second, PassOn pass_on) {
  auto& r = me();
  std::lock_guard lock{r.gate};
  std::string name, to;
  struct stat facts {};
  if (!is_watched(path, name) || (kind != record_kind::made_directory && ::lstat(path, &facts) != 0))
    return pass_on();
  auto head = record_of(kind, kind == record_kind::made_directory ? 0 : number_of(facts), 0);
  const auto fault = next_call(head.call);
  if (is_error(fault) && !(kind == record_kind::unlinked && fault == fault_kind::no_space))
    return fail(reason_of(fault));
  if (second && is_watched(second, to))
    name += '\0' + to;
  const int rc = pass_on();
  if (rc == 0)
    put(head, name);
  return rc;
}

void* next(const char* name) {
  void* found = ::dlsym(RTLD_NEXT, name);
  if (!found)
    give_up(name);
  return found;
}

mode_t mode_of(int flags, va_list more) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? static_cast<mode_t>(va_arg(more, int)) : 0;
}

} // namespace

extern "C" {

void sallyport_crash_begin(const char* directory, int log, const fault_plan* plan, unsigned env_flags) {
  auto& r = me();
  std::lock_guard lock{r.gate};
  r.root = std::string{directory} + "/";
  r.log = log;
  r.plan = plan ? *plan : fault_plan{};
  r.env_flags = env_flags;
  r.calls = r.faults = r.files = 0;
  r.known.clear();
  r.on = true;
}

std::uint32_t sallyport_crash_end() {
  auto& r = me();
  std::lock_guard lock{r.gate};
  r.on = false;
  return r.faults;
}

void sallyport_crash_mark(const char* text) {
  auto& r = me();
  std::lock_guard lock{r.gate};
  if (r.on)
    put(record_of(record_kind::mark, 0, 0), text);
}

// -- LMDB: opened as it asks, and with what a mutant adds.

int mdb_env_open(void* env, const char* path, unsigned flags, mode_t mode) {
  static const auto real = reinterpret_cast<int (*)(void*, const char*, unsigned, mode_t)>(next("mdb_env_open"));
  return real(env, path, flags | (me().on ? me().env_flags & ~journal_not_synced : 0), mode);
}

// -- bytes

ssize_t write(int fd, const void* from, size_t size) {
  const iovec part{const_cast<void*>(from), size};
  return write_parts(fd, &part, 1, -1);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return write_parts(fd, parts, count, -1);
}
ssize_t pwrite(int fd, const void* from, size_t size, off_t at) {
  const iovec part{const_cast<void*>(from), size};
  return write_parts(fd, &part, 1, at);
}
ssize_t pwrite64(int fd, const void* from, size_t size, off64_t at) {
  return pwrite(fd, from, size, at);
}
ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  return write_parts(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t at) {
  return write_parts(fd, parts, count, at);
}

int ftruncate(int fd, off_t size) noexcept {
  return resize(
    fd, size, false, [](int f, off_t, off_t s, int) { return ::syscall(SYS_ftruncate, f, s); }, 0, 0);
}
int ftruncate64(int fd, off64_t size) noexcept {
  return ftruncate(fd, size);
}
int fallocate(int fd, int mode, off_t at, off_t size) {
  if (mode != 0 && file_of(fd) != 0) {
    errno = EINVAL;
    give_up("fallocate with a mode, which the images know nothing of");
  }
  return resize(
    fd, size, true, [](int f, off_t a, off_t s, int m) { return ::syscall(SYS_fallocate, f, m, a, s); }, at, mode);
}
int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return fallocate(fd, mode, at, size);
}

void* mmap(void* where, size_t size, int allow, int flags, int fd, off_t at) noexcept {
  if (fd >= 0 && (allow & PROT_WRITE) != 0 && (flags & MAP_TYPE) != MAP_PRIVATE && me().on) {
    std::lock_guard lock{me().gate};
    if (const auto file = file_of(fd))
      put(record_of(record_kind::mapped, file, 0), {});
  }
  return reinterpret_cast<void*>(::syscall(SYS_mmap, where, size, allow, flags, fd, at));
}
void* mmap64(void* where, size_t size, int allow, int flags, int fd, off64_t at) noexcept {
  return mmap(where, size, allow, flags, fd, at);
}

// -- syncs

int fsync(int fd) {
  return sync(fd, SYS_fsync);
}
int fdatasync(int fd) {
  return sync(fd, SYS_fdatasync);
}

// -- names

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const auto mode = mode_of(flags, more);
  va_end(more);
  return open_file(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const auto mode = mode_of(flags, more);
  va_end(more);
  return open_file(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const auto mode = mode_of(flags, more);
  va_end(more);
  return open_file(at, path, flags, mode);
}
int openat64(int at, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const auto mode = mode_of(flags, more);
  va_end(more);
  return open_file(at, path, flags, mode);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return name_call(record_kind::made_directory, path, nullptr,
                   [&] { return static_cast<int>(::syscall(SYS_mkdir, path, mode)); });
}
int rename(const char* from, const char* to) noexcept {
  return name_call(record_kind::renamed, from, to, [&] { return static_cast<int>(::syscall(SYS_rename, from, to)); });
}
int unlink(const char* path) noexcept {
  return name_call(record_kind::unlinked, path, nullptr, [&] { return static_cast<int>(::syscall(SYS_unlink, path)); });
}
int remove(const char* path) noexcept {
  struct stat facts {};
  if (::lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode))
    return static_cast<int>(::syscall(SYS_rmdir, path));
  return unlink(path);
}

} // extern "C"
