// The embedded store with a journal before it: a small append is one write and one sync, where LMDB needs two (ADR 0015).
//
//   append, small ──▶ store.journal (one record, synced) ──▶ pending changes in memory ──▶ at the journal's end, at close, or with
//   append, large ────────────────────────────────────────────────────────────────────────▶ the next large append: one LMDB commit
//
// Owned by the shard host, used like every store_port. After a crash open() brings into LMDB what the journal holds beyond its tail,
// so that the records of one life never outlive the next open. LMDB's directory gains one file, DIR/store.journal; a backup holds both.
//
// The journal takes nothing that LMDB might refuse later: where room in the map or on the disk is not certain, and on a disk that has
// aged to the end of its map, appends go to LMDB as if there were no journal, with its answers.
#pragma once

#include "cloud/store/lmdb.hpp"

namespace sallyport::cloud {

struct journal_settings {
  /// The journal's size at most, on disk; 0: no journal. It begins small and grows to this; so much is pending at most.
  std::uint64_t bytes = std::uint64_t{8} << 20;
  /// Appends with more than this (keys and values), or with more changes, go to LMDB at once: for them the second sync costs less than
  /// writing twice.
  std::uint64_t batch_bytes = std::uint64_t{512} << 10;
  std::uint64_t batch_changes = 1024;
};

class journaled_store final : public store_port {
public:
  journaled_store(lmdb_settings settings, journal_settings journal);
  ~journaled_store() override;

  /// Also: store_damaged when the journal and the store are not of one time, or a record amidst the journal cannot be read.
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

} // namespace sallyport::cloud
