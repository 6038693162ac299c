// The way out through a real squid with Basic authentication, and through proxies that misbehave.
#include "tests/runtime/io/asking.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/squid.hpp"

namespace sallyport::io {
namespace {

using testing::certificate_authority;
using testing::eventually;
using testing::squid;
using testing::squid_options;
using testing::temp_dir;

class through_squid : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    if (squid::available())
      squid_ = new squid();
  }
  static void TearDownTestSuite() { delete std::exchange(squid_, nullptr); }
  void SetUp() override { ASSERT_NE(squid_, nullptr) << "squid is not installed: see scripts/bootstrap"; }

  transport_settings through(const std::string& user, const std::string& password, std::vector<std::string> no_proxy = {}) {
    return {.token = "hub-token",
            .tls = {.ca_file = authority_.ca_file(), .server_name = {}},
            .proxy = {.url = squid_->url(), .user = user, .password = password, .no_proxy = std::move(no_proxy)}};
  }
  transport_settings through(std::vector<std::string> no_proxy = {}) {
    const squid_options known;
    return through(known.user, known.password, std::move(no_proxy));
  }
  /// The log is written when a tunnel ends.
  static bool logged(const std::string& text) {
    return eventually([&] { return squid_->access_log().find(text) != std::string::npos; });
  }

  inline static squid* squid_ = nullptr;
  temp_dir folder_;
  certificate_authority authority_{folder_.path()};
  tls_server hub_{{.certificate = authority_.issue()}, answer_all};
  std::string hub_address_ = "localhost:" + std::to_string(hub_.port());
};

TEST_F(through_squid, reaches_the_hub_with_user_and_password) {
  auto t = connect(hub_.url(), through());
  for (int i = 0; i < 20; ++i) {
    const auto reply = ask(*t, post("/"));
    ASSERT_TRUE(reply.ok()) << to_string(reply.err());
    EXPECT_EQ(reply->body, "{\"connection\":1}");
  }
  t->close();
  EXPECT_TRUE(logged("TCP_TUNNEL/200"));
  EXPECT_TRUE(logged("CONNECT " + hub_address_ + " plant-7"));
}

TEST_F(through_squid, says_what_to_set_when_the_proxy_wants_a_user) {
  const auto reply = ask(*connect(hub_.url(), through("", "")), post("/"));
  EXPECT_ERROR(reply, errc::proxy_refused);
  EXPECT_THAT(reply.err().detail, HasSubstr("407"));
  EXPECT_THAT(reply.err().detail, HasSubstr("set proxy.user and proxy.password"));
  EXPECT_THAT(reply.err().detail, HasSubstr("Basic realm=\"plant network\""));
  EXPECT_EQ(hub_.connections(), 0);
}

TEST_F(through_squid, says_whose_password_is_wrong_but_not_the_password) {
  const auto reply = ask(*connect(hub_.url(), through("plant-7", "hunter2")), post("/"));
  EXPECT_ERROR(reply, errc::proxy_refused);
  EXPECT_THAT(reply.err().detail, HasSubstr("\"plant-7\""));
  EXPECT_THAT(reply.err().detail, Not(HasSubstr("hunter2")));
  EXPECT_EQ(hub_.connections(), 0);
}

TEST_F(through_squid, goes_around_the_proxy_where_no_proxy_says_so) {
  EXPECT_TRUE(ask(*connect(hub_.url("localhost"), through("plant-7", "hunter2", {".example", "localhost"})), post("/")).ok());
  EXPECT_TRUE(ask(*connect(hub_.url("127.0.0.1"), through("plant-7", "hunter2", {"127.0.0.0/8"})), post("/")).ok());
  EXPECT_TRUE(ask(*connect(hub_.url("localhost"), through("plant-7", "hunter2", {"*"})), post("/")).ok());
  EXPECT_ERROR(ask(*connect(hub_.url("localhost"), through("plant-7", "hunter2", {"127.0.0.0/8"})), post("/")),
               errc::proxy_refused);
}

TEST_F(through_squid, never_sends_plain_http_through_the_proxy) {
  tls_server plain({}, answer_all);
  EXPECT_TRUE(ask(*connect(plain.url(), through("plant-7", "hunter2")), post("/")).ok());
}

TEST_F(through_squid, tells_a_forbidden_host_from_one_that_does_not_answer) {
  const auto forbidden = ask(*connect("https://forbidden.test:8443", through()), post("/"));
  EXPECT_ERROR(forbidden, errc::proxy_refused);
  EXPECT_THAT(forbidden.err().detail, HasSubstr("does not allow CONNECT forbidden.test:8443 (403"));
  const auto dead = ask(*connect("https://127.0.0.1:" + std::to_string(testing::free_port()), through()), post("/"));
  EXPECT_ERROR(dead, errc::unreachable);
  EXPECT_THAT(dead.err().detail, HasSubstr("cannot reach 127.0.0.1"));
}

TEST_F(through_squid, checks_the_hubs_certificate_all_the_same) {
  tls_server wrong({.certificate = authority_.issue({.names = {"other.example"}, .addresses = {}})}, answer_all);
  const auto reply = ask(*connect(wrong.url(), through()), post("/"));
  EXPECT_ERROR(reply, errc::tls_refused);
  EXPECT_THAT(reply.err().detail, HasSubstr("other.example"));
}

TEST_F(through_squid, resumes_after_the_proxy_was_gone) {
  auto t = connect(hub_.url(), through());
  ASSERT_TRUE(ask(*t, post("/")).ok());
  delete std::exchange(squid_, nullptr);
  // The tunnel ended with the proxy. Until the end has been noticed the outcome is unknown, then the proxy is not there.
  EXPECT_TRUE(eventually([&] {
    const auto reply = ask(*t, post("/"));
    return !reply && reply.err().code == errc::unreachable;
  }));
  squid_ = new squid();
  EXPECT_TRUE(ask(*connect(hub_.url(), through()), post("/")).ok());
}

// ---- proxies that misbehave --------------------------------------------------------------------------------------------------------

result<http_reply> ask_through(const std::string& proxy_url) {
  return ask(*connect("https://hub.example",
                      {.token = {}, .tls = {}, .proxy = {.url = proxy_url, .user = "u", .password = "p", .no_proxy = {}}}),
             post("/"));
}

TEST(proxy, that_is_not_there_is_named) {
  const auto port = std::to_string(testing::free_port());
  const auto reply = ask_through("http://127.0.0.1:" + port);
  EXPECT_ERROR(reply, errc::unreachable);
  EXPECT_THAT(reply.err().detail, HasSubstr("the proxy 127.0.0.1:" + port));
}

TEST(proxy, that_leaves_babbles_or_speaks_for_the_hub_is_refused) {
  const std::pair<const char*, const char*> cases[] = {
    {"", "ended the connection"},
    {"HTTP/1.1 200 Con", "ended the connection"},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not answer like an HTTP proxy"},
    {"HTTP/1.1 200 OK\r\n\r\nbytes", "cannot have sent"},
    {"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", "does not allow"},
  };
  for (const auto& entry : cases) {
    std::promise<std::string> asked;
    tls_server proxy({}, [&](peer& p) {
      asked.set_value(p.read_request()->head);
      p.write(entry.first);
      p.finish();
      p.wait_until_closed();
    });
    const auto reply = ask_through(proxy.url());
    EXPECT_ERROR(reply, errc::proxy_refused);
    EXPECT_THAT(reply.err().detail, HasSubstr(entry.second));
    const auto head = asked.get_future().get();
    EXPECT_THAT(head, HasSubstr("CONNECT hub.example:443 HTTP/1.1\r\nHost: hub.example:443\r\n"));
    EXPECT_THAT(head, HasSubstr("Proxy-Authorization: Basic dTpw"));
  }
}

TEST(proxy, never_sees_the_token) {
  std::promise<std::string> asked;
  tls_server proxy({}, [&](peer& p) { asked.set_value(p.read_request()->head); });
  auto t = connect("https://hub.example",
                   {.token = "hub-token", .tls = {}, .proxy = {.url = proxy.url(), .user = {}, .password = {}, .no_proxy = {}}});
  EXPECT_FALSE(ask(*t, post("/")).ok());
  EXPECT_THAT(asked.get_future().get(), Not(HasSubstr("hub-token")));
}

} // namespace
} // namespace sallyport::io
