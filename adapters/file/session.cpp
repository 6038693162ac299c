#include "adapters/file/settings.hpp"

#include "adapters/api/text.hpp"
#include "adapters/file/core/plan.hpp"
#include "protocol/json.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <system_error>

namespace sallyport::adapters::file {
namespace {

using wire::effect_state;

/// Thrown inside this file.
struct io_failure {
  int code;
  effect_state effect = effect_state::none;
};

class descriptor {
public:
  explicit descriptor(int fd = -1) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_;
};

struct close_listing {
  void operator()(DIR* d) const { ::closedir(d); }
};

void check(int result, effect_state effect = effect_state::none) {
  if (result < 0)
    throw io_failure{errno, effect};
}

/// Opens beneath the root, through no link of any kind: the kernel walks the path, so that nothing can be swapped under our feet.
descriptor open_beneath(int root, const std::string& path, std::uint64_t flags, int* fault = nullptr) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0;; ++tries) {
    descriptor opened{static_cast<int>(::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how))};
    if (opened)
      return opened;
    if (errno == EAGAIN && tries < 100) // Something was renamed on the way; the kernel could not be sure.
      continue;
    if (!fault)
      throw io_failure{errno};
    *fault = errno;
    return descriptor{};
  }
}

std::pair<std::string, std::string> split(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::pair{std::string{}, path} : std::pair{path.substr(0, slash), path.substr(slash + 1)};
}

constexpr std::uint64_t as_directory = O_RDONLY | O_DIRECTORY;

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    check(static_cast<int>(std::min<ssize_t>(n, 0)));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

/// At most `limit` bytes.
std::string read_all(int fd, std::size_t limit) {
  std::string bytes(limit, '\0');
  std::size_t filled = 0;
  while (filled < limit) {
    const auto n = ::read(fd, bytes.data() + filled, limit - filled);
    if (n < 0 && errno == EINTR)
      continue;
    check(static_cast<int>(std::min<ssize_t>(n, 0)));
    if (n == 0)
      break;
    filled += static_cast<std::size_t>(n);
  }
  bytes.resize(filled);
  return bytes;
}

class file_adapter final : public adapter {
public:
  explicit file_adapter(const settings& s) : settings_(s), mode_(parse_mode(s.mode).value_or(0640)) {}

  probe_result probe() override {
    try {
      const auto root = open_root();
      (void)open_beneath(root.get(), "", as_directory); // Also: does this kernel know openat2?
      const auto writes = std::any_of(settings_.operations.begin(), settings_.operations.end(),
                                      [](const std::string& op) { return op != "read" && op != "list"; });
      struct statvfs space {};
      check(::fstatvfs(root.get(), &space));
      if (writes && (space.f_flag & ST_RDONLY))
        throw io_failure{EROFS};
      if (::faccessat(root.get(), ".", writes ? R_OK | W_OK | X_OK : R_OK | X_OK, AT_EACCESS) != 0)
        throw io_failure{errno};
      return {wire::reach::up, {}};
    } catch (const io_failure& f) {
      return {wire::reach::down, settings_.root + ": " + std::generic_category().message(f.code)};
    }
  }

  std::vector<outcome> perform(const std::vector<job>& jobs) override {
    std::vector<outcome> outcomes;
    outcomes.reserve(jobs.size());
    for (const auto& j : jobs)
      outcomes.push_back(perform(j));
    return outcomes;
  }

private:
  outcome perform(const job& j) {
    if (const auto why = j.cancelled(); why != cancel_reason::none)
      return stopped(why, effect_state::none);
    if (j.time_left <= milliseconds::zero())
      return stopped(cancel_reason::attempt_timeout, effect_state::none);
    auto planned = plan(settings_, j);
    if (auto* f = std::get_if<failure>(&planned))
      return failed(std::move(*f));
    const auto& c = std::get<command>(planned);
    descriptor root;
    try {
      root = open_root();
    } catch (const io_failure& f) {
      auto cause = classify(c, f.code, effect_state::none);
      cause.scope = wire::failure_scope::target; // Whatever it is: without the root nothing can be done for anybody.
      cause.retryable = true;
      cause.error += " (the root " + settings_.root + ")";
      return failed(std::move(cause));
    }
    try {
      switch (c.what) {
        case operation::write: return write(root.get(), c);
        case operation::read: return read(root.get(), c);
        case operation::list: return list(root.get(), c);
        case operation::move: return move(root.get(), c);
        case operation::remove: return remove(root.get(), c);
      }
    } catch (const io_failure& f) {
      return failed(classify(c, f.code, f.effect));
    }
    return failed({.error = "unknown operation", .retryable = false});
  }

  /// Anew for every job: a mount that comes or goes is noticed.
  descriptor open_root() const {
    descriptor root{::open(settings_.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    check(root.get());
    return root;
  }

  /// The directory of a file to be made, made if need be; new directories are as durable as the file will be.
  descriptor open_parent(int root, const std::string& path) const {
    int fault = 0;
    auto parent = open_beneath(root, path, as_directory, &fault);
    if (parent)
      return parent;
    if (fault != ENOENT || !settings_.make_directories || path.empty())
      throw io_failure{fault};
    const auto [above, name] = split(path);
    const auto grandparent = open_parent(root, above);
    if (::mkdirat(grandparent.get(), name.c_str(), 0750) != 0 && errno != EEXIST)
      throw io_failure{errno};
    check(::fsync(grandparent.get()));
    return open_beneath(root, path, as_directory);
  }

  outcome write(int root, const command& c) {
    const auto [above, name] = split(c.path);
    const auto parent = open_parent(root, above);
    const auto& temporary = c.temporary;
    // Without a name until it is whole, where the file system can do that: a crash then leaves nothing behind.
    descriptor file{::openat(parent.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode_)};
    const auto unnamed = static_cast<bool>(file);
    if (!unnamed) {
      if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        throw io_failure{errno};
      ::unlinkat(parent.get(), temporary.c_str(), 0);
      file = descriptor{::openat(parent.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_)};
      check(file.get());
    }
    try {
      check(::fchmod(file.get(), mode_)); // The umask is not ours to know.
      write_all(file.get(), c.content);
      check(::fsync(file.get()));
      if (unnamed) {
        const auto self = "/proc/self/fd/" + std::to_string(file.get());
        ::unlinkat(parent.get(), temporary.c_str(), 0);
        check(::linkat(AT_FDCWD, self.c_str(), parent.get(), temporary.c_str(), AT_SYMLINK_FOLLOW));
      }
      if (c.if_absent) {
        if (rename_new(parent.get(), temporary, parent.get(), name) != 0) {
          if (errno != EEXIST || !holds(parent.get(), name, c.content))
            throw io_failure{errno == 0 ? EEXIST : errno};
          ::unlinkat(parent.get(), temporary.c_str(), 0); // Our own earlier attempt made it.
        }
      } else {
        check(::renameat(parent.get(), temporary.c_str(), parent.get(), name.c_str()));
      }
    } catch (...) {
      ::unlinkat(parent.get(), temporary.c_str(), 0);
      throw;
    }
    check(::fsync(parent.get()), effect_state::unknown);
    json_writer w;
    w.begin_object().field("path", c.path).field("bytes", c.content.size()).end_object();
    return done(w.take());
  }

  /// rename that refuses to replace, also where the file system does not offer that.
  static int rename_new(int from_directory, const std::string& from, int to_directory, const std::string& to) {
    if (::renameat2(from_directory, from.c_str(), to_directory, to.c_str(), RENAME_NOREPLACE) == 0)
      return 0;
    if (errno != EINVAL && errno != ENOSYS)
      return -1;
    if (::linkat(from_directory, from.c_str(), to_directory, to.c_str(), 0) != 0)
      return -1;
    return ::unlinkat(from_directory, from.c_str(), 0);
  }

  /// Leaves errno at EEXIST when it does not.
  static bool holds(int directory, const std::string& name, const std::string& content) {
    const descriptor file{::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat about {};
    const auto same = file && ::fstat(file.get(), &about) == 0 && S_ISREG(about.st_mode)
                      && static_cast<std::uint64_t>(about.st_size) == content.size()
                      && read_all(file.get(), content.size()) == content;
    errno = EEXIST;
    return same;
  }

  outcome read(int root, const command& c) {
    // O_NONBLOCK: a pipe must not hold us up before we see that it is one.
    const auto file = open_beneath(root, c.path, O_RDONLY | O_NONBLOCK);
    struct stat about {};
    check(::fstat(file.get(), &about));
    if (!S_ISREG(about.st_mode))
      throw io_failure{S_ISDIR(about.st_mode) ? EISDIR : EINVAL};
    const auto bytes = read_all(file.get(), result_bytes_max + 1);
    json_writer w;
    w.begin_object().field("path", c.path).field("bytes", bytes.size());
    if (c.base64)
      w.field("content_base64", base64_encode(bytes));
    else if (is_utf8(bytes))
      w.field("content", bytes);
    else
      return failed({.error = describe(c) + ": the file is not UTF-8 text; ask with \"encoding\": \"base64\"",
                     .retryable = false,
                     .effect = effect_state::none});
    w.end_object();
    if (w.view().size() > result_bytes_max)
      return failed({.error = describe(c) + ": the file does not fit into a result of 256 KiB",
                     .retryable = false,
                     .effect = effect_state::none});
    return done(w.take());
  }

  outcome list(int root, const command& c) {
    auto directory = open_beneath(root, c.path, as_directory);
    const auto fd = directory.get();
    const std::unique_ptr<DIR, close_listing> listing{::fdopendir(directory.get())};
    if (!listing)
      throw io_failure{errno};
    (void)directory.release();   // The listing's now.
    std::set<std::string> names; // The least `limit + 1` behind `after`: a huge directory costs time, not memory.
    for (errno = 0; const auto* entry = ::readdir(listing.get()); errno = 0) {
      const std::string name = entry->d_name;
      if (name == "." || name == ".." || name <= c.after || name.compare(0, temporary_prefix.size(), temporary_prefix) == 0)
        continue;
      names.insert(name);
      if (names.size() > c.limit + 1)
        names.erase(std::prev(names.end()));
    }
    if (errno != 0)
      throw io_failure{errno};
    json_writer w;
    w.begin_object().field("path", c.path).key("entries").begin_array();
    std::size_t listed = 0;
    auto more = false;
    for (const auto& name : names) {
      if (listed == c.limit || w.view().size() + 6 * name.size() + 200 > result_bytes_max) {
        more = true;
        break;
      }
      struct stat about {};
      if (::fstatat(fd, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0)
        continue; // Gone since.
      const auto modified = std::chrono::floor<milliseconds>(std::chrono::system_clock::from_time_t(about.st_mtim.tv_sec))
                            + milliseconds{about.st_mtim.tv_nsec / 1'000'000};
      w.begin_object()
        .field("name", name)
        .field("type", S_ISREG(about.st_mode)   ? "file"
                       : S_ISDIR(about.st_mode) ? "directory"
                                                : "other")
        .field("bytes", static_cast<std::uint64_t>(about.st_size))
        .field("modified", to_rfc3339(modified))
        .end_object();
      ++listed;
    }
    w.end_array().field("more", more).end_object();
    return done(w.take());
  }

  outcome move(int root, const command& c) {
    const auto [from_above, from] = split(c.path);
    const auto [to_above, to] = split(c.to);
    int fault = 0;
    const auto source = open_beneath(root, from_above, as_directory, &fault);
    if (!source && fault != ENOENT)
      throw io_failure{fault};
    const auto target = open_parent(root, to_above);
    struct stat about {};
    const auto there = source && ::fstatat(source.get(), from.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && !S_ISREG(about.st_mode))
      throw io_failure{S_ISLNK(about.st_mode) ? ELOOP : EINVAL};
    auto moved = there;
    if (there) {
      const auto result = c.overwrite ? ::renameat(source.get(), from.c_str(), target.get(), to.c_str())
                                      : rename_new(source.get(), from, target.get(), to);
      check(result);
    } else if (::fstatat(target.get(), to.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
      throw io_failure{ENOENT};
    } // Else an earlier attempt has moved it.
    check(::fsync(target.get()), effect_state::unknown);
    if (source)
      check(::fsync(source.get()), effect_state::unknown);
    json_writer w;
    w.begin_object().field("path", c.path).field("to", c.to).field("moved", moved).end_object();
    return done(w.take());
  }

  outcome remove(int root, const command& c) {
    const auto [above, name] = split(c.path);
    int fault = 0;
    const auto parent = open_beneath(root, above, as_directory, &fault);
    if (!parent && fault != ENOENT)
      throw io_failure{fault};
    const auto existed = parent && ::unlinkat(parent.get(), name.c_str(), 0) == 0;
    if (parent && !existed && errno != ENOENT)
      throw io_failure{errno};
    if (parent)
      check(::fsync(parent.get()), effect_state::unknown);
    json_writer w;
    w.begin_object().field("path", c.path).field("existed", existed).end_object();
    return done(w.take());
  }

  const settings settings_;
  const unsigned mode_;
};

} // namespace

result<void> check(const settings& s) {
  std::string faults;
  const auto fault = [&faults](const std::string& text) { faults += text + '\n'; };
  if (s.root.empty() || s.root.front() != '/')
    fault("root must be an absolute path");
  constexpr std::string_view known[] = {"write", "read", "list", "move", "delete"};
  for (const auto& op : s.operations)
    if (std::find(std::begin(known), std::end(known), op) == std::end(known))
      fault("operations: '" + op + "' is not write, read, list, move or delete");
  if (s.operations.empty())
    fault("operations is empty: the adapter would have nothing to do");
  if (!s.write_path.empty()) {
    std::string sample;
    auto wellformed = true;
    for (std::size_t at = 0; at < s.write_path.size() && wellformed;) {
      if (s.write_path[at] != '{') {
        sample += s.write_path[at++];
        continue;
      }
      const auto end = s.write_path.find('}', at);
      const auto name = s.write_path.substr(at + 1, end == std::string::npos ? end : end - at - 1);
      constexpr std::string_view names[] = {"id", "source", "type", "subject", "message"};
      wellformed = end != std::string::npos
                   && (std::find(std::begin(names), std::end(names), name) != std::end(names)
                       || (name.size() > 5 && name.compare(0, 5, "data.") == 0));
      sample += 'x';
      at = end + 1;
    }
    if (!wellformed)
      fault("write_path: placeholders are {id}, {source}, {type}, {subject}, {message} and {data.member}");
    else if (auto wrong = fault_of_path(sample); !wrong.empty())
      fault("write_path " + wrong);
    if (std::find(s.operations.begin(), s.operations.end(), "write") == s.operations.end())
      fault("write_path needs write among the operations");
  }
  if (!parse_mode(s.mode))
    fault("mode must be octal, such as \"0640\"");
  if (s.workers == 0 || s.workers > 64)
    fault("workers must be 1 to 64");
  return faults.empty() ? result<void>{} : result<void>{errc::invalid_config, faults.substr(0, faults.size() - 1)};
}

factory make_factory(const settings& s) {
  return {{.kind = "file",
           .effect = wire::effect_promise::idempotent,
           .fingerprint = "file://" + s.root,
           .batch_max = 16,
           .workers = s.workers},
          [s]() -> std::unique_ptr<adapter> { return std::make_unique<file_adapter>(s); }};
}

} // namespace sallyport::adapters::file
