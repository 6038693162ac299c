// The socket side, by raw bytes.
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"
#include "tests/cloud/hub/support.hpp"

#include <spdlog/spdlog.h>

#include <fstream>

namespace sallyport::cloud {
namespace {

using namespace test;

struct quiet : testing::Environment {
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
};
const auto* const quietly = testing::AddGlobalTestEnvironment(new quiet);

const std::string enqueue_path = "/v1/groups/g/connections/c/messages";

std::string enqueue(std::string_view id, std::string_view more = {}) {
  return request("POST", enqueue_path, event(id), event_type, more);
}

TEST(server, serves_one_connection_for_many_requests) {
  running_hub hub;
  raw_client c{hub.port()};
  for (int i = 0; i < 20; ++i) {
    auto r = c.ask(enqueue("e" + std::to_string(i)));
    ASSERT_EQ(r.status, 201) << r.body;
    EXPECT_EQ(r.header("content-type"), "application/json");
    EXPECT_EQ(r.header("connection"), "");
    EXPECT_EQ(field(r.body, "duplicate"), "false");
    EXPECT_TRUE(r.header("date").ends_with(" GMT"));
  }
}

TEST(server, pipelined_requests_are_answered_in_order) {
  running_hub hub;
  raw_client c{hub.port()};
  std::string all;
  for (int i = 0; i < 50; ++i)
    all += i % 2 ? request("GET", "/healthz") : enqueue("e" + std::to_string(i));
  c.send(all);
  for (int i = 0; i < 50; ++i)
    ASSERT_EQ(c.receive().status, i % 2 ? 200 : 201) << i;
}

TEST(server, a_request_may_come_byte_by_byte) {
  running_hub hub;
  raw_client c{hub.port()};
  for (char byte : enqueue("slow"))
    c.send({&byte, 1});
  EXPECT_EQ(c.receive().status, 201);
}

TEST(server, chunks_are_put_together_and_harmless_trailers_overlooked) {
  running_hub hub;
  raw_client c{hub.port()};
  const auto body = event("chunked");
  const auto head = "POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
                    + std::string{event_type} + "\r\nTransfer-Encoding: chunked\r\n\r\n";
  auto chunk = [](std::string_view part) {
    char size[20];
    std::snprintf(size, sizeof size, "%zx", part.size());
    return std::string{size} + "\r\n" + std::string{part} + "\r\n";
  };
  c.send(head + chunk(body.substr(0, 7)));
  c.send(chunk(body.substr(7)) + "0\r\nX-Checksum: 1\r\n\r\n");
  auto r = c.receive();
  EXPECT_EQ(r.status, 201) << r.body;
  EXPECT_EQ(c.ask(head + chunk(event("more")) + "0\r\n\r\n").status, 201);
  EXPECT_EQ(c.ask(request("GET", "/healthz")).status, 200);
}

TEST(server, chunks_may_come_byte_by_byte_also_when_there_are_none) {
  running_hub hub;
  raw_client c{hub.port()};
  c.send("GET /healthz HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const char byte : std::string{"0\r\n\r\n"})
    c.send({&byte, 1});
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_EQ(c.ask(request("GET", "/healthz")).status, 200);
}

TEST(server, a_trailer_that_alters_the_request_is_refused) {
  running_hub hub;
  for (const char* trailer :
       {"Content-Length: 3", "Transfer-Encoding: gzip", "Host: other", "Authorization: Bearer x", "Connection: close"}) {
    raw_client c{hub.port()};
    auto r = c.ask("POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
                   + std::string{event_type} + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n" + trailer + "\r\n\r\n");
    EXPECT_EQ(r.code(), "malformed_http") << trailer << r.body;
    EXPECT_TRUE(c.is_closed()) << trailer;
  }
}

TEST(server, framing_in_doubt_is_refused_and_the_connection_closed) {
  running_hub hub;
  const std::string smuggled = "GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n";
  const std::string post = "POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\n";
  const std::vector<std::string> heads{
    post + "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n",
    post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    post + "Content-Length: 3\r\nContent-Length: 30\r\n\r\n",
    post + "Content-Length: 3, 3\r\n\r\n",
    post + "Host: other\r\nContent-Length: 3\r\n\r\n",
    post + "X-Folded: a\r\n b\r\nContent-Length: 3\r\n\r\n",
    post + "X-Bare: a\nContent-Length: 3\r\n\r\n",
    post + "Content-Length : 3\r\n\r\n",
    "POST " + enqueue_path + " HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST http://hub" + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\n",
    "GET /healthz HTTP/1.1\r\n\r\n",
    "\x16\x03\x01\x02\x01\x01\r\n\r\n", // A TLS hello, or what a client sends that takes us for something else.
  };
  for (const auto& head : heads) {
    raw_client c{hub.port()};
    c.send(head + "abc" + smuggled);
    auto r = c.receive();
    EXPECT_EQ(r.status, 400) << head;
    EXPECT_EQ(r.code(), "malformed_http") << head;
    EXPECT_EQ(r.header("connection"), "close") << head;
    EXPECT_TRUE(c.is_closed()) << head; // What was smuggled behind it is never answered.
  }
  EXPECT_EQ(hub.metric("sallyport_hub_enqueued_total"), 0);
}

TEST(server, bad_chunks_are_refused) {
  running_hub hub;
  const std::string head = "POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
                           + std::string{event_type} + "\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* chunks : {"zz\r\n{}\r\n0\r\n\r\n", "2\n{}\r\n0\r\n\r\n", "2\r\n{}xx0\r\n\r\n", "fffffffffffffffff\r\n{}\r\n",
                             "-1\r\n{}\r\n0\r\n\r\n"}) {
    raw_client c{hub.port()};
    auto r = c.ask(head + chunks);
    EXPECT_TRUE(r.code() == "malformed_http" || r.code() == "body_too_large") << chunks << r.body;
    EXPECT_TRUE(c.is_closed()) << chunks;
  }
}

TEST(server, grants_come_in_frames_to_who_accepts_them_and_in_json_to_others) {
  running_hub hub;
  raw_client c{hub.port()};
  const auto claims = "/v1/sessions/" + hub.open_session("a") + "/claims";
  ASSERT_EQ(c.ask(enqueue("a")).status, 201);
  const auto claim = running_hub::claiming(1, 0);
  const auto framed = c.ask(request("POST", claims, claim, "application/json", "Accept: application/vnd.sallyport.frames\r\n"));
  EXPECT_EQ(framed.header("content-type"), wire::frames_type);
  const auto grants = wire::decode_frames<wire::claim_reply>(framed.body);
  ASSERT_TRUE(grants) << to_string(grants.err());
  for (const char* accept : {"", "Accept: */*\r\n", "Accept: application/json\r\n"}) {
    const auto json = c.ask(request("POST", claims, claim, "application/json", accept)); // The same claim again.
    EXPECT_EQ(json.header("content-type"), "application/json") << accept;
    EXPECT_EQ(json.body, wire::encode(*grants)) << accept;
  }
}

TEST(server, ordinary_refusals_leave_the_connection_usable) {
  running_hub hub;
  raw_client c{hub.port()};
  EXPECT_EQ(c.ask(request("GET", "/nowhere")).code(), "not_found");
  auto wrong = c.ask(request("PATCH", "/v1/groups", "{}"));
  EXPECT_EQ(wrong.code(), "method_not_allowed");
  EXPECT_EQ(wrong.header("allow"), "GET, HEAD");
  auto unknown = c.ask(request("POST", enqueue_path, event("a"), event_type, {}, "wrong"));
  EXPECT_EQ(unknown.code(), "bad_token");
  EXPECT_EQ(unknown.header("www-authenticate"), "Bearer realm=\"sallyport\", error=\"invalid_token\"");
  EXPECT_EQ(c.ask(request("POST", enqueue_path, event("a"), event_type, {}, "")).code(), "token_required");
  EXPECT_EQ(c.ask(request("POST", enqueue_path, "{\"specversion\":", event_type)).code(), "malformed_json");
  EXPECT_EQ(c.ask(request("POST", enqueue_path, "{}", event_type)).code(), "missing_attribute");
  EXPECT_EQ(c.ask(request("POST", enqueue_path, "{\"a\":\"\xff\"}", event_type)).code(), "invalid_utf8");
  EXPECT_EQ(c.ask(request("POST", enqueue_path, "<a/>", "text/xml")).code(), "unsupported_media_type");
  EXPECT_EQ(c.ask(enqueue("zipped", "Content-Encoding: gzip\r\n")).code(), "unsupported_media_type");
  EXPECT_EQ(c.ask(request("GET", "/v1/messages/m1-1")).code(), "unknown_message");
  EXPECT_EQ(c.ask(request("POST", "/v1/sessions/s1-1/heartbeat", "{}")).code(), "unknown_session");
  EXPECT_EQ(c.ask(enqueue("a")).status, 201);
}

TEST(server, head_gets_the_length_and_no_body) {
  running_hub hub;
  raw_client c{hub.port()};
  c.send(request("HEAD", "/healthz"));
  auto r = c.receive(true);
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.header("content-length"), "15");
  EXPECT_EQ(c.ask(request("GET", "/healthz")).body, R"({"status":"ok"})"); // Were there a body, it would come first.
}

TEST(server, http_1_0_is_closed_unless_it_asks_to_stay) {
  running_hub hub;
  {
    raw_client c{hub.port()};
    EXPECT_EQ(c.ask("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
    EXPECT_TRUE(c.is_closed());
  }
  raw_client c{hub.port()};
  EXPECT_EQ(c.ask("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("connection"), "keep-alive");
  EXPECT_EQ(c.ask("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
}

TEST(server, one_empty_line_before_a_request_is_overlooked) {
  running_hub hub;
  raw_client c{hub.port()};
  EXPECT_EQ(c.ask("\r\n" + request("GET", "/healthz")).status, 200);
  EXPECT_EQ(c.ask("\r\n\r\n" + request("GET", "/healthz")).code(), "malformed_http");
}

TEST(server, a_client_that_asks_whether_to_continue_is_told) {
  running_hub hub;
  const auto body = event("expected");
  const auto whole = request("POST", enqueue_path, body, event_type, "Expect: 100-continue\r\n");
  const auto head = whole.substr(0, whole.size() - body.size());
  {
    raw_client c{hub.port()};
    EXPECT_EQ(c.ask(head).status, 100);
    EXPECT_EQ(c.ask(body).status, 201);
  }
  raw_client c{hub.port()}; // Refused by its head alone: no body is asked for.
  auto r = c.ask("POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(r.code(), "token_required");
  EXPECT_TRUE(c.is_closed());
}

TEST(server, bodies_over_the_limit_are_refused_before_they_are_read) {
  running_hub hub{[](auto& s) { s.limits.body_bytes = 10'000; }};
  {
    raw_client c{hub.port()};
    auto r = c.ask("POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
                   + std::string{event_type} + "\r\nContent-Length: 10001\r\n\r\n");
    EXPECT_EQ(r.status, 413);
    EXPECT_EQ(r.code(), "body_too_large");
    EXPECT_TRUE(c.is_closed());
  }
  raw_client c{hub.port()};
  std::string chunks;
  for (int i = 0; i < 11; ++i)
    chunks += "3e8\r\n" + std::string(1000, ' ') + "\r\n";
  auto r = c.ask("POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
                 + std::string{event_type} + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
  EXPECT_EQ(r.code(), "body_too_large");
  EXPECT_TRUE(c.is_closed());
}

TEST(server, a_client_still_sending_can_read_why_it_is_refused) {
  running_hub hub;
  raw_client c{hub.port()};
  c.send("POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
         + std::string{event_type} + "\r\nContent-Length: 100000000\r\n\r\n" + std::string(600'000, ' '));
  EXPECT_EQ(c.receive().code(), "body_too_large");
}

TEST(server, events_and_batches_have_limits_of_their_own) {
  running_hub hub{[](auto& s) {
    s.limits.event.event_bytes = 200;
    s.limits.event.events = 3;
  }};
  raw_client c{hub.port()};
  EXPECT_EQ(c.ask(request("POST", enqueue_path, event("big", std::string(200, '1')), event_type)).code(), "event_too_large");
  const auto four = "[" + event("a") + "," + event("b") + "," + event("c") + "," + event("d") + "]";
  EXPECT_EQ(c.ask(request("POST", enqueue_path, four, batch_type)).code(), "too_many_events");
  const auto one_bad = "[" + event("a") + "," + event("b") + ",{}]";
  auto r = c.ask(request("POST", enqueue_path, one_bad, batch_type));
  EXPECT_EQ(r.code(), "missing_attribute");
  EXPECT_EQ(field(r.body, "index"), "2");
  EXPECT_EQ(hub.metric("sallyport_hub_enqueued_total"), 0);
}

TEST(server, a_head_over_the_limit_is_refused) {
  running_hub hub{[](auto& s) { s.limits.head_bytes = 1000; }};
  raw_client c{hub.port()};
  auto r = c.ask("GET /healthz HTTP/1.1\r\nHost: hub\r\nX-Long: " + std::string(2000, 'a') + "\r\n\r\n");
  EXPECT_EQ(r.status, 431);
  EXPECT_EQ(r.code(), "header_too_large");
  EXPECT_TRUE(c.is_closed());
}

TEST(server, a_post_that_states_no_length_is_refused) {
  running_hub hub;
  raw_client c{hub.port()};
  auto r = c.ask("POST " + enqueue_path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer dev\r\nContent-Type: "
                 + std::string{event_type} + "\r\n\r\n");
  EXPECT_EQ(r.status, 411);
  EXPECT_EQ(r.code(), "length_required");
}

TEST(server, a_request_that_does_not_end_is_given_up) {
  running_hub hub{[](auto& s) { s.limits.request_timeout = 100ms; }};
  {
    raw_client c{hub.port()};
    EXPECT_EQ(c.ask("GET /healthz HTTP/1.1\r\nHost:").code(), "request_timeout");
    EXPECT_TRUE(c.is_closed());
  }
  raw_client c{hub.port()};
  const auto whole = enqueue("never");
  auto r = c.ask(whole.substr(0, whole.size() - 5));
  EXPECT_EQ(r.status, 408);
  EXPECT_TRUE(c.is_closed());
}

TEST(server, an_idle_connection_is_closed_without_a_word) {
  running_hub hub{[](auto& s) { s.limits.idle_timeout = 100ms; }};
  raw_client c{hub.port()};
  EXPECT_EQ(c.ask(request("GET", "/healthz")).status, 200);
  EXPECT_TRUE(c.is_closed());
}

TEST(server, connections_over_the_limit_are_told_so) {
  running_hub hub{[](auto& s) { s.limits.sockets = 2; }};
  raw_client a{hub.port()}, b{hub.port()};
  EXPECT_EQ(a.ask(request("GET", "/healthz")).status, 200);
  EXPECT_EQ(b.ask(request("GET", "/healthz")).status, 200);
  raw_client over{hub.port()};
  auto r = over.ask(request("GET", "/healthz"));
  EXPECT_EQ(r.status, 429);
  EXPECT_EQ(r.code(), "too_many_requests");
  EXPECT_EQ(r.header("retry-after"), "1");
  EXPECT_TRUE(over.is_closed());
  a.hang_up();
  EXPECT_TRUE(eventually([&] { return raw_client{hub.port()}.ask(request("GET", "/healthz")).status == 200; }));
}

TEST(server, a_parked_claim_whose_client_is_gone_is_taken_back) {
  running_hub hub;
  const auto session = hub.open_session("a");
  ASSERT_FALSE(session.empty());
  raw_client claimer{hub.port()};
  claimer.send(request("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(1, 50'000)));
  ASSERT_TRUE(eventually([&] { return hub.metric("sallyport_hub_claims_parked") == 1; }));
  claimer.hang_up();
  ASSERT_TRUE(eventually([&] { return hub.metric("sallyport_hub_claims_parked") == 0; }));
  raw_client c{hub.port()};
  ASSERT_EQ(c.ask(enqueue("later")).status, 201);
  EXPECT_EQ(hub.metric("sallyport_hub_granted_total"), 0); // Nobody was there to be granted it.
  auto next = c.ask(request("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(2, 0)));
  EXPECT_NE(field(next.body, "fence"), "");
}

TEST(server, a_request_sent_while_a_claim_is_parked_is_answered_after_it) {
  running_hub hub;
  const auto session = hub.open_session("a");
  raw_client claimer{hub.port()}, producer{hub.port()};
  claimer.send(request("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(1, 50'000))
               + request("GET", "/healthz"));
  ASSERT_TRUE(eventually([&] { return hub.metric("sallyport_hub_claims_parked") == 1; }));
  ASSERT_EQ(producer.ask(enqueue("one")).status, 201);
  auto granted = claimer.receive();
  EXPECT_EQ(granted.status, 200);
  EXPECT_NE(granted.body.find(event("one")), std::string::npos); // The very bytes.
  EXPECT_EQ(claimer.receive().body, R"({"status":"ok"})");
}

TEST(server, requests_that_come_while_a_claim_is_parked_wait_their_turn) {
  running_hub hub;
  const auto session = hub.open_session("a");
  raw_client claimer{hub.port()}, producer{hub.port()};
  claimer.send(request("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(1, 50'000)));
  ASSERT_TRUE(eventually([&] { return hub.metric("sallyport_hub_claims_parked") == 1; }));
  for (int i = 0; i < 400; ++i) // More than any buffer of ours, in pieces that end anywhere.
    claimer.send(enqueue("p" + std::to_string(i)));
  EXPECT_EQ(hub.metric("sallyport_hub_claims_parked"), 1);
  ASSERT_EQ(producer.ask(enqueue("one")).status, 201);
  EXPECT_NE(claimer.receive().body.find(event("one")), std::string::npos);
  for (int i = 0; i < 400; ++i)
    ASSERT_EQ(claimer.receive().status, 201) << i;
}

TEST(server, stopping_answers_what_is_parked_and_closes_what_is_idle) {
  running_hub hub;
  const auto session = hub.open_session("a");
  raw_client idle{hub.port()}, claimer{hub.port()};
  ASSERT_EQ(idle.ask(request("GET", "/healthz")).status, 200);
  claimer.send(request("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(1, 50'000)));
  ASSERT_TRUE(eventually([&] { return hub.metric("sallyport_hub_claims_parked") == 1; }));
  const auto port = hub.port();
  const auto began = std::chrono::steady_clock::now();
  hub.hub->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 4s); // Not until somebody's patience ended.
  auto r = claimer.receive();
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, R"({"grants":[]})");
  EXPECT_EQ(r.header("connection"), "close");
  EXPECT_TRUE(idle.is_closed());
  EXPECT_FALSE(raw_client{port}.connected());
}

TEST(server, dev_listens_on_loopback_only) {
  temp_folder folder;
  auto settings = dev_settings(folder);
  for (const char* listen : {"0.0.0.0:0", "[::]:0", "nonsense", "127.0.0.1:99999", "127.0.0.1:x"}) {
    settings.listen = listen;
    hub_parts parts;
    parts.store = std::make_unique<memory_store>(std::make_shared<memory_disk>());
    auto started = hub::start(settings, std::move(parts));
    ASSERT_FALSE(started.ok()) << listen;
    EXPECT_EQ(started.err().code, errc::invalid_config) << listen;
  }
}

TEST(server, the_port_taken_is_written_down) {
  running_hub hub;
  std::ifstream in{hub.folder.file("hub.port")};
  int port = 0;
  in >> port;
  EXPECT_EQ(port, hub.port());
}

TEST(server, is_alive_and_not_ready_while_the_store_is_read) {
  temp_folder folder;
  auto store = std::make_unique<gated_store>(std::make_shared<memory_disk>());
  auto doors = store->doors;
  doors->replay.close();
  std::promise<std::uint16_t> listening;
  hub_parts parts;
  parts.store = std::move(store);
  parts.on_listening = [&](std::uint16_t port) { listening.set_value(port); };
  auto started = std::async(std::launch::async, [&] { return hub::start(dev_settings(folder), std::move(parts)); });
  const auto port = listening.get_future().get();
  doors->replay.wait_for_a_guest();
  raw_client c{port};
  EXPECT_EQ(c.ask(request("GET", "/healthz")).status, 200);
  auto ready = c.ask(request("GET", "/readyz"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.code(), "not_ready");
  auto early = c.ask(enqueue("early"));
  EXPECT_EQ(early.code(), "not_ready");
  EXPECT_EQ(early.header("retry-after"), "1");
  doors->replay.open();
  auto hub = started.get();
  ASSERT_TRUE(hub.ok());
  EXPECT_EQ(c.ask(request("GET", "/readyz")).body, R"({"status":"ready"})");
  EXPECT_EQ(c.ask(enqueue("early")).status, 201);
}

TEST(server, a_full_store_refuses_producers_and_lets_agents_finish) {
  running_hub hub;
  raw_client c{hub.port()};
  const auto session = hub.open_session("a");
  ASSERT_EQ(c.ask(enqueue("before")).status, 201);
  hub.disk->set_capacity(1 << 20, 1 << 20); // What is left is kept for those who finish.
  reply refused;
  int n = 0;
  ASSERT_TRUE(eventually([&] {
    refused = c.ask(enqueue("during" + std::to_string(n++)));
    return refused.status == 507;
  }));
  EXPECT_EQ(refused.code(), "store_full");
  EXPECT_NE(refused.header("retry-after"), "");
  EXPECT_EQ(hub.metric("sallyport_hub_has_room"), 0);
  auto granted = c.ask(request("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(1, 0)));
  auto settled = c.ask(request("POST", "/v1/sessions/" + session + "/settlements",
                               R"({"agent_id":"id-a","items":[{"message":")" + field(granted.body, "message") + R"(","fence":")"
                                 + field(granted.body, "fence") + R"(","outcome":"done"}]})"));
  EXPECT_EQ(field(settled.body, "verdict"), "settled") << settled.body;
  hub.disk->set_capacity(1 << 20);
  EXPECT_TRUE(eventually([&] { return c.ask(enqueue("after")).status == 201; }));
}

} // namespace
} // namespace sallyport::cloud
