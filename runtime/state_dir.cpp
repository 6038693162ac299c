#include "runtime/state_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

namespace sallyport::runtime {

namespace {

error io_error(const std::string& tried, const std::string& path) {
  return make_error(errc::state_io, tried + " " + path + ": " + std::strerror(errno));
}

/// Nothing when the file does not exist.
result<std::optional<std::string>> read_line(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? result<std::optional<std::string>>{std::optional<std::string>{}} : io_error("reading", path);
  char buffer[128];
  const auto n = ::read(fd, buffer, sizeof buffer);
  ::close(fd);
  if (n < 0)
    return io_error("reading", path);
  std::string_view text{buffer, static_cast<std::size_t>(n)};
  return std::optional<std::string>{text.substr(0, text.find('\n'))};
}

/// Whole or not at all, and on disk: a new file under another name, then renamed over the old one.
result<void> write_line(const std::string& folder, const std::string& name, const std::string& line) {
  const auto path = folder + "/" + name, draft = path + ".new";
  const auto text = line + "\n";
  const int fd = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return io_error("writing", draft);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const auto why = errno;
  ::close(fd);
  errno = why;
  if (!written)
    return io_error("writing", draft);
  if (::rename(draft.c_str(), path.c_str()) != 0)
    return io_error("renaming", draft);
  const int dir = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = dir >= 0 && ::fsync(dir) == 0;
  if (dir >= 0)
    ::close(dir);
  return synced ? result<void>{} : result<void>{io_error("syncing", folder)};
}

result<std::string> random_id() {
  unsigned char bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
    return io_error("reading random bytes for", "agent-id");
  std::string id;
  for (auto b : bytes) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", b);
    id += hex;
  }
  return id;
}

} // namespace

result<state_dir> state_dir::open(const std::string& path) {
  std::error_code fault;
  if (std::filesystem::create_directories(path, fault))
    ::chmod(path.c_str(), 0700);
  else if (fault)
    return {errc::state_io, "making the state directory " + path + ": " + fault.message()};

  state_dir dir;
  const auto lock = path + "/lock";
  dir.lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (dir.lock_ < 0)
    return io_error("opening", lock);
  if (::flock(dir.lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return io_error("locking", lock);
    const auto holder = read_line(lock);
    return {errc::state_locked, "the state directory " + path + " is in use by process "
                                  + (holder && *holder ? **holder : std::string{"?"})
                                  + "; every agent needs a state directory of its own"};
  }
  // For people who meet the lock; the lock itself is the kernel's.
  const auto pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(dir.lock_, 0) != 0 || ::pwrite(dir.lock_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return io_error("writing", lock);

  auto id = read_line(path + "/agent-id");
  if (!id)
    return id.err();
  if (*id && !is_valid_token_id(**id))
    return {errc::state_io, path + "/agent-id does not hold an agent id; restore it, or remove it to become a new installation"};
  if (!*id) {
    auto made = random_id();
    if (!made)
      return made.err();
    if (auto written = write_line(path, "agent-id", *made); !written)
      return written.err();
    *id = *made;
  }
  dir.id_.value = **id;

  auto last = read_line(path + "/incarnation");
  if (!last)
    return last.err();
  if (*last) {
    const auto& text = **last;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), dir.incarnation_);
    if (wrong != std::errc{} || end != text.data() + text.size())
      return {errc::state_io, path + "/incarnation does not hold a number; remove " + path + " to become a new installation"};
  }
  ++dir.incarnation_;
  if (auto written = write_line(path, "incarnation", std::to_string(dir.incarnation_)); !written)
    return written.err();
  return dir;
}

state_dir::state_dir(state_dir&& other) noexcept
  : lock_(std::exchange(other.lock_, -1)),
    id_(std::move(other.id_)),
    incarnation_(other.incarnation_) {}

state_dir& state_dir::operator=(state_dir&& other) noexcept {
  if (this != &other) {
    if (lock_ >= 0)
      ::close(lock_);
    lock_ = std::exchange(other.lock_, -1);
    id_ = std::move(other.id_);
    incarnation_ = other.incarnation_;
  }
  return *this;
}

state_dir::~state_dir() {
  if (lock_ >= 0)
    ::close(lock_); // Lets go of the lock.
}

} // namespace sallyport::runtime
