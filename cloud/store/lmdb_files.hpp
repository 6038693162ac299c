// The files around LMDB: what must be true of the directory before LMDB may touch it. Private to this folder.
//
//   DIR/store.mdb        the data; appears by rename, so it is whole from its first moment
//   DIR/store.mdb-lock   LMDB's reader table; rebuilt at every open
//   DIR/owner.lock       flock'ed by the owner; holds its process id for whoever is refused
#pragma once

#include "protocol/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace sallyport::cloud::lmdb_files {

/// A file descriptor that closes itself.
class file_handle {
public:
  file_handle() = default;
  explicit file_handle(int fd) : fd_(fd) {}
  file_handle(file_handle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  file_handle& operator=(file_handle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~file_handle();
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

/// Makes the directory and its missing parents, each fsynced into the one above. A thing of that name that is no directory is
/// damage.
[[nodiscard]] result<void> make_directory(const std::filesystem::path& directory);
[[nodiscard]] result<void> sync_directory(const std::filesystem::path& directory);

/// Exclusive ownership, until the handle closes or the process dies. Errors: store_locked naming the holder, store_io.
[[nodiscard]] result<file_handle> take_ownership(const std::filesystem::path& directory);

/// Whether the file is an LMDB file that can be read without a crash: sizes, both headers, the free list, every page of the meta
/// tree and every inner page of the others. LMDB itself trusts what it maps, and would run into SIGBUS or SIGSEGV instead of an
/// error. Reads with pread, so that a bad sector is an error too. Payload pages are not read. Errors: store_damaged, store_newer,
/// store_io.
[[nodiscard]] result<void> check_file(const std::filesystem::path& file);

/// "cannot <what> <path>: <reason>", with errno's reason.
[[nodiscard]] error io_error(std::string_view what, const std::filesystem::path& path, int reason);

} // namespace sallyport::cloud::lmdb_files
