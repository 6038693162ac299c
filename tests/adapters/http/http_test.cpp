#include "adapters/api/conformance.hpp"
#include "adapters/http/settings.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/http_target.hpp"
#include "tests/support/temp_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::adapters::http {
namespace {

using namespace sallyport::testing;
using ::testing::HasSubstr;
using ::testing::Not;

settings for_url(const std::string& url) {
  settings s;
  s.url = url;
  return s;
}
const std::string post = R"({"method":"POST","path":"/orders","body":{"n":1}})";
outcome perform(adapter& a, std::uint64_t serial = 1, const std::string& data = post, milliseconds left = milliseconds{30'000}) {
  return perform_one(a, make_job(serial, "x", data, 1, left));
}
std::unique_ptr<adapter> make(const settings& s) {
  return make_factory(s).make();
}

class http_conformance_target final : public conformance_target {
public:
  factory make_factory() override { return http::make_factory(for_url(server_.url("127.0.0.1"))); }
  std::string good_data(int n) const override { return R"({"method":"POST","path":"/good","body":)" + std::to_string(n) + "}"; }
  std::string bad_data() const override { return R"({"method":"POST","path":"/bad"})"; }
  std::string slow_data() const override { return R"({"method":"POST","path":"/slow"})"; }
  std::int64_t effects() const override { return done_; }
  factory make_unreachable() override { return http::make_factory(for_url("http://127.0.0.1:" + std::to_string(free_port()))); }

private:
  http_answer answer(const seen_request& r) {
    if (r.head.find("/bad") != std::string::npos)
      return {422, R"({"why":"bad"})"};
    if (r.head.find("/slow") != std::string::npos) {
      (void)eventually([this] { return ending_.load(); }, std::chrono::seconds{15});
      return {500, "{}"};
    }
    ++done_;
    return {};
  }

  std::atomic<std::int64_t> done_{0};
  struct flag_at_end {
    std::atomic<bool>& flag;
    ~flag_at_end() { flag = true; }
  };
  std::atomic<bool> ending_{false};
  http_target server_{[this](const seen_request& r) { return answer(r); }};
  flag_at_end let_go_{ending_}; // Before the server ends.
};

TEST(http_adapter, sends_what_the_event_says_and_answers_what_the_service_said) {
  http_target service{[](const seen_request&) { return http_answer{201, R"({"id":7})", "ETag: \"x\"\r\nX-Secret: s\r\n"}; }};
  auto s = for_url(service.url("127.0.0.1") + "/base");
  s.headers = {{"X-Plant", "7"}};
  s.bearer_token = "t0k";
  const auto o = perform(*make(s), 42);
  EXPECT_EQ(o.result, R"({"status":201,"headers":{"content-type":"application/json","etag":"\"x\""},"body":{"id":7}})")
    << o.error;
  const auto seen = service.requests().at(0);
  EXPECT_EQ(seen.first_line(), "POST /base/orders HTTP/1.1");
  EXPECT_EQ(seen.body, R"({"n":1})");
  EXPECT_EQ(seen.field("Idempotency-Key"), "m1-42");
  EXPECT_EQ(seen.field("X-Plant"), "7");
  EXPECT_EQ(seen.field("Authorization"), "Bearer t0k");
  EXPECT_EQ(seen.field("Host"), "127.0.0.1:" + std::to_string(service.port()));
}

TEST(http_adapter, keeps_its_connection) {
  http_target service;
  const auto a = make(for_url(service.url("127.0.0.1")));
  for (std::uint64_t n = 1; n <= 10; ++n)
    EXPECT_EQ(perform(*a, n).what, outcome::kind::done);
  EXPECT_EQ(a->probe().state, wire::reach::up);
  EXPECT_EQ(service.connections(), 1);
}

TEST(http_adapter, a_connection_closed_while_idle_costs_no_attempt) {
  std::atomic<int> closed{0};
  tls_server service{{}, [&](peer& p) {
                       (void)p.read_request();
                       p.write(http_ok());
                       p.cut();
                       ++closed;
                     }};
  const auto a = make(for_url(service.url("127.0.0.1")));
  for (std::uint64_t n = 1; n <= 5; ++n) {
    EXPECT_EQ(perform(*a, n).what, outcome::kind::done);
    ASSERT_TRUE(eventually([&] { return closed == static_cast<int>(n); }));
    std::this_thread::sleep_for(
      milliseconds{20}); // For the end to cross the loopback; the test holds without it, too, most times.
  }
  EXPECT_EQ(service.connections(), 5);
}

TEST(http_adapter, no_second_request_is_sent_when_the_first_may_have_been_read) {
  std::atomic<int> requests{0};
  tls_server service{{}, [&](peer& p) {
                       while (p.read_request()) {
                         if (++requests == 2) {
                           p.cut();
                           return;
                         }
                         p.write(http_ok());
                       }
                     }};
  const auto a = make(for_url(service.url("127.0.0.1")));
  ASSERT_EQ(perform(*a, 1).what, outcome::kind::done);
  const auto o = perform(*a, 2);
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.effect, wire::effect_state::unknown);
  EXPECT_EQ(o.scope, wire::failure_scope::message);
  EXPECT_TRUE(o.retryable);
  EXPECT_EQ(requests, 2);
  EXPECT_EQ(perform(*a, 2).what, outcome::kind::done);
}

TEST(http_adapter, a_service_that_has_had_enough_is_left_alone_as_long_as_it_says) {
  http_target service{[](const seen_request&) { return http_answer{503, "later", "Retry-After: 7\r\n"}; }};
  const auto o = perform(*make(for_url(service.url("127.0.0.1"))));
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_EQ(o.retry_after, milliseconds{7000});
  EXPECT_THAT(o.error, HasSubstr("503"));
}

TEST(http_adapter, what_is_not_allowed_never_reaches_the_service) {
  http_target service;
  auto s = for_url(service.url("127.0.0.1"));
  s.path_prefixes = {"/orders"};
  s.methods = {"GET"};
  const auto a = make(s);
  for (const auto* data : {R"({"method":"POST","path":"/orders"})", R"({"method":"GET","path":"/admin"})",
                           R"({"method":"GET","path":"/orders/%2e%2e/admin"})"})
    EXPECT_FALSE(perform(*a, 1, data).retryable) << data;
  EXPECT_TRUE(service.requests().empty());
  EXPECT_EQ(perform(*a, 1, R"({"method":"GET","path":"/orders/1"})").what, outcome::kind::done);
}

TEST(http_adapter, answers_of_every_framing_are_understood) {
  const std::map<std::string, std::string> answers{
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
     R"({"status":200,"headers":{},"body":"hello world"})"},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", R"({"status":200,"headers":{},"body":"to the end"})"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", R"({"status":200,"headers":{},"body":"ok"})"},
    {"HTTP/1.1 204 No Content\r\n\r\n", R"({"status":204,"headers":{}})"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", R"({"status":200,"headers":{},"body_left_out":true})"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + std::string(300'000, 'x'),
     R"({"status":200,"headers":{},"body_left_out":true})"}};
  for (const auto& [sent, wanted] : answers) {
    tls_server service{{}, [&sent = sent](peer& p) {
                         (void)p.read_request();
                         p.write(sent);
                         p.finish();
                         (void)p.wait_until_closed();
                       }};
    const auto o = perform(*make(for_url(service.url("127.0.0.1"))));
    EXPECT_EQ(o.result, wanted) << sent.substr(0, 80) << o.error;
  }
}

TEST(http_adapter, an_answer_in_chunks_may_come_in_the_smallest_pieces) {
  temp_dir dir;
  certificate_authority authority{dir.path()};
  for (const std::string chunks : {"0\r\n\r\n", "2\r\nok\r\n0\r\nX: y\r\n\r\n"}) {
    tls_server service{{.certificate = authority.issue()}, [&chunks](peer& p) {
                         (void)p.read_request(); // Each write is a TLS record, and read by itself.
                         p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                         for (const char c : chunks)
                           p.write({&c, 1});
                         (void)p.wait_until_closed();
                       }};
    auto s = for_url(service.url("localhost"));
    s.ca_file = authority.ca_file();
    const auto o = perform(*make(s));
    EXPECT_EQ(o.what, outcome::kind::done) << o.error;
    EXPECT_EQ(o.result.find("ok") != std::string::npos, chunks.front() == '2') << o.result;
  }
}

TEST(http_adapter, answers_that_are_none_leave_the_effect_unknown) {
  for (const std::string sent :
       {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nX: "}) {
    tls_server service{{}, [&sent](peer& p) {
                         (void)p.read_request();
                         p.write(sent);
                         p.finish();
                         (void)p.wait_until_closed();
                       }};
    const auto o = perform(*make(for_url(service.url("127.0.0.1"))));
    EXPECT_EQ(o.what, outcome::kind::failed) << sent;
    EXPECT_EQ(o.effect, wire::effect_state::unknown) << sent;
    EXPECT_TRUE(o.retryable) << sent;
  }
}

TEST(http_adapter, the_answer_to_head_has_no_body) {
  tls_server service{{}, [](peer& p) {
                       while (p.read_request())
                         p.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                     }};
  auto s = for_url(service.url("127.0.0.1"));
  s.methods = {"HEAD"};
  const auto a = make(s);
  EXPECT_EQ(perform(*a, 1, R"({"method":"HEAD","path":"/x"})").result, R"({"status":200,"headers":{}})");
  EXPECT_EQ(perform(*a, 2, R"({"method":"HEAD","path":"/x"})").result, R"({"status":200,"headers":{}})");
  EXPECT_EQ(service.connections(), 1);
}

TEST(http_adapter, speaks_tls_and_holds_the_certificate_to_its_name_and_issuer) {
  temp_dir dir;
  certificate_authority authority{dir.path()};
  http_target service{[](const seen_request&) { return http_answer{}; }, {.certificate = authority.issue()}};
  auto s = for_url(service.url("localhost"));
  s.ca_file = authority.ca_file();
  ASSERT_TRUE(check(s).ok()) << check(s).err().detail;
  const auto a = make(s);
  for (std::uint64_t n = 1; n <= 3; ++n) {
    const auto o = perform(*a, n);
    EXPECT_EQ(o.what, outcome::kind::done) << o.error;
  }
  EXPECT_EQ(a->probe().state, wire::reach::up);
  const auto expect_refused = [](const settings& wrong, const std::string& why) {
    const auto b = make(wrong);
    const auto found = b->probe();
    EXPECT_EQ(found.state, wire::reach::down);
    EXPECT_THAT(found.detail, HasSubstr(why));
    const auto o = perform(*b);
    EXPECT_EQ(o.scope, wire::failure_scope::target);
    EXPECT_EQ(o.effect, wire::effect_state::none);
  };
  auto other_name = s;
  other_name.server_name = "erp.example";
  expect_refused(other_name, "saw subject");
  auto system_trust = s;
  system_trust.ca_file.clear();
  expect_refused(system_trust, "Sallyport Test CA");
  auto plain = s;
  plain.url = "http://localhost:" + std::to_string(service.port());
  EXPECT_EQ(perform(*make(plain)).what, outcome::kind::failed);
}

TEST(http_adapter, a_service_that_never_answers_is_given_up_in_time) {
  tls_server service{{}, [](peer& p) {
                       (void)p.read_request();
                       (void)p.wait_until_closed();
                     }};
  const auto o = perform(*make(for_url(service.url("127.0.0.1"))), 1, post, milliseconds{300});
  EXPECT_EQ(o.what, outcome::kind::failed);
  EXPECT_EQ(o.effect, wire::effect_state::unknown);
  EXPECT_THAT(o.error, HasSubstr("no answer came in time"));
}

TEST(http_adapter, a_name_that_nobody_has_blames_the_target) {
  const auto o = perform(*make(for_url("http://nobody.invalid")));
  EXPECT_EQ(o.scope, wire::failure_scope::target);
  EXPECT_EQ(o.effect, wire::effect_state::none);
  EXPECT_THAT(o.error, HasSubstr("nobody.invalid"));
}

TEST(http_adapter, a_probe_path_tells_a_sick_service_from_a_well_one) {
  std::atomic<int> status{500};
  http_target service{[&](const seen_request&) { return http_answer{status, "{}"}; }};
  auto s = for_url(service.url("127.0.0.1"));
  s.probe_path = "/health";
  const auto a = make(s);
  EXPECT_EQ(a->probe().state, wire::reach::down);
  status = 404;
  EXPECT_EQ(a->probe().state, wire::reach::up);
  EXPECT_EQ(service.requests().at(0).first_line(), "GET /health HTTP/1.1");
}

TEST(http_adapter, secrets_stay_out_of_errors) {
  http_target service{[](const seen_request&) { return http_answer{400, "no"}; }};
  auto s = for_url(service.url("127.0.0.1"));
  s.bearer_token = "very-secret";
  EXPECT_THAT(perform(*make(s)).error, Not(HasSubstr("very-secret")));
}

} // namespace
} // namespace sallyport::adapters::http

namespace sallyport::adapters {
INSTANTIATE_TEST_SUITE_P(http, adapter_conformance, ::testing::Values(make_conformance_target{[] {
                           return std::make_unique<http::http_conformance_target>();
                         }}));
} // namespace sallyport::adapters
