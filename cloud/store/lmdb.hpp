// The embedded store: one LMDB file in a directory that belongs to one process (ADR 0005).
//
// Owned by the shard host. open, replay and append on one thread at a time (the committer); fetch and space on any. One append is
// one write transaction: two syncs, no write-ahead log, no recovery pass. After a crash, at any moment, open finds the last
// append that was answered, or the one after it that was under way, and never a part of one. Ends with close() or its destructor.
//
// A store has three sizes. reserve_bytes is what the hub keeps enqueues away from (store_space::admits). capacity_bytes is where
// growing batches are refused. Beyond it lies the drain reserve, a sixteenth of the map but 0.5 to 16 MiB, whose blocks are
// allocated ahead: LMDB copies the pages it deletes from, and finds the room for it there even when other programs have filled
// the disk. It carries shrinking batches that touch as many pages (4 KiB; at worst one for each change, and a few). Larger ones
// must be split then.
#pragma once

#include "cloud/store/port.hpp"

#include <filesystem>

namespace sallyport::cloud {

struct lmdb_settings {
  std::filesystem::path directory;
  /// Of address space, not of disk: the file grows as it is filled. At least 4 MiB.
  std::uint64_t map_bytes = std::uint64_t{256} << 30;
  /// At most a quarter of the capacity.
  std::uint64_t reserve_bytes = std::uint64_t{64} << 20;
};

class lmdb_store final : public store_port {
public:
  explicit lmdb_store(lmdb_settings settings);
  ~lmdb_store() override;

  result<opened_store> open(epoch_number at_least) override;
  result<void> replay(const std::function<void(std::string_view, std::string_view)>& visitor) override;
  append_outcome append(epoch_number epoch, std::uint64_t tail, const batch& changes) override;
  result<std::shared_ptr<const std::string>> fetch(std::string_view key) override;
  store_space space() override;
  void close() override;

private:
  struct body;
  std::unique_ptr<body> body_;
};

/// The format this program writes. A store of a higher one is refused with store_newer.
inline constexpr std::uint32_t lmdb_store_format = 1;

} // namespace sallyport::cloud
