// How records lie in LMDB's trees, and how a batch changes them. Private to this folder; no state, any thread that has the
// transaction.
//
//   tree      key                  value
//   header    "header"             magic 8, format 4, crc 4, epoch 8, tail 8
//   meta      as given             crc 4, value
//   content   as given             crc 4, form 1, then the value, or its length 8 when it lies in pieces
//   chunks    key, piece number 4  crc 4, piece
//
// Numbers are little-endian, piece numbers big-endian so that pieces lie in order. A crc is CRC-32C over the key and what follows
// it: a record that was changed, cut or swapped by the disk is noticed when it is read, and is never delivered.
#pragma once

#include "cloud/store/port.hpp"

#include <lmdb.h>

#include <optional>

namespace sallyport::cloud::lmdb_records {

/// Beside LMDB's own codes: a record is there, and not what was written.
inline constexpr int record_damaged = -1;

struct trees {
  MDB_dbi header = 0;
  MDB_dbi meta = 0;
  MDB_dbi content = 0;
  MDB_dbi chunks = 0;
};

struct header {
  std::uint32_t format = 0;
  std::uint64_t epoch = 0;
  std::uint64_t tail = 0;
};
/// record_damaged when it is not a header of ours. Of a format beyond `known` only the format is given: the rest may mean anything.
[[nodiscard]] int read_header(MDB_txn* txn, const trees& in, std::uint32_t known, header* h);
[[nodiscard]] int write_header(MDB_txn* txn, const trees& in, const header& h);

/// Keys and values, as the caller sees them.
struct byte_count {
  std::uint64_t added = 0;
  std::uint64_t removed = 0;
};
/// Within a batch the last change of a key wins. The transaction must be given up when this is not 0.
[[nodiscard]] int apply(MDB_txn* txn, const trees& in, const batch& changes, byte_count* bytes);

/// A meta record's value, from what is stored; nothing when it is damaged.
[[nodiscard]] std::optional<std::string_view> meta_value(std::string_view key, std::string_view stored);
/// A copy of the content under a key; MDB_NOTFOUND when there is none.
[[nodiscard]] int read_content(MDB_txn* txn, const trees& in, std::string_view key, std::shared_ptr<const std::string>* content);

/// How long the content under a key is; MDB_NOTFOUND when there is none, record_damaged when that cannot be said.
[[nodiscard]] int content_size(MDB_txn* txn, const trees& in, std::string_view key, std::uint64_t* size);

[[nodiscard]] inline MDB_val as_val(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};
}
[[nodiscard]] inline std::string_view as_view(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

} // namespace sallyport::cloud::lmdb_records
