// A store in memory, for tests and simulation. The disk outlives the store, so that a test can crash a hub and open its store
// again.
//
// Unlike the embedded store it takes over: a second store opened on the same disk fences the first, as a distributed store would.
// The disk may be shared by any threads; a store is used like every store_port.
#pragma once

#include "cloud/store/port.hpp"

#include <map>
#include <mutex>
#include <optional>

namespace sallyport::cloud {

/// What survives: records, epoch, tail; and the faults a test has ordered.
class memory_disk {
public:
  /// Keys and values count, nothing else. May shrink below what is used: then only shrinking batches pass.
  void set_capacity(std::uint64_t bytes, std::uint64_t reserve_bytes = 0);
  /// The next append answers this instead. `applied` says whether an unknown append reached the disk all the same.
  void fail_next_append(append_outcome outcome, bool applied = false);
  void fail_next_open(error fault);
  void fail_next_fetch(error fault);

  /// For assertions: every live record of a tree.
  [[nodiscard]] std::map<std::string, std::string> records(tree where) const;
  [[nodiscard]] std::uint64_t appends() const;

private:
  friend class memory_store;
  using record_map = std::map<std::string, std::shared_ptr<const std::string>, std::less<>>;

  append_outcome append(epoch_number epoch, std::uint64_t tail, const batch& changes);
  record_map& records_of(tree where) { return where == tree::meta ? meta_ : content_; }

  mutable std::mutex mutex_;
  record_map meta_;
  record_map content_;
  std::uint64_t epoch_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t used_ = 0;
  std::uint64_t capacity_ = std::uint64_t{1} << 50;
  std::uint64_t reserve_ = 0;
  std::uint64_t appends_ = 0;
  struct ordered_append {
    append_outcome outcome;
    bool applied = false;
  };
  std::optional<ordered_append> next_append_;
  std::optional<error> next_open_;
  std::optional<error> next_fetch_;
};

class memory_store final : public store_port {
public:
  explicit memory_store(std::shared_ptr<memory_disk> disk) : disk_(std::move(disk)) {}

  result<opened_store> open(epoch_number at_least) override;
  result<void> replay(const std::function<void(std::string_view, std::string_view)>& visitor) override;
  append_outcome append(epoch_number epoch, std::uint64_t tail, const batch& changes) override;
  result<std::shared_ptr<const std::string>> fetch(std::string_view key) override;
  store_space space() override;
  void close() override;

private:
  std::shared_ptr<memory_disk> disk_;
  bool open_ = false; // Guarded by the disk's mutex.
};

} // namespace sallyport::cloud
