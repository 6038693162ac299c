#include "adapters/http/core/plan.hpp"

#include "adapters/api/testing.hpp"
#include "adapters/api/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::adapters::http {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

const wall_time now = *parse_rfc3339("2024-02-29T12:00:00Z");

settings base() {
  settings s;
  s.url = "https://erp.example";
  s.path_prefixes = {"/v1/orders", "/open/"};
  return s;
}

std::string refusal(const settings& s, const std::string& data) {
  const auto planned = plan(s, make_job(1, "x", data));
  const auto* f = std::get_if<failure>(&planned);
  if (!f)
    return {};
  EXPECT_FALSE(f->retryable);
  EXPECT_EQ(f->effect, wire::effect_state::none);
  return f->error;
}
request planned(const settings& s, const std::string& data, std::uint64_t serial = 1) {
  return std::get<request>(plan(s, make_job(serial, "x", data)));
}

TEST(http_plan, an_event_becomes_a_request) {
  const auto r =
    planned(base(), R"({"method":"POST","path":"/v1/orders?dry=1","headers":{"Accept":"text/csv"},"body":{"a": 1}})");
  EXPECT_EQ(r.method, "POST");
  EXPECT_EQ(r.path, "/v1/orders?dry=1");
  EXPECT_EQ(r.body, R"({"a": 1})");
  EXPECT_THAT(r.headers, Contains(Pair("Accept", "text/csv")));
  EXPECT_THAT(r.headers, Contains(Pair("Content-Type", "application/json")));
  EXPECT_THAT(r.headers, Contains(Pair("Idempotency-Key", "m1-1")));
  EXPECT_EQ(planned(base(), R"({"method":"GET","path":"/v1/orders"})").has_body, false);
  EXPECT_EQ(planned(base(), R"({"method":"PUT","path":"/v1/orders","body":"a\nb"})").body, "a\nb");
  EXPECT_EQ(planned(base(), R"({"method":"PUT","path":"/v1/orders","body_base64":"AP8="})").body, std::string("\0\xff", 2));
}

TEST(http_plan, a_fixed_path_takes_the_events_data_as_body) {
  auto s = base();
  s.path = "/v1/orders";
  s.method = "PUT";
  const auto r = planned(s, R"({"path":"/etc","method":"DELETE"})");
  EXPECT_EQ(r.method, "PUT");
  EXPECT_EQ(r.path, "/v1/orders");
  EXPECT_EQ(r.body, R"({"path":"/etc","method":"DELETE"})");
}

TEST(http_plan, the_key_stays_over_attempts_and_the_trace_goes_on) {
  auto first = make_job(7, "x", R"({"method":"GET","path":"/v1/orders"})", 1);
  auto second = make_job(7, "x", R"({"method":"GET","path":"/v1/orders"})", 2);
  first.attributes.trace_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_THAT(std::get<request>(plan(base(), first)).headers, Contains(Pair("traceparent", first.attributes.trace_parent)));
  EXPECT_THAT(std::get<request>(plan(base(), first)).headers, Contains(Pair("Idempotency-Key", "m1-7")));
  EXPECT_THAT(std::get<request>(plan(base(), second)).headers, Contains(Pair("Idempotency-Key", "m1-7")));
}

TEST(http_plan, methods_and_paths_that_are_not_allowed_are_refused) {
  for (const auto* method : {"TRACE", "CONNECT", "get", "GET /x HTTP/1.1\\r\\nX:", ""})
    EXPECT_FALSE(refusal(base(), std::string{R"({"method":")"} + method + R"(","path":"/v1/orders"})").empty()) << method;
  for (const auto* path : {"/", "/v1", "/v1/orders-old", "/v2/orders", "/open", "/V1/orders"})
    EXPECT_THAT(refusal(base(), std::string{R"({"method":"GET","path":")"} + path + "\"}"), HasSubstr("do not allow the path"))
      << path;
  for (const auto* path :
       {"/v1/orders", "/v1/orders/", "/v1/orders/7?x=/../..", "/v1/orders?x", "/open/any/thing", "/v1/orders/a%20b"})
    EXPECT_EQ(refusal(base(), std::string{R"({"method":"GET","path":")"} + path + "\"}"), "") << path;
}

TEST(http_plan, paths_that_some_server_reads_otherwise_are_refused) {
  for (const auto* path : {"/v1/orders/../admin",
                           "/v1/orders/..",
                           "/v1/orders/./x",
                           "/v1/orders//x",
                           "//v1/orders",
                           "/v1/orders/%2e%2e/admin",
                           "/v1/orders/%2E./admin",
                           "/v1/orders/..%2fadmin",
                           "/v1/orders/%5c..%5cadmin",
                           "/v1/orders/..\\\\admin",
                           "/v1/orders/%252e%252e",
                           "/v1/orders/%00",
                           "/v1/orders/%0d%0a",
                           "/v1/orders/..;/admin",
                           "/v1/orders/;x/y",
                           "/v1/orders/x%3b",
                           "/v1/orders#x",
                           "/v1/orders/%",
                           "/v1/orders/%zz",
                           "/v1/orders/a b",
                           "/v1/orders/\\u0000",
                           "v1/orders",
                           "",
                           "http://other/v1/orders",
                           "/v1/orders?a=%0a",
                           "/v1/orders/%2",
                           "/v1/orders/\\u00e4"})
    EXPECT_THAT(refusal(base(), std::string{R"({"method":"GET","path":")"} + path + "\"}"), HasSubstr("data.path")) << path;
}

TEST(http_plan, headers_of_the_connection_and_of_others_are_refused) {
  auto s = base();
  s.request_headers.push_back("X-Mine");
  for (const auto* header : {"Host", "Connection", "Transfer-Encoding", "content-length", "Authorization", "Idempotency-Key",
                             "X-Other", "Te", "a b", ""})
    EXPECT_THAT(refusal(s, std::string{R"({"method":"GET","path":"/v1/orders","headers":{")"} + header + R"(":"x"}})"),
                HasSubstr("do not allow the header"))
      << header;
  EXPECT_EQ(refusal(s, R"({"method":"GET","path":"/v1/orders","headers":{"x-mine":"x"}})"), "");
  EXPECT_THAT(refusal(s, R"({"method":"GET","path":"/v1/orders","headers":{"x-mine":"a\r\nHost: b"}})"), HasSubstr("one line"));
  EXPECT_THAT(refusal(s, R"({"method":"GET","path":"/v1/orders","headers":{"x-mine":1}})"), HasSubstr("must be a text"));
  EXPECT_THAT(refusal(s, R"({"method":"GET","path":"/v1/orders","headers":{"x-mine":"1","X-Mine":"2"}})"), HasSubstr("twice"));
  EXPECT_THAT(refusal(s, R"({"method":"GET","path":"/v1/orders","headers":[1]})"), HasSubstr("must be an object"));
}

TEST(http_plan, credentials_come_from_the_settings) {
  auto s = base();
  s.bearer_token = "t0k";
  EXPECT_THAT(planned(s, R"({"method":"GET","path":"/v1/orders"})").headers, Contains(Pair("Authorization", "Bearer t0k")));
  s.bearer_token.clear();
  s.user = "u";
  s.password = "p";
  EXPECT_THAT(planned(s, R"({"method":"GET","path":"/v1/orders"})").headers, Contains(Pair("Authorization", "Basic dTpw")));
}

struct judgement {
  wire::failure_scope scope;
  bool retryable;
  wire::effect_state effect;
};

TEST(http_classify, every_status_has_its_meaning) {
  using wire::effect_state;
  using wire::failure_scope;
  const std::map<int, judgement> table{
    {429, {failure_scope::target, true, effect_state::none}},     {503, {failure_scope::target, true, effect_state::none}},
    {408, {failure_scope::message, true, effect_state::none}},    {425, {failure_scope::message, true, effect_state::none}},
    {500, {failure_scope::message, true, effect_state::unknown}}, {502, {failure_scope::message, true, effect_state::unknown}},
    {504, {failure_scope::message, true, effect_state::unknown}}, {400, {failure_scope::message, false, effect_state::none}},
    {401, {failure_scope::message, false, effect_state::none}},   {404, {failure_scope::message, false, effect_state::none}},
    {409, {failure_scope::message, false, effect_state::none}},   {302, {failure_scope::message, false, effect_state::none}},
    {304, {failure_scope::message, false, effect_state::none}}};
  for (const auto& [status, wanted] : table) {
    const auto o = classify(base(), {.status = status, .headers = {{"retry-after", "3"}}, .body = "why"}, "GET /x", now);
    EXPECT_EQ(o.what, outcome::kind::failed) << status;
    EXPECT_EQ(o.scope, wanted.scope) << status;
    EXPECT_EQ(o.retryable, wanted.retryable) << status;
    EXPECT_EQ(o.effect, wanted.effect) << status;
    EXPECT_EQ(o.retry_after, milliseconds{3000});
    EXPECT_THAT(o.error, HasSubstr("why"));
  }
}

TEST(http_classify, an_answer_becomes_a_result) {
  const auto result = [](reply r) { return classify(base(), r, "GET /x", now).result; };
  EXPECT_EQ(result({.status = 201,
                    .headers = {{"content-type", "application/json; charset=utf-8"}, {"set-cookie", "x"}},
                    .body = R"({"a":[1]})"}),
            R"({"status":201,"headers":{"content-type":"application/json; charset=utf-8"},"body":{"a":[1]}})");
  EXPECT_EQ(result({.status = 200, .headers = {{"content-type", "application/json"}}, .body = "{broken"}),
            R"({"status":200,"headers":{"content-type":"application/json"},"body":"{broken"})");
  EXPECT_EQ(result({.status = 200, .headers = {}, .body = "a\"b"}), R"({"status":200,"headers":{},"body":"a\"b"})");
  EXPECT_EQ(result({.status = 200, .headers = {}, .body = "\xff"}), R"({"status":200,"headers":{},"body_base64":"/w=="})");
  EXPECT_EQ(result({.status = 204, .headers = {}, .body = ""}), R"({"status":204,"headers":{}})");
  EXPECT_EQ(result({.status = 200, .headers = {}, .body = std::string(190'000, '\1')}),
            R"({"status":200,"headers":{},"body_left_out":true})");
}

TEST(http_classify, retry_after_is_seconds_or_a_date) {
  EXPECT_EQ(parse_retry_after("120", now), milliseconds{120'000});
  EXPECT_EQ(parse_retry_after("0", now), milliseconds{0});
  EXPECT_EQ(parse_retry_after("Thu, 29 Feb 2024 12:00:30 GMT", now), milliseconds{30'000});
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), milliseconds{0}) << "it is over";
  EXPECT_EQ(parse_retry_after("4000000000", now), std::chrono::hours{24});
  for (const auto* wrong :
       {"", "soon", "-1", "1.5", "Thu, 31 Feb 2024 12:00:30 GMT", "Thu, 29 Feb 2024 12:00:30 CET", "99999999999999"})
    EXPECT_FALSE(parse_retry_after(wrong, now)) << wrong;
}

TEST(http_url, says_where_the_service_is) {
  const auto a = *parse_url("HTTPS://Erp.Example:8443/base/");
  EXPECT_TRUE(a.tls);
  EXPECT_EQ(a.host, "erp.example");
  EXPECT_EQ(a.fingerprint(), "https://erp.example:8443/base");
  EXPECT_EQ(a.host_header, "erp.example:8443");
  EXPECT_EQ(parse_url("http://10.0.0.1")->host_header, "10.0.0.1");
  EXPECT_EQ(parse_url("http://[::1]:80")->host_header, "[::1]");
  EXPECT_EQ(parse_url("https://[fe80::1]")->authority(), "[fe80::1]:443");
  for (const auto* wrong : {"", "erp.example", "ftp://x", "https://", "https://u:p@x", "https://x:0", "https://x:70000",
                            "https://x:", "https://x/a/../b", "https://x/a?b", "https://[::1", "https://a b"})
    EXPECT_FALSE(parse_url(wrong).ok()) << wrong;
}

TEST(http_check, names_every_fault_at_once) {
  settings s;
  s.url = "erp";
  s.methods = {"GET", "CONNECT"};
  s.path_prefixes = {"orders"};
  s.request_headers = {"Host", "Authorization"};
  s.headers = {{"X", "a\nb"}};
  s.bearer_token = "t";
  s.user = "u";
  s.workers = 0;
  const auto checked = check(s);
  ASSERT_FALSE(checked.ok());
  for (const auto* fault :
       {"url must begin", "'CONNECT'", "'orders'", "'Host'", "'Authorization'", "headers: 'X'", "exclude each other", "workers"})
    EXPECT_THAT(checked.err().detail, HasSubstr(fault));
  EXPECT_THAT(checked.err().detail, Not(HasSubstr("a\nb")));
  EXPECT_TRUE(check(base()).ok()) << check(base()).err().detail;
  auto missing = base();
  missing.ca_file = "/none/ca.pem";
  EXPECT_THAT(check(missing).err().detail, HasSubstr("/none/ca.pem"));
}

} // namespace
} // namespace sallyport::adapters::http
