// A message that ends the agent process which tries it: found, buried, and its neighbours live.
#include "tests/integration/world.hpp"
#include "tests/support/tls_server.hpp"

#include <fmt/format.h>

#include <atomic>

namespace sallyport::testing {

TEST(poison, a_message_that_kills_its_agent_ends_as_a_dead_letter_and_its_255_neighbours_are_settled) {
  std::atomic<pid_t> agent{0};
  std::atomic<int> kills{0};
  // The local system: answers every order, but the poisoned one ends whoever sends it.
  tls_server target({}, [&](peer& p) {
    while (auto request = p.read_request()) {
      if (request->body.find("\"n\":100}") != std::string::npos) {
        ++kills;
        ::kill(agent, SIGKILL);
        return;
      }
      if (!p.write(http_ok()))
        return;
    }
  });
  const auto connection = fmt::format("[[connection]]\nname = \"shop\"\nadapter = \"http\"\n[connection.http]\n"
                                      "url = \"http://127.0.0.1:{}\"\npath = \"/orders\"\n",
                                      target.port());
  world w{{.policy = "on_unknown_effect = \"retry\"\n"}};
  agent = w.start_agent("a", connection).pid();
  w.wait_until("the agent reaches the shop", [&] {
    const auto g = w.group();
    return !g.agents.empty() && !g.agents[0].connections.empty() && g.agents[0].connections[0].state == wire::reach::up;
  });
  const auto ids = w.enqueue("shop", 0, 256);
  w.wait_until(
    "the poison to be buried and the others to be settled",
    [&] {
      if (!w.agent("a").running()) // As a service manager would.
        agent = w.start_agent("a", connection).pid();
      const auto c = w.connection("shop");
      return c.dead == 1 && c.retained == 255;
    },
    std::chrono::seconds(120));
  EXPECT_EQ(w.message(ids[100]).state, "dead");
  EXPECT_GE(w.message(ids[100]).losses, 3u);
  EXPECT_GE(kills.load(), 3);
  EXPECT_LE(kills.load(), 16);
  for (std::size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(w.message(ids[i]).state, i == 100 ? "dead" : "settled") << i;

  const auto redriven = w.sallyport({"dead", "list", "plant", "shop"});
  EXPECT_EQ(redriven.code, 0) << redriven.err;
  EXPECT_NE(redriven.out.find(to_string(ids[100])), std::string::npos) << redriven.out;
}

} // namespace sallyport::testing
