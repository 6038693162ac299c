// Records as they lie in LMDB, damaged. The input is a row of operations on four keys: write through the store's own code, flip a bit,
// write anything with and without a valid crc, read. Content comes back as it was written or not at all.
#include "cloud/store/checksum.hpp"
#include "cloud/store/lmdb_records.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

namespace {

using namespace sallyport;
using namespace sallyport::cloud;
using namespace sallyport::cloud::lmdb_records;

struct environment {
  MDB_env* env = nullptr;
  trees in;

  environment() {
    char folder[] = "/tmp/sallyport-fuzz-XXXXXX";
    SALLYPORT_ASSERT(::mkdtemp(folder) != nullptr);
    const auto path = std::string{folder} + "/data";
    SALLYPORT_ASSERT(mdb_env_create(&env) == 0);
    SALLYPORT_ASSERT(mdb_env_set_mapsize(env, 4 << 20) == 0);
    SALLYPORT_ASSERT(mdb_env_set_maxdbs(env, 4) == 0);
    SALLYPORT_ASSERT(mdb_env_open(env, path.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600) == 0);
    ::unlink(path.c_str()); // The mapping keeps it; nothing is left behind.
    ::rmdir(folder);
    MDB_txn* txn = nullptr;
    SALLYPORT_ASSERT(mdb_txn_begin(env, nullptr, 0, &txn) == 0);
    SALLYPORT_ASSERT(mdb_dbi_open(txn, "header", MDB_CREATE, &in.header) == 0);
    SALLYPORT_ASSERT(mdb_dbi_open(txn, "meta", MDB_CREATE, &in.meta) == 0);
    SALLYPORT_ASSERT(mdb_dbi_open(txn, "content", MDB_CREATE, &in.content) == 0);
    SALLYPORT_ASSERT(mdb_dbi_open(txn, "chunks", MDB_CREATE, &in.chunks) == 0);
    SALLYPORT_ASSERT(mdb_txn_commit(txn) == 0);
  }
};

const std::array<std::string, 4> keys{"a", "b", std::string{"b\0\0\0\0", 5}, "header"};

std::string sealed(std::string_view key, std::string_view body) {
  const auto crc = crc32c_portable(crc32c_portable(0, key), body);
  std::string out;
  for (int shift = 0; shift < 32; shift += 8)
    out.push_back(static_cast<char>(crc >> shift));
  return out.append(body);
}

struct life {
  MDB_txn* txn = nullptr;
  const trees& in;
  std::map<std::string, std::string> written; // Content, by the store's own code.
  std::set<std::string> forged;               // Keys whose records may be anything.

  explicit life(const environment& e) : in(e.in) { SALLYPORT_ASSERT(mdb_txn_begin(e.env, nullptr, 0, &txn) == 0); }
  life(const life&) = delete;
  life& operator=(const life&) = delete;
  ~life() { mdb_txn_abort(txn); }

  MDB_dbi tree_of(std::uint8_t n) const { return std::array{in.header, in.meta, in.content, in.chunks}[n % 4]; }

  void write(const std::string& key, std::size_t size, std::uint8_t fill) {
    std::string value(size, static_cast<char>(fill));
    byte_count bytes;
    const int rc = apply(txn, in, {{tree::content, change::kind::put, key, value, {}}}, &bytes);
    SALLYPORT_ASSERT(rc == 0 || rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == MDB_BAD_TXN);
    if (rc == 0)
      written[key] = std::move(value);
    else
      forged.insert(keys.begin(), keys.end()); // The transaction is to be given up.
  }
  void erase(const std::string& key) {
    byte_count bytes;
    if (apply(txn, in, {{tree::content, change::kind::del, key, {}, {}}}, &bytes) == 0)
      written.erase(key);
  }
  void put(MDB_dbi where, const std::string& key, std::string_view stored) {
    auto k = as_val(key), v = as_val(stored);
    forged.insert(keys.begin(), keys.end()); // A piece's key may be another's record.
    (void)mdb_put(txn, where, &k, &v, 0);
  }
  void flip(MDB_dbi where, std::uint16_t bit, std::uint8_t which) {
    MDB_cursor* cursor = nullptr;
    if (mdb_cursor_open(txn, where, &cursor) != 0)
      return;
    MDB_val k, v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    for (int i = which % 8; rc == 0 && i > 0; --i)
      if (const int next = mdb_cursor_get(cursor, &k, &v, MDB_NEXT))
        rc = next;
    if (rc == 0 && v.mv_size > 0) {
      std::string value{as_view(v)}, key{as_view(k)};
      value[bit / 8 % value.size()] ^= static_cast<char>(1 << bit % 8);
      auto stored = as_val(value), name = as_val(key);
      (void)mdb_cursor_put(cursor, &name, &stored, 0);
    }
    mdb_cursor_close(cursor);
  }
  void read(const std::string& key) {
    std::shared_ptr<const std::string> content;
    const int rc = read_content(txn, in, key, &content);
    if (rc == 0)
      SALLYPORT_ASSERT(content != nullptr);
    if (forged.count(key) == 0 && rc == 0) {
      SALLYPORT_ASSERT(written.count(key) == 1);
      SALLYPORT_ASSERT(*content == written[key]);
    }
  }
  void head() {
    header h;
    (void)read_header(txn, in, 1, &h);
    if (write_header(txn, in, {1, 7, 8}) != 0)
      return;
    SALLYPORT_ASSERT(read_header(txn, in, 1, &h) == 0);
    SALLYPORT_ASSERT(h.epoch == 7 && h.tail == 8);
  }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const environment shared;
  life now{shared};
  fuzz::bytes in{fuzz::as_text(data, size)};
  for (int i = 0; i < 64 && !in.empty(); ++i) {
    const auto what = in.byte() % 8;
    const auto& key = keys[in.byte() % keys.size()];
    switch (what) {
      case 0: { // Small values, and such that lie in up to nine pieces.
        const auto length = in.two();
        now.write(key, length % 32768, in.byte());
        break;
      }
      case 1: now.erase(key); break;
      case 2: {
        const auto bit = in.two();
        const auto which = in.byte();
        now.flip(which & 8 ? now.in.content : now.in.chunks, bit, which);
        break;
      }
      case 3: {
        const auto where = now.tree_of(in.byte());
        now.put(where, key, in.slice(in.byte()));
        break;
      }
      case 4: {
        const auto where = now.tree_of(in.byte());
        now.put(where, key, sealed(key, in.slice(in.byte())));
        break;
      }
      case 5: now.head(); break;
      case 6: {
        const auto stored = in.slice(in.byte());
        const auto value = meta_value(key, stored);
        SALLYPORT_ASSERT(value.has_value() == (stored.size() >= 4 && sealed(key, stored.substr(4)) == stored));
        break;
      }
      default: now.read(key);
    }
  }
  for (const auto& key : keys)
    now.read(key);
  return 0;
}
