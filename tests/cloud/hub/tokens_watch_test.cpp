#include "cloud/hub/tokens_watch.hpp"
#include "tests/cloud/hub/support.hpp"

#include <fstream>

namespace sallyport::cloud {
namespace {

using namespace test;

config::token_grant grant(config::role role) {
  return {role, {"g"}, {}};
}

TEST(tokens_watch, a_token_made_beside_a_running_hub_is_good_at_once) {
  temp_folder folder;
  std::vector<std::string> complaints;
  tokens_watch watch{config::token_path(folder.path()), false, [&](const error& e) { complaints.push_back(e.detail); }};
  ASSERT_TRUE(watch.load().ok());
  auto made = config::add_token(folder.path(), grant(config::role::agent), wall_time{1s});
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(eventually([&] { return watch.lookup(made->token).has_value(); }));
  auto bearer = watch.lookup(made->token);
  ASSERT_TRUE(bearer);
  EXPECT_FALSE(bearer->dev);
  EXPECT_EQ(bearer->grant.role, config::role::agent);
  ASSERT_TRUE(config::revoke_token(folder.path(), made->entry.id).ok());
  EXPECT_TRUE(eventually([&] { return !watch.lookup(made->token).has_value(); }));
  EXPECT_TRUE(complaints.empty());
}

TEST(tokens_watch, a_broken_file_is_reported_once_and_the_tokens_before_stay_good) {
  temp_folder folder;
  std::atomic<int> complaints{0};
  tokens_watch watch{config::token_path(folder.path()), false, [&](const error&) { ++complaints; }};
  auto made = config::add_token(folder.path(), grant(config::role::producer), wall_time{1s});
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(watch.load().ok());
  std::ofstream{config::token_path(folder.path())} << "this is = = not toml";
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(watch.lookup(made->token).has_value());
    return complaints > 0;
  }));
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(250ms); // Beyond the time between two looks: the same broken file is not complained of again.
    EXPECT_TRUE(watch.lookup(made->token).has_value());
  }
  EXPECT_EQ(complaints, 1);
}

TEST(tokens_watch, dev_knows_its_one_token_and_a_hub_without_dev_does_not) {
  temp_folder folder;
  tokens_watch dev{config::token_path(folder.path()), true, [](const error&) {}};
  tokens_watch other{config::token_path(folder.path()), false, [](const error&) {}};
  ASSERT_TRUE(dev.lookup("dev"));
  EXPECT_TRUE(dev.lookup("dev")->dev);
  EXPECT_FALSE(dev.lookup("dev "));
  EXPECT_FALSE(dev.lookup(""));
  EXPECT_FALSE(other.lookup("dev"));
}

} // namespace
} // namespace sallyport::cloud
