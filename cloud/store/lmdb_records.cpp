#include "cloud/store/lmdb_records.hpp"

#include "cloud/store/bytes.hpp"
#include "cloud/store/checksum.hpp"
#include "protocol/assert.hpp"

#include <algorithm>
#include <cstring>

namespace sallyport::cloud::lmdb_records {
namespace {

constexpr std::size_t crc_bytes = 4;

// A long value is cut into pieces of exactly one page each. LMDB would store it in neighbouring pages, and looks for such a run
// through its whole free list: slow in a store that has aged, and a reason to be "full" with half of the pages free.
constexpr std::size_t piece_bytes = 4096 - 16 - crc_bytes;
enum class value_form : char { whole = 0, pieces = 1 };
constexpr std::size_t manifest_bytes = 1 + 8; // form, length

constexpr std::string_view header_key = "header";
constexpr std::string_view header_magic = "SALLYPRT";
constexpr std::size_t header_bytes = 32;

std::uint32_t header_crc(const char* bytes) {
  return crc32c(crc32c(0, {bytes, 12}), {bytes + 16, 16});
}

void seal(std::string_view key, char* stored, std::size_t size) {
  write_little(stored, crc32c(crc32c(0, key), {stored + crc_bytes, size - crc_bytes}));
}

// What follows the crc, or nothing when it does not match.
std::optional<std::string_view> unseal(std::string_view key, std::string_view stored) {
  if (stored.size() < crc_bytes)
    return std::nullopt;
  const auto body = stored.substr(crc_bytes);
  if (read_little<std::uint32_t>(stored.data()) != crc32c(crc32c(0, key), body))
    return std::nullopt;
  return body;
}

// A tree under change, its keys visited in rising order. Keys beyond the last one are appended without a search, and leave full
// pages behind instead of half-full ones.
class tree_writer {
public:
  tree_writer() = default;
  tree_writer(const tree_writer&) = delete;
  tree_writer& operator=(const tree_writer&) = delete;
  ~tree_writer() {
    if (cursor_)
      mdb_cursor_close(cursor_);
  }

  int begin(MDB_txn* txn, MDB_dbi tree) {
    if (const int rc = mdb_cursor_open(txn, tree, &cursor_))
      return rc;
    MDB_val key, value;
    const int rc = mdb_cursor_get(cursor_, &key, &value, MDB_LAST);
    if (rc == 0)
      last_ = as_view(key);
    return rc == MDB_NOTFOUND ? 0 : rc;
  }

  // Nothing in `value` when there is none.
  int find(std::string_view key, std::optional<std::string_view>* value) {
    value->reset();
    if (key > last_)
      return 0;
    auto wanted = as_val(key);
    MDB_val stored;
    const int rc = mdb_cursor_get(cursor_, &wanted, &stored, MDB_SET);
    if (rc == 0)
      *value = as_view(stored);
    return rc == MDB_NOTFOUND ? 0 : rc;
  }

  // Writes head and tail, one after the other, under a crc.
  int put(std::string_view key, std::string_view head, std::string_view tail) {
    const bool beyond = key > last_;
    auto wanted = as_val(key);
    MDB_val space{crc_bytes + head.size() + tail.size(), nullptr};
    if (const int rc = mdb_cursor_put(cursor_, &wanted, &space, MDB_RESERVE | (beyond ? MDB_APPEND : 0)))
      return rc;
    if (beyond)
      last_ = key;
    auto* at = static_cast<char*>(space.mv_data);
    std::copy(tail.begin(), tail.end(), std::copy(head.begin(), head.end(), at + crc_bytes));
    seal(key, at, space.mv_size);
    return 0;
  }

  // What find has just found.
  int erase_found() { return mdb_cursor_del(cursor_, 0); }

private:
  MDB_cursor* cursor_ = nullptr;
  // Not below the last key of the tree. No key is empty, so an empty tree has every key beyond it.
  std::string last_;
};

std::uint64_t pieces_of(std::uint64_t value_bytes) {
  return (value_bytes + piece_bytes - 1) / piece_bytes;
}

// Unique: two of these are equal only when their keys are, whatever the keys end with, because they are then equally long.
std::string piece_key(std::string_view key, std::uint32_t piece) {
  std::string whole{key};
  for (int shift = 24; shift >= 0; shift -= 8)
    whole.push_back(static_cast<char>(piece >> shift));
  return whole;
}

// Of a content record: the length of a value that lies in pieces; nothing when it is whole. False when it is neither.
bool read_form(std::string_view body, std::optional<std::uint64_t>* in_pieces) {
  in_pieces->reset();
  if (!body.empty() && body[0] == static_cast<char>(value_form::whole))
    return true;
  if (body.size() != manifest_bytes || body[0] != static_cast<char>(value_form::pieces))
    return false;
  *in_pieces = read_little<std::uint64_t>(body.data() + 1);
  return true;
}

// The content record under a key: its value, or the length of the one that lies in pieces.
int find_content(MDB_txn* txn, const trees& in, std::string_view key, std::string_view* whole,
                 std::optional<std::uint64_t>* in_pieces) {
  if (key.empty() || key.size() > key_bytes_max)
    return MDB_NOTFOUND;
  auto wanted = as_val(key);
  MDB_val stored;
  if (const int rc = mdb_get(txn, in.content, &wanted, &stored))
    return rc;
  const auto body = unseal(key, as_view(stored));
  if (!body || !read_form(*body, in_pieces))
    return record_damaged;
  *whole = body->substr(1);
  return 0;
}

// Asks for nothing but what is there: a damaged payload must not keep its message from ending.
int erase_pieces(tree_writer& chunks, std::string_view key, byte_count* bytes) {
  for (std::uint32_t piece = 0;; ++piece) {
    std::optional<std::string_view> old;
    const int rc = chunks.find(piece_key(key, piece), &old);
    if (rc != 0 || !old)
      return rc;
    bytes->removed += old->size() - std::min(old->size(), crc_bytes);
    if (const int erased = chunks.erase_found())
      return erased;
  }
}

int put_content(tree_writer& content, tree_writer& chunks, std::string_view key, std::string_view value) {
  char manifest[manifest_bytes] = {static_cast<char>(value_form::whole)};
  if (value.size() < piece_bytes)
    return content.put(key, {manifest, 1}, value);
  manifest[0] = static_cast<char>(value_form::pieces);
  write_little(manifest + 1, static_cast<std::uint64_t>(value.size()));
  int rc = content.put(key, {manifest, sizeof manifest}, {});
  for (std::uint32_t piece = 0; rc == 0 && piece < pieces_of(value.size()); ++piece)
    rc = chunks.put(piece_key(key, piece), {}, value.substr(piece * piece_bytes, piece_bytes));
  return rc;
}

int apply_meta(tree_writer& meta, const change& c, byte_count* bytes) {
  std::optional<std::string_view> old;
  if (const int rc = meta.find(c.key, &old))
    return rc;
  if (old)
    bytes->removed += c.key.size() + old->size() - std::min(old->size(), crc_bytes);
  if (c.what == change::kind::put) {
    bytes->added += c.key.size() + c.bytes().size();
    return meta.put(c.key, {}, c.bytes());
  }
  return old ? meta.erase_found() : 0;
}

int apply_content(tree_writer& content, tree_writer& chunks, const change& c, byte_count* bytes) {
  std::optional<std::string_view> old;
  int rc = content.find(c.key, &old);
  if (rc == 0 && old) {
    const bool whole = old->size() > crc_bytes && (*old)[crc_bytes] == static_cast<char>(value_form::whole);
    bytes->removed += c.key.size() + (whole ? old->size() - crc_bytes - 1 : 0);
    if (!whole)
      rc = erase_pieces(chunks, c.key, bytes);
    if (rc == 0 && c.what == change::kind::del)
      rc = content.erase_found();
  }
  if (rc != 0 || c.what == change::kind::del)
    return rc;
  bytes->added += c.key.size() + c.bytes().size();
  return put_content(content, chunks, c.key, c.bytes());
}

} // namespace

int read_header(MDB_txn* txn, const trees& in, std::uint32_t known, header* h) {
  auto key = as_val(header_key);
  MDB_val value;
  if (const int rc = mdb_get(txn, in.header, &key, &value))
    return rc;
  const auto stored = as_view(value);
  if (stored.size() < 12 || stored.substr(0, header_magic.size()) != header_magic)
    return record_damaged;
  *h = {read_little<std::uint32_t>(stored.data() + 8), 0, 0};
  if (h->format == 0 || h->format > known)
    return 0;
  if (stored.size() != header_bytes || read_little<std::uint32_t>(stored.data() + 12) != header_crc(stored.data()))
    return record_damaged;
  h->epoch = read_little<std::uint64_t>(stored.data() + 16);
  h->tail = read_little<std::uint64_t>(stored.data() + 24);
  return 0;
}

int write_header(MDB_txn* txn, const trees& in, const header& h) {
  char bytes[header_bytes];
  std::memcpy(bytes, header_magic.data(), header_magic.size());
  write_little(bytes + 8, h.format);
  write_little(bytes + 16, h.epoch);
  write_little(bytes + 24, h.tail);
  write_little(bytes + 12, header_crc(bytes));
  auto key = as_val(header_key);
  auto value = as_val({bytes, sizeof bytes});
  return mdb_put(txn, in.header, &key, &value, 0);
}

int apply(MDB_txn* txn, const trees& in, const batch& changes, byte_count* bytes) {
  tree_writer meta, content, chunks;
  int rc = meta.begin(txn, in.meta);
  if (rc == 0)
    rc = content.begin(txn, in.content);
  if (rc == 0)
    rc = chunks.begin(txn, in.chunks);
  // In the given order, so later changes win. Sorting them first was measured and saved nothing.
  for (const auto& c : changes) {
    SALLYPORT_ASSERT(!c.key.empty());
    SALLYPORT_ASSERT(c.key.size() <= key_bytes_max);
    if (rc == 0)
      rc = c.where == tree::meta ? apply_meta(meta, c, bytes) : apply_content(content, chunks, c, bytes);
  }
  return rc;
}

std::optional<std::string_view> meta_value(std::string_view key, std::string_view stored) {
  return unseal(key, stored);
}

int content_size(MDB_txn* txn, const trees& in, std::string_view key, std::uint64_t* size) {
  std::string_view whole;
  std::optional<std::uint64_t> in_pieces;
  const int rc = find_content(txn, in, key, &whole, &in_pieces);
  if (rc == 0)
    *size = in_pieces.value_or(whole.size());
  return rc;
}

int read_content(MDB_txn* txn, const trees& in, std::string_view key, std::shared_ptr<const std::string>* content) {
  std::string_view short_value;
  std::optional<std::uint64_t> in_pieces;
  if (const int found = find_content(txn, in, key, &short_value, &in_pieces))
    return found;
  if (!in_pieces) {
    *content = std::make_shared<const std::string>(short_value);
    return 0;
  }
  auto whole = std::make_shared<std::string>();
  MDB_val stored;
  whole->reserve(std::min<std::uint64_t>(*in_pieces, 16 << 20)); // The length may be damaged in spite of its crc.
  MDB_cursor* cursor = nullptr;
  int rc = mdb_cursor_open(txn, in.chunks, &cursor);
  for (std::uint32_t piece = 0; rc == 0 && piece < pieces_of(*in_pieces); ++piece) {
    // By its own key: the pieces of a key that goes on with zeros may lie between.
    const auto name = piece_key(key, piece);
    auto at = as_val(name);
    rc = mdb_cursor_get(cursor, &at, &stored, MDB_SET);
    if (rc != 0)
      break;
    if (const auto part = unseal(name, as_view(stored)))
      whole->append(*part);
    else
      rc = record_damaged;
  }
  if (cursor)
    mdb_cursor_close(cursor);
  if (rc == MDB_NOTFOUND || (rc == 0 && whole->size() != *in_pieces))
    return record_damaged; // The key is there, so its pieces must be.
  *content = std::move(whole);
  return rc;
}

} // namespace sallyport::cloud::lmdb_records
