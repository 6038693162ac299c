#include "bench/harness/facts.hpp"
#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

namespace {

using namespace sallyport::bench;
using sallyport::testing::temp_dir;

constexpr auto dpkg_status = R"(Package: redis
Status: deinstall ok config-files
Version: 5:1.0

Package: redis-server
Status: install ok installed
Architecture: amd64
Version: 5:7.0.15-1
Description: a
 Version: not this

Package: nats-server
Status: deinstall ok config-files
Version: 2.9.10-1
)";

TEST(facts, a_packages_version_is_its_own_and_only_of_what_is_installed) {
  EXPECT_EQ(version_in(dpkg_status, "redis-server"), "5:7.0.15-1");
  EXPECT_EQ(version_in(dpkg_status, "redis"), "");
  EXPECT_EQ(version_in(dpkg_status, "nats-server"), "");
  EXPECT_EQ(version_in(dpkg_status, "rabbitmq-server"), "");
}

TEST(facts, the_file_system_is_that_of_the_nearest_mount_above) {
  constexpr auto mounts = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
                          "30 21 0:25 / /var rw - btrfs /dev/vdb rw\n"
                          "31 30 0:26 / /var/tmp rw,nosuid shared:9 master:2 - tmpfs tmpfs rw\n";
  EXPECT_EQ(file_system_in(mounts, "/var/tmp/run"), "tmpfs on tmpfs");
  EXPECT_EQ(file_system_in(mounts, "/var/tmp"), "tmpfs on tmpfs");
  EXPECT_EQ(file_system_in(mounts, "/var/tmp2"), "btrfs on /dev/vdb");
  EXPECT_EQ(file_system_in(mounts, "/various"), "ext4 on /dev/vda");
  EXPECT_EQ(file_system_in("", "/"), "unknown");
}

TEST(facts, values_are_found_by_their_whole_key) {
  EXPECT_EQ(value_in("MemFree: 1 kB\nMemTotal:       24684012 kB\n", "MemTotal", ':'), "24684012 kB");
  EXPECT_EQ(value_in("model name\t: AMD EPYC\nmodel name\t: other\n", "model name", ':'), "AMD EPYC");
  EXPECT_EQ(value_in("NAME=\"Debian\"\nPRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME", '='), "Debian 12");
  EXPECT_EQ(value_in("a: b", "b", ':'), "");
  EXPECT_EQ(value_in("PRETTY_NAME=no\nNAME=yes\n", "NAME", '='), "yes");
}

TEST(facts, measuring_a_sync_takes_time_and_leaves_nothing_behind) {
  const temp_dir folder;
  for (const bool append : {true, false}) {
    const auto l = measure_sync(folder.path(), append, 5);
    EXPECT_GT(l.p50_ns, 0u);
    EXPECT_GE(l.p99_ns, l.p50_ns);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(facts, a_folder_that_is_not_there_is_an_error_that_names_it) {
  const temp_dir folder;
  try {
    (void)measure_sync(folder.path() / "none", true, 1);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr((folder.path() / "none").string()));
  }
}

TEST(facts, this_machine_has_cores_memory_and_a_kernel) {
  const temp_dir folder;
  sallyport::bench::system s;
  s.package = "base-files no-such-package";
  const auto f = facts_of_this_machine(folder.path(), "abc1234", {&s});
  EXPECT_GE(f.cores, 1u);
  EXPECT_GT(f.memory_bytes, 100u << 20);
  EXPECT_THAT(f.kernel, testing::StartsWith("Linux "));
  EXPECT_THAT(f.build, testing::StartsWith("abc1234, "));
  ASSERT_EQ(f.versions.size(), 2u);
  EXPECT_NE(f.versions[0].second, "unknown");
  EXPECT_EQ(f.versions[1], (std::pair<std::string, std::string>{"no-such-package", "unknown"}));
}

} // namespace
