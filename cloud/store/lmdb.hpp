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

  // -- for the journal before it, on the committer like append

  /// What several appends have changed, as one that leads to `new_tail`; those in `then` come last.
  append_outcome append_many(epoch_number epoch, std::uint64_t tail, std::uint64_t new_tail, const batch& changes,
                             const batch& then = {});
  /// Sees to it that append_many will not be short of room for so many changes, which add and remove so many bytes (keys and values),
  /// whatever happens meanwhile: beside the drain reserve the map has pages for them that were never used, and the disk has promised the
  /// blocks. 0; ENOSPC when that cannot be promised; another errno when the file could not be extended or synced.
  [[nodiscard]] int promise_room(std::uint64_t changes, std::uint64_t bytes);
  /// How many bytes of content lie under the keys that a batch deletes or writes over. Errors: store_io, store_damaged.
  [[nodiscard]] result<std::uint64_t> content_bytes_under(const batch& changes);
  /// The last key of a tree, empty when the tree is. Errors: store_io, store_damaged.
  [[nodiscard]] result<std::string> last_key(tree where);

private:
  struct body;
  std::unique_ptr<body> body_;
};

/// The format this program writes; it reads all lower ones, and takes a store that has one over into this. A store of a higher one is
/// refused with store_newer. 1: no journal. 2: store.journal may hold appends beyond the tail.
inline constexpr std::uint32_t lmdb_store_format = 2;

} // namespace sallyport::cloud
