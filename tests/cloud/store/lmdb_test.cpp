// The embedded store and its files: ownership, damage, formats, sizes.
#include "cloud/store/bytes.hpp"
#include "cloud/store/checksum.hpp"
#include "cloud/store/lmdb.hpp"
#include "tests/cloud/store/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include <unistd.h>

namespace sallyport::cloud {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;

class lmdb_store_test : public ::testing::Test {
protected:
  testing::temporary_directory parent{testing::place::memory};
  fs::path directory = parent.path() / "store";
  fs::path file = directory / "store.mdb";

  lmdb_settings settings() const { return {.directory = directory, .map_bytes = 8 << 20}; }

  /// A store with some thousand records in trees of several levels, closed. Its meta tree is returned.
  std::map<std::string, std::string> write_store() {
    lmdb_store store{settings()};
    auto opened = store.open({});
    if (!opened)
      throw std::runtime_error(to_string(opened.err()));
    auto tail = opened->tail;
    for (std::uint64_t round = 0; round < 10; ++round) {
      batch changes;
      for (auto i = round * 100; i < round * 100 + 100; ++i) {
        changes.push_back(testing::put_meta(testing::key_of(i), testing::value_of(i, i % 50 == 0 ? 5'000 : 60)));
        changes.push_back(testing::put_content(testing::key_of(i), testing::value_of(i, i % 100 == 0 ? 9'000 : 600)));
        if (i % 3 == 0 && i >= 100)
          changes.push_back(testing::del(tree::meta, testing::key_of(i - 100)));
      }
      tail = store.append(opened->epoch, tail, changes).tail;
    }
    return testing::replayed(store);
  }

  error open_error() {
    lmdb_store store{settings()};
    auto opened = store.open({});
    return opened ? make_error(errc::internal, "it opened") : opened.err();
  }

  /// errc::internal when the replay went through; it must then have shown what was written.
  static error replay_error(lmdb_store& store, const std::map<std::string, std::string>& expected) {
    std::map<std::string, std::string> records;
    const auto done = store.replay([&](std::string_view key, std::string_view value) { records.emplace(key, value); });
    if (!done)
      return done.err();
    EXPECT_TRUE(records == expected) << "a wrong record was given";
    return make_error(errc::internal, {});
  }

  std::string bytes() const {
    std::ifstream in{file, std::ios::binary};
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  void write_bytes(const std::string& content) const {
    fs::create_directories(directory);
    std::ofstream{file, std::ios::binary | std::ios::trunc} << content;
  }
};

TEST_F(lmdb_store_test, a_directory_is_made_with_its_parents) {
  lmdb_store store{{.directory = parent.path() / "a" / "b" / "c"}};
  ASSERT_TRUE(store.open({}).ok());
  EXPECT_EQ(fs::status(parent.path() / "a" / "b" / "c" / "store.mdb").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_FALSE(fs::exists(parent.path() / "a" / "b" / "c" / "store.mdb.new"));
}

TEST_F(lmdb_store_test, a_creation_cut_short_is_begun_anew) {
  fs::create_directories(directory);
  std::ofstream{directory / "store.mdb.new"} << "half";
  std::ofstream{directory / "store.mdb.new-lock"} << "half";
  lmdb_store store{settings()};
  ASSERT_TRUE(store.open({}).ok());
}

TEST_F(lmdb_store_test, a_second_owner_is_refused_with_the_first_ones_process_id) {
  lmdb_store first{settings()};
  ASSERT_TRUE(first.open({}).ok());
  const auto refused = open_error();
  EXPECT_EQ(refused.code, errc::store_locked);
  EXPECT_THAT(refused.detail, HasSubstr("process " + std::to_string(::getpid())));
  EXPECT_THAT(refused.detail, HasSubstr(directory.string()));
  first.close();
  EXPECT_EQ(open_error().detail, "it opened");
}

TEST_F(lmdb_store_test, a_refused_store_lets_go_of_its_lock) {
  write_bytes("garbage");
  EXPECT_EQ(open_error().code, errc::store_damaged);
  fs::remove(file);
  EXPECT_EQ(open_error().detail, "it opened");
}

TEST_F(lmdb_store_test, a_file_in_place_of_the_directory_is_damage) {
  std::ofstream{directory} << "a file";
  EXPECT_EQ(open_error().code, errc::store_damaged);
  directory = directory / "below";
  EXPECT_EQ(open_error().code, errc::store_damaged);
}

TEST_F(lmdb_store_test, a_directory_in_place_of_the_file_is_damage) {
  fs::create_directories(file);
  const auto refused = open_error();
  EXPECT_EQ(refused.code, errc::store_damaged);
  EXPECT_THAT(refused.detail, HasSubstr(file.string()));
}

TEST_F(lmdb_store_test, garbage_of_any_length_is_damage_and_stays_as_it_was) {
  std::mt19937 random{1};
  for (const std::size_t size : {0, 1, 100, 151, 152, 4'096, 5'000, 8'192, 100'000}) {
    const auto garbage = testing::value_of(random(), size);
    write_bytes(garbage);
    const auto refused = open_error();
    EXPECT_EQ(refused.code, errc::store_damaged) << size << ": " << refused.detail;
    EXPECT_THAT(refused.detail, HasSubstr(file.string()));
    EXPECT_TRUE(bytes() == garbage) << "evidence was changed";
  }
}

TEST_F(lmdb_store_test, a_file_cut_off_anywhere_is_damage) {
  write_store();
  const auto whole = bytes();
  MDB_envinfo info;
  {
    MDB_env* env = nullptr;
    mdb_env_create(&env);
    ASSERT_EQ(mdb_env_open(env, file.c_str(), MDB_NOSUBDIR | MDB_RDONLY, 0600), 0);
    mdb_env_info(env, &info);
    mdb_env_close(env);
  }
  const auto needed = (info.me_last_pgno + 1) * 4096;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{8192}, std::size_t{20'000},
                                 needed / 2, needed - 4096, needed - 1}) {
    write_bytes(whole.substr(0, size));
    const auto refused = open_error();
    EXPECT_EQ(refused.code, errc::store_damaged) << size;
    EXPECT_THAT(refused.detail, HasSubstr("cut off"));
  }
  write_bytes(whole.substr(0, needed));
  EXPECT_EQ(open_error().detail, "it opened");
}

TEST_F(lmdb_store_test, a_page_of_garbage_is_named_or_does_no_harm) {
  const auto expected = write_store();
  const auto whole = bytes();
  std::size_t refusals = 0;
  for (std::size_t page = 0; page < 300 && (page + 1) * 4096 <= whole.size(); ++page) {
    auto spoilt = whole;
    spoilt.replace(page * 4096, 4096, testing::value_of(page, 4096));
    write_bytes(spoilt);
    lmdb_store store{settings()};
    const auto opened = store.open({});
    auto refusal = opened ? replay_error(store, expected) : opened.err();
    if (refusal.code == errc::internal) // A page of payload, or a free one.
      continue;
    ++refusals;
    EXPECT_EQ(refusal.code, errc::store_damaged) << page;
    EXPECT_THAT(refusal.detail, HasSubstr(file.string()));
  }
  EXPECT_GT(refusals, 15u) << "the meta tree alone has more pages";
}

TEST_F(lmdb_store_test, scattered_wrong_bytes_end_no_process_and_give_no_wrong_record) {
  const auto expected = write_store();
  const auto whole = bytes();
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random{seed};
  std::size_t refusals = 0;
  for (int round = 0; round < 150; ++round) {
    auto spoilt = whole;
    for (int i = 0; i < 40; ++i) // Mostly into page headers and offsets, where wrong bytes would lead astray.
      spoilt[(random() % (whole.size() / 4096)) * 4096 + random() % 64] ^= static_cast<char>(1 + random() % 255);
    write_bytes(spoilt);
    lmdb_store store{settings()};
    const auto opened = store.open({});
    const auto refusal = opened ? replay_error(store, expected) : opened.err();
    if (refusal.code == errc::internal)
      continue;
    ++refusals;
    EXPECT_TRUE(refusal.code == errc::store_damaged || refusal.code == errc::store_newer) << to_string(refusal);
  }
  EXPECT_GT(refusals, 50u);
}

TEST_F(lmdb_store_test, a_payload_with_a_wrong_byte_is_never_delivered_and_can_still_be_deleted) {
  const auto whole_payload = testing::value_of(1, 600), piece_payload = testing::value_of(2, 20'000);
  {
    lmdb_store store{settings()};
    const auto opened = store.open({});
    ASSERT_TRUE(opened.ok());
    ASSERT_EQ(store
                .append(opened->epoch, opened->tail,
                        {testing::put_content("one", whole_payload), testing::put_content("two", piece_payload)})
                .status,
              append_status::durable);
  }
  auto spoilt = bytes();
  for (const auto& part : {whole_payload.substr(300, 50), piece_payload.substr(9'000, 50)}) {
    const auto at = spoilt.find(part);
    ASSERT_NE(at, std::string::npos);
    spoilt[at] ^= 1;
  }
  write_bytes(spoilt);
  lmdb_store store{settings()};
  const auto opened = store.open({});
  ASSERT_TRUE(opened.ok());
  for (const auto* key : {"one", "two"}) {
    const auto fetched = store.fetch(key);
    ASSERT_FALSE(fetched.ok());
    EXPECT_EQ(fetched.err().code, errc::store_damaged);
  }
  ASSERT_EQ(
    store.append(opened->epoch, opened->tail, {testing::del(tree::content, "one"), testing::put_content("two", "new")}).status,
    append_status::durable);
  EXPECT_EQ(*store.fetch("one"), nullptr);
  EXPECT_EQ(**store.fetch("two"), "new");
}

TEST_F(lmdb_store_test, a_wrong_length_under_a_right_crc_is_an_error_of_the_fetch) {
  const std::string key = "k";
  {
    lmdb_store store{settings()};
    auto opened = store.open({});
    ASSERT_TRUE(opened.ok());
    (void)store.append(opened->epoch, opened->tail, {testing::put_content(key, std::string(9'000, 'x'))});
  }
  std::string manifest{"\1" + std::string(8, '\xff')}; // In pieces, 2^64 - 1 bytes of them.
  const auto crc = crc32c(crc32c(0, key), manifest);
  std::string stored(4, '\0');
  std::memcpy(stored.data(), &crc, 4);
  stored += manifest;
  MDB_env* env = nullptr;
  MDB_txn* txn = nullptr;
  MDB_dbi content = 0;
  mdb_env_create(&env);
  mdb_env_set_maxdbs(env, 4);
  ASSERT_EQ(mdb_env_open(env, file.c_str(), MDB_NOSUBDIR, 0600), 0);
  ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
  ASSERT_EQ(mdb_dbi_open(txn, "content", 0, &content), 0);
  MDB_val k{key.size(), const_cast<char*>(key.data())}, v{stored.size(), stored.data()};
  ASSERT_EQ(mdb_put(txn, content, &k, &v, 0), 0);
  ASSERT_EQ(mdb_txn_commit(txn), 0);
  mdb_env_close(env);

  lmdb_store store{settings()};
  ASSERT_TRUE(store.open({}).ok());
  const auto fetched = store.fetch(key);
  ASSERT_FALSE(fetched.ok());
  EXPECT_THAT(fetched.err().detail, HasSubstr("not what was written"));
}

TEST(checksum, is_crc32c_by_either_way) {
  EXPECT_EQ(crc32c(0, "123456789"), 0xE3069283u); // The catalogue's check value.
  EXPECT_EQ(crc32c_portable(0, "123456789"), 0xE3069283u);
  std::vector<std::size_t> sizes{1007, 1008, 1009, 1019, 2015, 2016, 2017, 3100, 100'003};
  for (std::size_t size = 0; size < 70; ++size)
    sizes.push_back(size);
  for (const auto size : sizes) {
    const auto text = testing::value_of(size, size);
    EXPECT_EQ(crc32c(0, text), crc32c_portable(0, text)) << size;
    EXPECT_EQ(crc32c(crc32c(0, text.substr(0, size / 3)), text.substr(size / 3)), crc32c(0, text)) << size;
  }
}

TEST_F(lmdb_store_test, an_lmdb_file_of_somebody_else_is_refused) {
  fs::create_directories(directory);
  MDB_env* env = nullptr;
  mdb_env_create(&env);
  ASSERT_EQ(mdb_env_open(env, file.c_str(), MDB_NOSUBDIR, 0600), 0);
  MDB_txn* txn = nullptr;
  MDB_dbi main = 0;
  ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
  ASSERT_EQ(mdb_dbi_open(txn, nullptr, 0, &main), 0);
  MDB_val key{1, const_cast<char*>("k")}, value{1, const_cast<char*>("v")};
  ASSERT_EQ(mdb_put(txn, main, &key, &value, 0), 0);
  ASSERT_EQ(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
  const auto refused = open_error();
  EXPECT_EQ(refused.code, errc::store_damaged);
  EXPECT_THAT(refused.detail, HasSubstr("not a store of ours"));
}

class header_test : public lmdb_store_test {
protected:
  /// The header record, after `change` was made to it.
  std::string header(const std::function<void(std::string&)>& change = [](std::string&) {}) {
    MDB_env* env = nullptr;
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 4);
    EXPECT_EQ(mdb_env_open(env, file.c_str(), MDB_NOSUBDIR, 0600), 0);
    MDB_txn* txn = nullptr;
    MDB_dbi tree = 0;
    EXPECT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
    EXPECT_EQ(mdb_dbi_open(txn, "header", 0, &tree), 0);
    MDB_val key{6, const_cast<char*>("header")}, value{};
    EXPECT_EQ(mdb_get(txn, tree, &key, &value), 0);
    std::string bytes{static_cast<char*>(value.mv_data), value.mv_size};
    change(bytes);
    value = {bytes.size(), bytes.data()};
    EXPECT_EQ(mdb_put(txn, tree, &key, &value, 0), 0);
    EXPECT_EQ(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    return bytes;
  }
  void rewrite_header(std::size_t at, std::string_view replacement) {
    header([&](std::string& bytes) { bytes.replace(at, replacement.size(), replacement); });
  }
};

TEST_F(header_test, a_newer_store_format_is_refused_with_both_versions) {
  write_store();
  rewrite_header(8, std::string("\7\0\0\0", 4));
  const auto refused = open_error();
  EXPECT_EQ(refused.code, errc::store_newer);
  EXPECT_THAT(refused.detail, HasSubstr("store format 7"));
  EXPECT_THAT(refused.detail, HasSubstr("reads format " + std::to_string(lmdb_store_format)));
  static_assert(lmdb_store_format == 2);
  rewrite_header(8, std::string("\2\0\0\0", 4));
  EXPECT_EQ(open_error().detail, "it opened");
}

TEST_F(header_test, a_store_of_an_older_format_is_of_this_one_once_it_was_opened) {
  write_store();
  header([](std::string& bytes) {
    write_little(bytes.data() + 8, std::uint32_t{1});
    // The checksum is over magic and format, and over epoch and tail.
    write_little(bytes.data() + 12, crc32c(crc32c(0, {bytes.data(), 12}), {bytes.data() + 16, bytes.size() - 16}));
  });
  EXPECT_EQ(open_error().detail, "it opened"); // And nothing was appended.
  EXPECT_EQ(header()[8], static_cast<char>(lmdb_store_format));
}

TEST_F(header_test, a_wrong_magic_is_damage) {
  write_store();
  rewrite_header(0, "SOMEBODY");
  EXPECT_EQ(open_error().code, errc::store_damaged);
}

TEST_F(lmdb_store_test, a_newer_lmdb_format_is_refused_with_both_versions) {
  write_store();
  auto whole = bytes();
  const std::uint32_t version = 2;
  for (const std::size_t page : {0, 1})
    std::memcpy(whole.data() + page * 4096 + 16 + 4, &version, sizeof version);
  write_bytes(whole);
  const auto refused = open_error();
  EXPECT_EQ(refused.code, errc::store_newer);
  EXPECT_THAT(refused.detail, HasSubstr("LMDB format 2; this program reads format 1"));
}

TEST_F(lmdb_store_test, a_map_smaller_than_the_store_grows_to_hold_it) {
  const auto expected = write_store();
  lmdb_store store{{.directory = directory, .map_bytes = 1}};
  ASSERT_TRUE(store.open({}).ok());
  EXPECT_TRUE(testing::replayed(store) == expected);
}

TEST_F(lmdb_store_test, the_default_map_is_virtual) {
  lmdb_store store{{.directory = directory}};
  ASSERT_TRUE(store.open({}).ok());
  const auto space = store.space();
  EXPECT_GT(space.capacity_bytes, std::uint64_t{255} << 30);
  EXPECT_EQ(space.reserve_bytes, std::uint64_t{64} << 20);
  EXPECT_LT(space.used_bytes, 100'000u);
  EXPECT_LE(fs::file_size(file), std::uint64_t{64} << 20);
}

TEST_F(lmdb_store_test, used_bytes_follow_what_is_stored) {
  lmdb_store store{{.directory = directory}};
  const auto opened = store.open({});
  const auto before = store.space().used_bytes;
  batch puts, deletes;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    puts.push_back(testing::put_content(testing::key_of(i), testing::value_of(i, 10'000)));
    deletes.push_back(testing::del(tree::content, testing::key_of(i)));
  }
  const auto put = store.append(opened->epoch, opened->tail, puts);
  ASSERT_EQ(put.status, append_status::durable);
  const auto filled = store.space();
  EXPECT_GT(filled.used_bytes, before + 10'000'000);
  EXPECT_LT(filled.used_bytes, before + 14'000'000);
  const auto deleted = store.append(opened->epoch, put.tail, deletes);
  ASSERT_EQ(deleted.status, append_status::durable);
  const auto drained = store.space();
  EXPECT_LT(drained.used_bytes, before + 200'000);
  EXPECT_GT(drained.disk_free_bytes, filled.disk_free_bytes) << "the file's own free pages count as free";
}

} // namespace
} // namespace sallyport::cloud
