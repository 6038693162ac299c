// The journal's file: appends as records, one after the other, each on disk before append() returns. Private to this folder.
//
// A record begins on a multiple of 4096 bytes and fills it up with zeros, so no write touches a block that was acknowledged:
//
//   magic 4, crc 4, epoch 8, tail 8, length 4, count 4, then for each change: kind 1, key length 2, value length 4, key, value
//
// Numbers are little-endian; `tail` is the store's before the append; the crc is CRC-32C over the file's salt and what follows. The
// first block holds magic 8, salt 16, crc 4, and is never written again. There is no end mark: what the file holds is the run of whole
// records after the first block whose tails rise by one. After a checkpoint writing
// begins at the front again; what is left of the last round behind it has lower tails, and so is never taken for a continuation.
//
// One thread at a time. Blocks are written before they are used, so that a sync has no metadata of the file system to write.
#pragma once

#include "cloud/store/lmdb_files.hpp"
#include "cloud/store/port.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace sallyport::cloud {

class journal {
public:
  journal(std::filesystem::path file, std::uint64_t bytes_max) : file_(std::move(file)), bytes_max_(bytes_max) {}

  /// Opens or makes the file and locks it. Errors: store_locked, store_io, store_damaged (it is no file).
  [[nodiscard]] result<void> open();
  void close();
  /// Closes and removes it: everything it holds is in the store. That it may come back after a crash does no harm.
  void discard();
  [[nodiscard]] bool is_open() const { return static_cast<bool>(handle_); }

  /// What the file holds beyond `tail`, in order, each append's changes with the tail it leads to. Errors: store_io; store_damaged when
  /// it begins beyond `tail`, or a record that cannot be read is followed by later ones.
  [[nodiscard]] result<void> recover(std::uint64_t tail,
                                     const std::function<void(std::uint64_t new_tail, batch changes)>& visitor);

  enum class verdict : std::uint8_t {
    durable,
    no_room,     // Nothing was written that counts: the file is at its end, or cannot grow.
    failed,      // The write failed, the record may be there or not.
    sync_failed, // The record may be there or not, and pages can no longer be trusted.
  };
  [[nodiscard]] verdict append(epoch_number epoch, std::uint64_t tail, const batch& changes);
  /// errno of the last append that failed, or of an open that could not make the file.
  [[nodiscard]] int reason() const { return reason_; }

  /// All there is has come to the store: the next record goes to the front.
  void rewind() { at_ = front; }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

private:
  static constexpr std::uint64_t front = 4096;
  struct found;
  [[nodiscard]] result<void> create(int fd, const std::filesystem::path& draft);
  [[nodiscard]] verdict grow(std::uint64_t bytes);
  [[nodiscard]] result<std::optional<found>> read_at(std::uint64_t at, std::uint64_t end);

  std::filesystem::path file_;
  std::uint64_t bytes_max_;
  lmdb_files::file_handle handle_;
  std::uint64_t size_ = 0; // Of the file, all of it written.
  std::uint64_t at_ = 0;   // Where the next record goes.
  std::uint32_t salt_ = 0;
  std::string buffer_;
  int reason_ = 0;
};

} // namespace sallyport::cloud
