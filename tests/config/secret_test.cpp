#include "config/secret.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace sallyport;
using namespace sallyport::config;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

class secret : public ::testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "secret_test_XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override {
    std::filesystem::remove_all(dir_);
    ::unsetenv("CREDENTIALS_DIRECTORY");
    ::unsetenv("SALLYPORT_TEST_SECRET");
  }
  std::string put(const std::string& name, const std::string& content, int mode) {
    const auto path = dir_ + "/" + name;
    std::ofstream(path) << content;
    ::chmod(path.c_str(), static_cast<mode_t>(mode));
    return path;
  }
  std::string dir_;
};

} // namespace

TEST_F(secret, of_a_file_is_its_content_without_the_last_line_end) {
  const auto s = resolve_secret("file:" + put("a", "hunter2\n", 0600));
  ASSERT_TRUE(s) << to_string(s.err());
  EXPECT_EQ(s->value, "hunter2");
  EXPECT_EQ(s->warning, "");
}

TEST_F(secret, that_everybody_can_read_is_refused_without_showing_it) {
  const auto s = resolve_secret("file:" + put("a", "hunter2", 0644));
  ASSERT_FALSE(s);
  EXPECT_THAT(s.err().detail, HasSubstr("chmod 600"));
  EXPECT_THAT(s.err().detail, Not(HasSubstr("hunter2")));
}

TEST_F(secret, that_its_group_can_read_is_used_with_a_warning) {
  const auto s = resolve_secret("file:" + put("a", "hunter2", 0640));
  ASSERT_TRUE(s);
  EXPECT_THAT(s->warning, HasSubstr("chmod 600"));
}

TEST_F(secret, in_clear_text_is_refused_and_not_repeated) {
  const auto s = resolve_secret("hunter2");
  ASSERT_FALSE(s);
  EXPECT_THAT(s.err().detail, HasSubstr("clear text"));
  EXPECT_THAT(s.err().detail, Not(HasSubstr("hunter2")));
}

TEST_F(secret, of_the_environment_must_be_set) {
  EXPECT_FALSE(resolve_secret("env:SALLYPORT_TEST_SECRET"));
  ::setenv("SALLYPORT_TEST_SECRET", "hunter2", 1);
  const auto s = resolve_secret("env:SALLYPORT_TEST_SECRET");
  ASSERT_TRUE(s);
  EXPECT_EQ(s->value, "hunter2");
}

TEST_F(secret, of_systemd_lies_in_its_credentials_directory) {
  put("token", "hunter2", 0440);
  EXPECT_THAT(resolve_secret("credential:token").err().detail, HasSubstr("LoadCredential"));
  ::setenv("CREDENTIALS_DIRECTORY", dir_.c_str(), 1);
  const auto s = resolve_secret("credential:token");
  ASSERT_TRUE(s);
  EXPECT_EQ(s->value, "hunter2");
  EXPECT_EQ(s->warning, "");
  EXPECT_FALSE(resolve_secret("credential:../token"));
}

TEST_F(secret, that_is_missing_or_empty_says_so) {
  EXPECT_THAT(resolve_secret("file:" + dir_ + "/none").err().detail, HasSubstr("cannot find"));
  EXPECT_THAT(resolve_secret("file:" + put("e", "\n", 0600)).err().detail, HasSubstr("is empty"));
  EXPECT_THAT(resolve_secret("file:relative").err().detail, HasSubstr("absolute"));
  EXPECT_THAT(resolve_secret("file:" + dir_).err().detail, HasSubstr("not a file"));
}
