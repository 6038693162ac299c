#include "adapters/api/testing.hpp"
#include "adapters/file/settings.hpp"
#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <future>

namespace sallyport::adapters {
namespace {

namespace fs = std::filesystem;
using sallyport::testing::temp_dir;
using ::testing::HasSubstr;

std::string contents(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}
void put(const fs::path& path, const std::string& text) {
  std::ofstream{path, std::ios::binary} << text;
}

std::size_t files_under(const fs::path& path) {
  std::size_t n = 0;
  for (const auto& entry : fs::recursive_directory_iterator{path})
    n += entry.is_regular_file();
  return n;
}

class file_adapter : public ::testing::Test {
protected:
  file_adapter() {
    fs::create_directory(root);
    s.root = root.string();
  }
  outcome perform(const std::string& data, std::uint64_t serial = 1) {
    return perform_one(*file::make_factory(s).make(), make_job(serial, "x", data));
  }
  void expect_refused(const std::string& data, const std::string& why) {
    const auto o = perform(data);
    EXPECT_EQ(o.what, outcome::kind::failed) << data;
    EXPECT_EQ(o.scope, wire::failure_scope::message);
    EXPECT_FALSE(o.retryable) << data;
    EXPECT_EQ(o.effect, wire::effect_state::none);
    EXPECT_THAT(o.error, HasSubstr(why)) << data;
  }

  temp_dir dir;
  fs::path root = dir.path() / "root";
  file::settings s;
};

TEST_F(file_adapter, a_write_replaces_the_whole_file_and_leaves_nothing_else) {
  EXPECT_EQ(perform(R"({"op":"write","path":"a/b/c.txt","content":"gr\u00fcn"})").result, R"({"path":"a/b/c.txt","bytes":5})");
  EXPECT_EQ(contents(root / "a/b/c.txt"), "grün");
  EXPECT_EQ(perform(R"({"op":"write","path":"a/b/c.txt","content_base64":"AP8="})").what, outcome::kind::done);
  EXPECT_EQ(contents(root / "a/b/c.txt"), std::string("\0\xff", 2));
  EXPECT_EQ(files_under(root), 1u);
  EXPECT_EQ(fs::status(root / "a/b/c.txt").permissions(), fs::perms{0640});
}

TEST_F(file_adapter, a_reader_never_sees_half_a_file) {
  const std::string a(200'000, 'a'), b(200'000, 'b');
  put(root / "f", a);
  std::atomic<bool> stop{false};
  auto reading = std::async(std::launch::async, [&] {
    std::size_t wrong = 0;
    while (!stop) {
      const auto seen = contents(root / "f");
      wrong += seen != a && seen != b;
    }
    return wrong;
  });
  for (std::uint64_t n = 1; n <= 40; ++n)
    ASSERT_EQ(perform(R"({"op":"write","path":"f","content":")" + (n % 2 ? b : a) + "\"}", n).what, outcome::kind::done);
  stop = true;
  EXPECT_EQ(reading.get(), 0u);
}

TEST_F(file_adapter, if_absent_writes_once_and_says_the_same_to_its_repetition) {
  const std::string data = R"({"op":"write","path":"f","content":"mine","if_absent":true})";
  EXPECT_EQ(perform(data).what, outcome::kind::done);
  EXPECT_EQ(perform(data).what, outcome::kind::done);
  put(root / "f", "theirs");
  expect_refused(data, "exists");
  EXPECT_EQ(contents(root / "f"), "theirs");
  EXPECT_EQ(files_under(root), 1u);
}

TEST_F(file_adapter, paths_that_leave_the_root_are_refused) {
  put(dir.path() / "secret", "s");
  for (const auto* path :
       {"../secret", "a/../../secret", "..", "/etc/passwd", "a//b", "./a", "a/.", "a/", "", ".sallyport-x", "a\\u0000b", "a\\nb"})
    for (const auto* op : {"write", "read", "move", "delete"})
      expect_refused(std::string{R"({"op":")"} + op + R"(","path":")" + path + R"(","content":"x","to":"b"})", "data.path");
  expect_refused(R"({"op":"move","path":"a","to":"../b"})", "data.to");
  EXPECT_EQ(contents(dir.path() / "secret"), "s");
}

TEST_F(file_adapter, links_are_not_followed_wherever_they_stand) {
  put(dir.path() / "secret", "s");
  fs::create_directory(dir.path() / "outside");
  fs::create_directory(root / "inside");
  fs::create_directory_symlink(dir.path() / "outside", root / "out");
  fs::create_directory_symlink("inside", root / "alias"); // Even one that stays beneath: what it points at can change.
  fs::create_symlink(dir.path() / "secret", root / "leak");
  fs::create_directory_symlink("/proc/self/root", root / "magic");
  const std::string leads = "out of the root or through a symbolic link";
  expect_refused(R"({"op":"read","path":"leak"})", leads);
  expect_refused(R"({"op":"read","path":"magic/etc/passwd"})", leads);
  expect_refused(R"({"op":"list","path":"out"})", leads);
  expect_refused(R"({"op":"write","path":"out/f","content":"x"})", leads);
  expect_refused(R"({"op":"write","path":"out/new/f","content":"x"})", leads);
  expect_refused(R"({"op":"write","path":"alias/f","content":"x"})", leads);
  expect_refused(R"({"op":"delete","path":"out/f"})", leads);
  put(root / "f", "f");
  expect_refused(R"({"op":"move","path":"f","to":"out/f"})", leads);
  expect_refused(R"({"op":"move","path":"leak","to":"f2"})", leads);
  EXPECT_TRUE(fs::is_empty(dir.path() / "outside"));
  EXPECT_TRUE(fs::is_empty(root / "inside"));
  // A write to a link's own name replaces the link, not what it points at.
  EXPECT_EQ(perform(R"({"op":"write","path":"leak","content":"new"})").what, outcome::kind::done);
  EXPECT_EQ(contents(dir.path() / "secret"), "s");
  EXPECT_EQ(contents(root / "leak"), "new");
}

TEST_F(file_adapter, reads_text_and_bytes_and_refuses_what_does_not_fit) {
  put(root / "t", "a\n\"ü\"");
  put(root / "b", std::string("\xff\0", 2));
  put(root / "large", std::string(300'000, 'x'));
  put(root / "escapes", std::string(100'000, '\1'));
  EXPECT_EQ(perform(R"({"op":"read","path":"t"})").result, R"({"path":"t","bytes":6,"content":"a\n\"ü\""})");
  EXPECT_EQ(perform(R"({"op":"read","path":"b","encoding":"base64"})").result,
            R"({"path":"b","bytes":2,"content_base64":"/wA="})");
  expect_refused(R"({"op":"read","path":"b"})", "base64");
  expect_refused(R"({"op":"read","path":"large"})", "256 KiB");
  expect_refused(R"({"op":"read","path":"escapes"})", "256 KiB");
  fs::create_directory(root / "d");
  expect_refused(R"({"op":"read","path":"d"})", "directory");
  ASSERT_EQ(::mkfifo((root / "pipe").c_str(), 0600), 0);
  expect_refused(R"({"op":"read","path":"pipe"})", "Invalid argument");
}

TEST_F(file_adapter, lists_in_order_and_page_by_page) {
  for (const auto* name : {"c", "a", "b", ".sallyport-m1-1-1-1.tmp"})
    put(root / name, "xy");
  fs::create_directory(root / "d");
  const auto all = perform(R"({"op":"list"})").result;
  EXPECT_THAT(all, HasSubstr(R"({"path":"","entries":[{"name":"a","type":"file","bytes":2,"modified":"20)"));
  EXPECT_THAT(all, HasSubstr(R"("name":"d","type":"directory")"));
  EXPECT_THAT(all, HasSubstr(R"("more":false)"));
  EXPECT_THAT(all, ::testing::Not(HasSubstr("sallyport")));
  const auto page = perform(R"({"op":"list","after":"a","limit":2})").result;
  EXPECT_THAT(page, HasSubstr(R"("entries":[{"name":"b")"));
  EXPECT_THAT(page, HasSubstr(R"("more":true)"));
  EXPECT_THAT(page, ::testing::Not(HasSubstr(R"("name":"d")")));
  expect_refused(R"({"op":"list","limit":0})", "data.limit");
  expect_refused(R"({"op":"list","path":"none"})", "No such file");
}

TEST_F(file_adapter, a_move_can_be_repeated_and_replaces_only_when_told) {
  put(root / "a", "1");
  const std::string move = R"({"op":"move","path":"a","to":"done/a"})";
  EXPECT_EQ(perform(move).result, R"({"path":"a","to":"done/a","moved":true})");
  EXPECT_EQ(perform(move).result, R"({"path":"a","to":"done/a","moved":false})");
  put(root / "a", "2");
  expect_refused(move, "exists");
  EXPECT_EQ(contents(root / "done/a"), "1");
  EXPECT_EQ(perform(R"({"op":"move","path":"a","to":"done/a","overwrite":true})").what, outcome::kind::done);
  EXPECT_EQ(contents(root / "done/a"), "2");
  expect_refused(R"({"op":"move","path":"x","to":"y"})", "No such file");
}

TEST_F(file_adapter, a_delete_can_be_repeated) {
  put(root / "a", "1");
  EXPECT_EQ(perform(R"({"op":"delete","path":"a"})").result, R"({"path":"a","existed":true})");
  EXPECT_EQ(perform(R"({"op":"delete","path":"a"})").result, R"({"path":"a","existed":false})");
  EXPECT_EQ(perform(R"({"op":"delete","path":"no/a"})").result, R"({"path":"no/a","existed":false})");
  fs::create_directory(root / "d");
  expect_refused(R"({"op":"delete","path":"d"})", "directory");
}

TEST_F(file_adapter, does_only_what_its_settings_allow) {
  s.operations = {"read"};
  put(root / "a", "1");
  expect_refused(R"({"op":"write","path":"a","content":"x"})", "do not allow write");
  expect_refused(R"({"op":"delete","path":"a"})", "do not allow delete");
  expect_refused(R"({"op":"format","path":"a"})", "not 'format'");
  expect_refused(R"({"path":"a"})", "data.op");
  EXPECT_EQ(perform(R"({"op":"read","path":"a"})").what, outcome::kind::done);
  s.operations = {"write"};
  s.bytes_max = 4;
  expect_refused(R"({"op":"write","path":"a","content":"12345"})", "larger than the 4 bytes");
  expect_refused(R"({"op":"write","path":"a"})", "neither");
  expect_refused(R"({"op":"write","path":"a","content_base64":"?"})", "not base64");
  s.make_directories = false;
  expect_refused(R"({"op":"write","path":"new/a","content":"1"})", "No such file");
}

TEST_F(file_adapter, write_path_makes_every_event_a_file_and_its_names_cannot_escape) {
  s.write_path = "{type}/{data.code}.json";
  auto j = make_job(1, "order.created", R"({"code":"../../../etc/x","n":[1]})");
  EXPECT_EQ(perform_one(*file::make_factory(s).make(), j).what, outcome::kind::done);
  EXPECT_EQ(contents(root / "order.created/%2E.%2F..%2F..%2Fetc%2Fx.json"), R"({"code":"../../../etc/x","n":[1]})");
  expect_refused(R"({"n":1})", "no data.code");
}

TEST_F(file_adapter, a_full_or_missing_root_blames_the_target) {
  fs::remove_all(root);
  const auto a = file::make_factory(s).make();
  EXPECT_EQ(a->probe().state, wire::reach::down);
  EXPECT_EQ(perform_one(*a, make_job(1, "x", R"({"op":"read","path":"a"})")).scope, wire::failure_scope::target);
  fs::create_directory(root);
  EXPECT_EQ(a->probe().state, wire::reach::up) << "a mount that came back";
}

TEST(file_check, names_every_fault_at_once) {
  file::settings s;
  s.root = "relative";
  s.operations = {"read", "format"};
  s.write_path = "{nonsense}/x";
  s.mode = "9";
  s.workers = 0;
  const auto checked = file::check(s);
  ASSERT_FALSE(checked.ok());
  for (const auto* fault : {"root must be", "'format'", "placeholders", "needs write", "octal", "workers"})
    EXPECT_THAT(checked.err().detail, HasSubstr(fault));
  file::settings good;
  good.root = "/srv";
  good.write_path = "a/{id}.json";
  EXPECT_TRUE(file::check(good).ok());
  good.write_path = "../{id}";
  EXPECT_FALSE(file::check(good).ok());
}

} // namespace
} // namespace sallyport::adapters
