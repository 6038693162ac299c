#include "tests/cloud/hub/certificate.hpp"
#include "tests/cloud/hub/support.hpp"

#include <fstream>

namespace sallyport::cloud {
namespace {

using namespace test;

struct tls : testing::Test {
  temp_folder folder;
  config::hub_settings settings;
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::unique_ptr<cloud::hub> hub;

  void SetUp() override {
    settings = dev_settings(folder);
    settings.dev = false;
    settings.tls_cert_file = folder.file("cert.pem");
    settings.tls_key_file = folder.file("key.pem");
    make_certificate(settings.tls_cert_file, settings.tls_key_file);
  }
  result<std::unique_ptr<cloud::hub>> start_hub() {
    hub_parts parts;
    parts.store = std::make_unique<memory_store>(disk);
    return cloud::hub::start(settings, std::move(parts));
  }
  void start() {
    auto started = start_hub();
    ASSERT_TRUE(started.ok()) << to_string(started.err());
    hub = *std::move(started);
  }
};

TEST_F(tls, speaks_1_3_and_1_2_and_nothing_older) {
  start();
  EXPECT_EQ(raw_client{hub->port()}.handshake(TLS1_2_VERSION, TLS1_3_VERSION), "TLSv1.3");
  EXPECT_EQ(raw_client{hub->port()}.handshake(TLS1_2_VERSION, TLS1_2_VERSION), "TLSv1.2");
  EXPECT_EQ(raw_client{hub->port()}.handshake(TLS1_VERSION, TLS1_1_VERSION), "");
  EXPECT_EQ(raw_client{hub->port()}.handshake(TLS1_2_VERSION, TLS1_2_VERSION, "AES128-SHA:AES256-GCM-SHA384"),
            ""); // No forward secrecy.
}

TEST_F(tls, serves_tokens_from_the_file_by_role_and_group) {
  start();
  auto producer = config::add_token(folder.path(), {config::role::producer, {"g"}, {}}, wall_time{1s});
  auto admin = config::add_token(folder.path(), {config::role::admin, {"*"}, {}}, wall_time{1s});
  ASSERT_TRUE(producer.ok() && admin.ok());
  raw_client c{hub->port()};
  ASSERT_EQ(c.handshake(TLS1_3_VERSION, TLS1_3_VERSION), "TLSv1.3");
  auto as = [&](const std::string& token, std::string_view method, const std::string& target, std::string_view body = {},
                std::string_view type = "application/json") { return c.ask(request(method, target, body, type, {}, token)); };
  ASSERT_TRUE(eventually([&] { return as(admin->token, "GET", "/v1/groups").status == 200; }));
  EXPECT_EQ(as("dev", "GET", "/v1/groups").code(), "bad_token");
  EXPECT_EQ(as(producer->token, "GET", "/v1/groups").code(), "wrong_role");
  EXPECT_EQ(as(producer->token, "POST", "/v1/groups/other/connections/c/messages", event("a"), event_type).code(), "wrong_group");
  EXPECT_EQ(as(producer->token, "POST", "/v1/sessions", running_hub::opening("a")).code(), "wrong_role");
  EXPECT_EQ(as(producer->token, "POST", "/v1/groups/g/connections/c/messages", event("a"), event_type).status, 404);
  EXPECT_EQ(as(admin->token, "PUT", "/v1/groups/g/connections/c", "{}").status, 201);
  EXPECT_EQ(as(producer->token, "POST", "/v1/groups/g/connections/c/messages", event("a"), event_type).status, 201);
}

TEST_F(tls, a_large_body_and_a_parked_claim_pass_through) {
  start();
  auto agent = config::add_token(folder.path(), {config::role::agent, {"*"}, {}}, wall_time{1s});
  auto producer = config::add_token(folder.path(), {config::role::producer, {"*"}, {}}, wall_time{1s});
  ASSERT_TRUE(agent.ok() && producer.ok());
  raw_client a{hub->port()}, p{hub->port()};
  ASSERT_NE(a.handshake(TLS1_2_VERSION, TLS1_3_VERSION), "");
  ASSERT_NE(p.handshake(TLS1_2_VERSION, TLS1_3_VERSION), "");
  reply opened;
  ASSERT_TRUE(eventually([&] {
    opened = a.ask(request("POST", "/v1/sessions", running_hub::opening("a"), "application/json", {}, agent->token));
    return opened.status == 201;
  }));
  a.send(request("POST", "/v1/sessions/" + field(opened.body, "session") + "/claims", running_hub::claiming(1, 50'000),
                 "application/json", {}, agent->token));
  const auto large = event("large", "\"" + std::string(700'000, 'x') + "\"");
  EXPECT_EQ(p.ask(request("POST", "/v1/groups/g/connections/c/messages", large, event_type, {}, producer->token)).status, 201);
  auto granted = a.receive();
  EXPECT_EQ(granted.status, 200);
  EXPECT_NE(granted.body.find(large), std::string::npos);
}

TEST_F(tls, a_plain_request_or_a_silent_client_holds_nothing_up) {
  settings.limits.request_timeout = 200ms;
  start();
  raw_client plain{hub->port()}, silent{hub->port()};
  plain.send("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n");
  EXPECT_EQ(plain.receive().status, 0);
  EXPECT_TRUE(silent.is_closed());
  EXPECT_EQ(raw_client{hub->port()}.handshake(TLS1_3_VERSION, TLS1_3_VERSION), "TLSv1.3");
}

TEST_F(tls, a_renewed_certificate_is_used_and_a_broken_one_is_not) {
  start();
  const auto key = [&] {
    raw_client c{hub->port()};
    EXPECT_EQ(c.handshake(TLS1_3_VERSION, TLS1_3_VERSION), "TLSv1.3");
    return c.public_key();
  };
  const auto first = key();
  make_certificate(folder.file("new.pem"), folder.file("new.key"));
  std::filesystem::rename(folder.file("new.key"), settings.tls_key_file);
  std::filesystem::rename(folder.file("new.pem"), settings.tls_cert_file);
  ASSERT_TRUE(eventually([&] { return key() != first; }));
  const auto second = key();
  std::ofstream{settings.tls_cert_file} << "no certificate";
  std::this_thread::sleep_for(1100ms); // Beyond the time between two looks.
  EXPECT_EQ(key(), second);
}

TEST_F(tls, says_what_is_wrong_with_its_files) {
  auto refused = [&](const std::string& with) {
    auto started = start_hub();
    EXPECT_FALSE(started.ok());
    if (started)
      return;
    EXPECT_EQ(started.err().code, errc::invalid_config);
    EXPECT_NE(started.err().detail.find(with), std::string::npos) << started.err().detail;
  };
  const auto good = settings;
  settings.tls_cert_file = folder.file("none.pem");
  refused("none.pem");
  settings = good;
  make_certificate(folder.file("cert2.pem"), folder.file("key2.pem"));
  settings.tls_key_file = folder.file("key2.pem");
  refused("key2.pem");
  settings.tls_key_file.clear();
  refused("--dev");
}

} // namespace
} // namespace sallyport::cloud
