// The hub's data directory: full, taken, damaged.
#include "tests/integration/world.hpp"

#include <fmt/format.h>

#include <fstream>

namespace sallyport::testing {

TEST(hub_process, a_full_store_refuses_producers_drains_all_the_same_and_goes_on) {
  world w{{.hub = "map_bytes = 67108864\n"}};
  EXPECT_EQ(w.ask("PUT", "/v1/groups/plant/connections/sink", "{}").status, 201);
  const std::string filler(500'000, 'x');
  answered refused;
  int stored = 0;
  for (; stored < 1'000; ++stored) {
    refused = w.ask("POST", "/v1/groups/plant/connections/sink/messages",
                    fmt::format(R"({{"specversion":"1.0","id":"{}","source":"/fill","type":"t","data":"{}"}})", stored, filler),
                    "application/cloudevents+json");
    if (refused.status != 201)
      break;
  }
  EXPECT_EQ(refused.status, 507) << refused.body;
  EXPECT_NE(refused.body.find("store_full"), std::string::npos);
  EXPECT_GT(stored, 20);
  w.start_agent("a", "[[connection]]\nname = \"sink\"\nadapter = \"null\"\n");
  w.wait_until("everything that was stored to be settled", [&] { return w.drained("sink"); });
  EXPECT_EQ(w.connection("sink").retained, static_cast<std::uint64_t>(stored));
  w.wait_until("producers to be let in again", [&] {
    return w.ask("POST", "/v1/groups/plant/connections/sink/messages",
                 fmt::format(R"({{"specversion":"1.0","id":"again","source":"/fill","type":"t","data":"{}"}})", filler),
                 "application/cloudevents+json")
             .status
           == 201;
  });
}

TEST(hub_process, a_second_hub_on_the_same_data_is_refused) {
  world w;
  const auto second = w.sallyport({"hub", "--dev", "--listen", "127.0.0.1:0", "--data", w.folder / "hub"});
  EXPECT_NE(second.code, 0);
  EXPECT_NE(second.err.find("store_locked"), std::string::npos) << second.err;
  EXPECT_EQ(w.ask("GET", "/readyz").status, 200) << "the first goes on";
}

TEST(hub_process, a_damaged_store_is_refused_and_left_as_it_is) {
  world w;
  EXPECT_EQ(w.ask("PUT", "/v1/groups/plant/connections/sink", "{}").status, 201);
  w.enqueue("sink", 0, 50);
  w.kill_hub();
  std::string file;
  for (auto& entry : std::filesystem::recursive_directory_iterator(w.folder.path() / "hub"))
    if (entry.is_regular_file() && entry.path().filename() == "store.mdb")
      file = entry.path().string();
  ASSERT_FALSE(file.empty());
  {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(0);
    f << std::string(16 * 1024, '\x5a');
  }
  const auto broken = content_of(file);
  const auto again = w.sallyport({"hub", "--dev", "--listen", "127.0.0.1:0", "--data", w.folder / "hub"});
  EXPECT_NE(again.code, 0);
  EXPECT_NE(again.err.find("store_damaged"), std::string::npos) << again.err;
  EXPECT_EQ(content_of(file), broken);
}

TEST(hub_process, a_hub_for_trying_out_listens_on_this_machine_only) {
  world w;
  const auto open = w.sallyport({"hub", "--dev", "--listen", "0.0.0.0:0", "--data", w.folder / "other"});
  EXPECT_NE(open.code, 0);
  EXPECT_NE(open.err.find("loopback"), std::string::npos) << open.err;
}

} // namespace sallyport::testing
