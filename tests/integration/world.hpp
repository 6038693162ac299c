// A world for integration tests: a real hub process, real agent processes, and a client that talks to them as anybody would.
// Everything lives in one temporary folder and ends with the object; what went wrong is told with the processes' logs.
#pragma once

#include "protocol/codec.hpp"
#include "runtime/io/client.hpp"
#include "tests/support/certs.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::testing {

struct world_options {
  bool tls = false; // A certificate of its own authority and tokens; else --dev.
  milliseconds session_ttl{3'000};
  std::string hub;    // More lines for the hub's [hub],
  std::string policy; // and for [hub.policy].
};

struct answered {
  int status = 0;
  std::string body;
};

class world {
public:
  explicit world(world_options options = {});

  // -- the hub
  void start_hub();
  void kill_hub() { hub_->stop(SIGKILL); }
  [[nodiscard]] process& hub() { return *hub_; }
  [[nodiscard]] std::string hub_url() const;
  [[nodiscard]] std::string ca_file() const { return ca_ ? ca_->ca_file() : std::string{}; }

  // -- agents
  /// `connections` are TOML tables; `more` goes into [agent], `tables` behind it.
  process& start_agent(const std::string& name, const std::string& connections, const std::string& more = {},
                       const std::string& tables = {});
  [[nodiscard]] process& agent(const std::string& name) { return *agents_.at(name); }
  [[nodiscard]] bool is_live(const std::string& agent);
  void kill_agent(const std::string& name) { agent(name).stop(SIGKILL); }

  // -- the API
  answered ask(const std::string& method, const std::string& target, const std::string& body = {},
               const std::string& content_type = "application/json");
  /// Decodes a 200; a test failure otherwise.
  template <class T>
  T get(const std::string& target) {
    auto a = ask("GET", target);
    auto v = wire::decode<T>(a.body);
    EXPECT_TRUE(a.status == 200 && v.ok()) << target << ": " << a.status << " " << a.body;
    return v.ok() ? *std::move(v) : T{};
  }
  wire::group_view group(); // Empty while there is nobody.
  wire::connection_view connection(const std::string& name) {
    return get<wire::connection_view>("/v1/groups/plant/connections/" + name);
  }
  wire::message_view message(message_id id) { return get<wire::message_view>("/v1/messages/" + to_string(id)); }
  /// Events "<prefix><n>" with data {"n": n}, in batches; repeated until acknowledged.
  std::vector<message_id> enqueue(const std::string& connection, int from, int to, const std::string& prefix = "e");
  /// Everything of the connection is final.
  bool drained(const std::string& connection);
  /// Waits for it; tells the logs when it does not come.
  void wait_until(const std::string& what, const std::function<bool()>& holds, milliseconds bound = std::chrono::seconds(60));
  /// `sallyport ...` run to its end.
  struct ran {
    int code = -1;
    std::string out, err;
  };
  ran sallyport(std::vector<std::string> words);

  temp_dir folder;

private:
  [[nodiscard]] std::string logs() const;
  io::client& client();

  world_options options_;
  std::optional<certificate_authority> ca_;
  std::string token_ = "dev", agent_token_ = "dev";
  std::uint16_t port_ = 0;
  std::unique_ptr<process> hub_;
  std::map<std::string, std::unique_ptr<process>> agents_;
  std::optional<io::client> client_;
  int runs_ = 0;
};

[[nodiscard]] inline std::size_t count(const wire::message_view& m, std::string_view what) {
  std::size_t n = 0;
  for (auto& e : m.history)
    n += e.what == what;
  return n;
}

} // namespace sallyport::testing
