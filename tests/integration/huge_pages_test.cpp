// A hub's heap in huge pages, asked of the kernel: only where the program has jemalloc and the kernel leaves the choice to programs.
#include "protocol/json.hpp"
#include "runtime/io/client.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>

namespace sallyport::testing {

namespace {

std::string first_line(const std::string& file) {
  std::string line;
  std::getline(std::ifstream{file}, line);
  return line;
}

bool has_jemalloc(pid_t process) {
  std::ifstream maps{"/proc/" + std::to_string(process) + "/maps"};
  for (std::string line; std::getline(maps, line);)
    if (line.find("libjemalloc") != std::string::npos)
      return true;
  return false;
}

/// Of its anonymous memory, in kB.
std::uint64_t in_huge_pages(pid_t process) {
  std::ifstream in{"/proc/" + std::to_string(process) + "/smaps_rollup"};
  for (std::string word; in >> word;)
    if (std::uint64_t kb = 0; word == "AnonHugePages:" && in >> kb)
      return kb;
  return 0;
}

class huge_pages : public ::testing::TestWithParam<bool> {};

} // namespace

TEST_P(huge_pages, are_under_the_heap_of_a_hub_that_has_grown_if_it_may) {
  if (first_line("/sys/kernel/mm/transparent_hugepage/enabled").find("[madvise]") == std::string::npos)
    GTEST_SKIP() << "the kernel does not leave huge pages to programs";
  const temp_dir folder;
  std::ofstream{folder / "hub.toml"} << "[hub]\nlisten = \"127.0.0.1:0\"\ndata_dir = \"" << (folder / "data")
                                     << "\"\nhuge_pages = " << (GetParam() ? "true" : "false") << "\n";
  process hub({{SALLYPORT_BINARY, "hub", "--dev", "--config", folder / "hub.toml"}, {}, folder / "out", folder / "err", {}, {}});
  const auto address = hub.wait_for_line("http://", std::chrono::seconds(60));
  ASSERT_TRUE(address) << hub.err();
  if (!has_jemalloc(hub.pid()))
    GTEST_SKIP() << "this build's programs have no jemalloc";
  EXPECT_EQ(in_huge_pages(hub.pid()), 0u); // A small hub is small.

  io::transport_settings s;
  s.token = "dev";
  auto client = io::client::make(*address, s);
  ASSERT_TRUE(client.ok()) << to_string(client.err());
  for (int n = 0; n < 160; ++n) { // 80 MB, of which the hub keeps 64 in memory.
    json_writer w;
    w.begin_object().field("specversion", "1.0").field("id", std::to_string(n)).field("source", "/test").field("type", "test");
    w.field("data", std::string(500'000, 'x')).end_object();
    runtime::http_request r;
    r.method = "POST", r.target = "/v1/groups/plant/connections/sink/messages", r.body = w.take();
    r.content_type = "application/cloudevents+json", r.timeout = std::chrono::seconds(60);
    const auto reply = client->send(std::move(r));
    ASSERT_TRUE(reply.ok()) << to_string(reply.err());
    ASSERT_EQ(reply->status, 201) << reply->body;
  }
  if (GetParam())
    EXPECT_GT(in_huge_pages(hub.pid()), 0u);
  else
    EXPECT_EQ(in_huge_pages(hub.pid()), 0u);
}

INSTANTIATE_TEST_SUITE_P(, huge_pages, ::testing::Bool(), [](const auto& p) { return p.param ? "wanted" : "not_wanted"; });

} // namespace sallyport::testing
