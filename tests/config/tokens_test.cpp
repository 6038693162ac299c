#include "config/tokens.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

using namespace sallyport;
using namespace sallyport::config;

namespace {

const wall_time noon{milliseconds{1'790'000'000'000}};

class tokens : public ::testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tokens_test_XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string content() const {
    std::ostringstream out;
    out << std::ifstream(token_path(dir_)).rdbuf();
    return out.str();
  }

  std::string dir_;
};

} // namespace

TEST_F(tokens, a_new_token_is_found_with_its_role_and_groups) {
  const auto made = add_token(dir_, {role::agent, {"plant-7"}, "press hall"}, noon);
  ASSERT_TRUE(made) << to_string(made.err());
  const auto file = token_file::load(token_path(dir_));
  ASSERT_TRUE(file);
  const auto grant = file->lookup(made->token);
  ASSERT_TRUE(grant.has_value());
  EXPECT_EQ(*grant, (token_grant{role::agent, {"plant-7"}, "press hall"}));
  EXPECT_TRUE(grant->covers(group_name{"plant-7"}));
  EXPECT_FALSE(grant->covers(group_name{"plant-8"}));
  EXPECT_EQ(file->entries()[0].created_at, noon);
}

TEST_F(tokens, a_star_covers_every_group) {
  EXPECT_TRUE((token_grant{role::admin, {"*"}, ""}.covers(group_name{"any"})));
}

TEST_F(tokens, an_unknown_token_finds_nothing) {
  ASSERT_TRUE(add_token(dir_, {role::admin, {"*"}, ""}, noon));
  const auto file = token_file::load(token_path(dir_));
  ASSERT_TRUE(file);
  EXPECT_FALSE(file->lookup("sp_0000").has_value());
  EXPECT_FALSE(file->lookup("").has_value());
}

TEST_F(tokens, a_missing_file_holds_no_tokens) {
  const auto file = token_file::load(token_path(dir_));
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->entries().empty());
}

TEST_F(tokens, the_file_holds_no_token_and_is_its_owners_alone) {
  const auto made = add_token(dir_, {role::producer, {"*"}, "with \"quotes\" and\nlines"}, noon);
  ASSERT_TRUE(made);
  EXPECT_EQ(content().find(made->token), std::string::npos);
  EXPECT_EQ(content().find(made->token.substr(3)), std::string::npos);
  struct stat about;
  ASSERT_EQ(::stat(token_path(dir_).c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  const auto file = token_file::load(token_path(dir_));
  ASSERT_TRUE(file) << to_string(file.err());
  EXPECT_EQ(file->entries()[0].grant.note, "with \"quotes\" and\nlines");
}

TEST_F(tokens, a_revoked_token_finds_nothing_and_the_others_stay) {
  const auto kept = add_token(dir_, {role::producer, {"*"}, ""}, noon);
  const auto gone = add_token(dir_, {role::producer, {"*"}, ""}, noon);
  ASSERT_TRUE(kept && gone);
  const auto revoked = revoke_token(dir_, gone->entry.id);
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->id, gone->entry.id);
  const auto file = token_file::load(token_path(dir_));
  ASSERT_TRUE(file);
  EXPECT_FALSE(file->lookup(gone->token).has_value());
  EXPECT_TRUE(file->lookup(kept->token).has_value());
}

TEST_F(tokens, revoking_what_is_not_there_says_so) {
  const auto revoked = revoke_token(dir_, "t-000000000000");
  ASSERT_FALSE(revoked);
  EXPECT_EQ(revoked.err().code, errc::not_found);
}

TEST_F(tokens, writers_at_the_same_time_lose_nothing) {
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([this] {
      for (int n = 0; n < 5; ++n)
        EXPECT_TRUE(add_token(dir_, {role::producer, {"*"}, ""}, noon));
    });
  for (auto& writer : writers)
    writer.join();
  const auto file = token_file::load(token_path(dir_));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->entries().size(), 20u);
}

TEST_F(tokens, a_file_that_others_may_write_is_refused) {
  ASSERT_TRUE(add_token(dir_, {role::producer, {"*"}, ""}, noon));
  ASSERT_EQ(::chmod(token_path(dir_).c_str(), 0620), 0);
  const auto file = token_file::load(token_path(dir_));
  ASSERT_FALSE(file);
  EXPECT_NE(file.err().detail.find("chmod 600"), std::string::npos);
}

// Found by fuzzing: they were taken for what a token without them would be.
TEST_F(tokens, empty_fields_that_must_be_there_are_refused) {
  const auto file = token_file::parse("[[token]]\nid = \"\"\nrole = \"\"\ngroups = [\"*\"]\nsha256 = \"\"\n", "t.toml");
  ASSERT_FALSE(file);
  const auto& text = file.err().detail;
  EXPECT_NE(text.find("t.toml:2: token.id: is empty"), std::string::npos) << text;
  EXPECT_NE(text.find("t.toml:3: token.role: is empty"), std::string::npos) << text;
  EXPECT_NE(text.find("t.toml:5: token.sha256: is empty"), std::string::npos) << text;
}

TEST_F(tokens, every_fault_of_a_damaged_file_is_named_with_its_line) {
  const auto file = token_file::parse("[[token]]\nid = \"t-1\"\nrole = \"king\"\ngroups = []\nsha256 = \"xyz\"\n", "t.toml");
  ASSERT_FALSE(file);
  const auto& text = file.err().detail;
  EXPECT_NE(text.find("t.toml:3: token.role:"), std::string::npos) << text;
  EXPECT_NE(text.find("t.toml:4: token.groups:"), std::string::npos) << text;
  EXPECT_NE(text.find("t.toml:5: token.sha256:"), std::string::npos) << text;
}
