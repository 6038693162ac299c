// The store port: what the shard needs of a disk, and nothing more. Implementations: lmdb (embedded default), memory (tests,
// simulation).
//
// One shard owns one store. open/append/replay are called from one thread at a time (the committer); fetch and space may be
// called from any thread while the store is open. tests/cloud/store/conformance.hpp is the contract in executable form.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/result.hpp"

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::cloud {

/// Metadata is replayed into memory at open; content (payloads, results) is only ever fetched by key.
enum class tree : std::uint8_t { meta, content };

inline constexpr std::size_t key_bytes_max = 400;

/// A record's key, 1 to key_bytes_max bytes. Those of messages, 17 bytes, lie in place: there are several for every message that passes.
class record_key {
public:
  record_key() = default;
  record_key(std::string_view key) { // NOLINT(google-explicit-constructor): a key is its bytes.
    if (key.size() <= sizeof short_)
      std::memcpy(short_, key.data(), key.size());
    else
      long_ = key;
    size_ = static_cast<std::uint16_t>(key.size());
  }
  record_key(const std::string& key) : record_key(std::string_view{key}) {} // NOLINT(google-explicit-constructor)
  record_key(const char* key) : record_key(std::string_view{key}) {}        // NOLINT(google-explicit-constructor)

  operator std::string_view() const { // NOLINT(google-explicit-constructor)
    return size_ <= sizeof short_ ? std::string_view{short_, size_} : std::string_view{long_};
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

private:
  std::uint16_t size_ = 0;
  char short_[22] = {};
  std::string long_;
};

/// One change. Keys that rise with time are cheap, random keys cost several times more.
struct change {
  enum class kind : std::uint8_t { put, del };
  tree where = tree::meta;
  kind what = kind::put;
  record_key key;
  /// Put only. Either owned here or shared with whoever made the bytes.
  std::string value;
  std::shared_ptr<const std::string> shared_value;
  [[nodiscard]] std::string_view bytes() const {
    return shared_value ? std::string_view{*shared_value} : std::string_view{value};
  }
};
using batch = std::vector<change>;

enum class append_status : std::uint8_t {
  durable, // On disk, whole.
  fenced,  // Another owner has opened the store since; nothing was changed.
  full,    // No room in the map or on the disk; nothing was changed.
  failed,  // Nothing was changed.
  unknown, // It may or may not be there: reopen and look. After a failed sync the process must end.
};
struct append_outcome {
  append_status status = append_status::failed;
  std::uint64_t tail = 0;   // durable: the new tail.
  std::string detail;       // Otherwise: what the system said.
  bool sync_failed = false; // unknown: pages can no longer be trusted; end the process.
};

struct opened_store {
  epoch_number epoch;
  std::uint64_t tail = 0;
};

/// Why an append is refused that was decided on under another epoch or tail than the store has; nothing when it was not.
[[nodiscard]] inline std::optional<append_outcome> fenced(const opened_store& stored, epoch_number epoch, std::uint64_t tail) {
  const auto refused = [](std::string_view what, std::uint64_t is, std::uint64_t was) {
    return append_outcome{append_status::fenced, 0,
                          "the store's " + std::string{what} + " is " + std::to_string(is) + ", not " + std::to_string(was)};
  };
  if (epoch != stored.epoch)
    return refused("epoch", stored.epoch.value, epoch.value);
  if (tail != stored.tail)
    return refused("tail", stored.tail, tail);
  return std::nullopt;
}

struct store_space {
  std::uint64_t used_bytes = 0;
  /// How far growing batches may fill the store. What shrinking ones need lies beyond it and is not counted.
  std::uint64_t capacity_bytes = 0;
  /// What the disk can still give: free in the file system, or owned by the store and unused.
  std::uint64_t disk_free_bytes = 0;
  /// To be left alone by enqueues, so that settling, redriving and expiring have room to write.
  std::uint64_t reserve_bytes = 0;

  /// The high-water mark: whether `more` bytes of new messages may come in.
  [[nodiscard]] bool admits(std::uint64_t more) const {
    return used_bytes + reserve_bytes + more <= capacity_bytes && reserve_bytes + more <= disk_free_bytes;
  }
};

class store_port {
public:
  virtual ~store_port() = default;

  /// Takes ownership. The epoch is durable before this returns and is max(stored + 1, at_least). Errors: store_locked,
  /// store_damaged, store_newer, store_io.
  virtual result<opened_store> open(epoch_number at_least) = 0;

  /// Visits every live record of the meta tree in key order. The views are valid during the call only.
  virtual result<void> replay(const std::function<void(std::string_view key, std::string_view value)>& visitor) = 0;

  /// Atomic; durable on return when it says so. A stale epoch or tail changes nothing (fenced). Within a batch later changes win;
  /// to delete what is not there is no error. A batch that grows the store is refused (full) at its capacity; one that removes at
  /// least as many bytes as it adds may go on, so that a full store can be drained. Keys are 1 to 400 bytes.
  virtual append_outcome append(epoch_number epoch, std::uint64_t tail, const batch& changes) = 0;

  /// The content under a key, or nothing when there is none. Errors: store_io.
  virtual result<std::shared_ptr<const std::string>> fetch(std::string_view key) = 0;

  virtual store_space space() = 0;

  /// Lets go of the lock and of all memory. The store may be opened again.
  virtual void close() = 0;
};

} // namespace sallyport::cloud
