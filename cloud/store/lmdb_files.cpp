#include "cloud/store/lmdb_files.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sallyport::cloud::lmdb_files {
namespace fs = std::filesystem;

file_handle::~file_handle() {
  if (fd_ >= 0)
    ::close(fd_);
}

error io_error(std::string_view what, const fs::path& path, int reason) {
  return make_error(errc::store_io,
                    "cannot " + std::string{what} + " " + path.string() + ": " + std::generic_category().message(reason));
}

result<void> sync_directory(const fs::path& directory) {
  const file_handle handle{::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!handle)
    return io_error("open the directory", directory, errno);
  // Some file systems cannot sync a directory and say EINVAL; they keep names in order by themselves.
  if (::fsync(handle.get()) != 0 && errno != EINVAL)
    return io_error("sync the directory", directory, errno);
  return {};
}

result<void> make_directory(const fs::path& directory) {
  std::error_code reason;
  const auto status = fs::status(directory, reason);
  if (fs::is_directory(status))
    return {};
  if (fs::exists(status) || reason == std::errc::not_a_directory)
    return {errc::store_damaged, directory.string() + " is not a directory; name an empty or a new one as the data directory"};
  if (const auto parent = directory.parent_path(); !parent.empty() && parent != directory)
    if (auto made = make_directory(parent); !made)
      return made;
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return io_error("make the directory", directory, errno);
  return sync_directory(directory.parent_path());
}

result<file_handle> take_ownership(const fs::path& directory) {
  const auto path = directory / "owner.lock";
  file_handle handle{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (!handle)
    return io_error("open the lock file", path, errno);
  if (::flock(handle.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return io_error("lock", path, errno);
    char text[32] = {};
    const auto length = ::pread(handle.get(), text, sizeof text - 1, 0);
    std::string holder{text, length > 0 ? static_cast<std::size_t>(length) : 0};
    while (!holder.empty() && holder.back() == '\n')
      holder.pop_back();
    return {errc::store_locked, directory.string() + " is in use by process " + (holder.empty() ? "(unknown)" : holder)};
  }
  // Not durable and need not be: it is read only while the process it names is alive.
  const auto text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(handle.get(), 0) != 0 || ::pwrite(handle.get(), text.data(), text.size(), 0) < 0) {
    // A full disk must not keep the owner out: it comes to drain. The lock holds without the name.
    if (errno != ENOSPC && errno != EDQUOT)
      return io_error("write", path, errno);
  }
  return handle;
}

} // namespace sallyport::cloud::lmdb_files
