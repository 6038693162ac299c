// Every operation against a real shard, without sockets.
#include "cloud/hub/shard_host.hpp"
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"
#include "tests/cloud/hub/support.hpp"

namespace sallyport::cloud {
namespace {

using namespace test;

struct api_test : testing::Test {
  temp_folder folder;
  std::unique_ptr<hub_service> service;

  void SetUp() override {
    hub_parts parts;
    parts.store = std::make_unique<memory_store>(std::make_shared<memory_disk>());
    auto made = hub_service::make(dev_settings(folder), std::move(parts));
    ASSERT_TRUE(made.ok());
    service = *std::move(made);
    ASSERT_TRUE(service->start().ok());
  }
  void TearDown() override { service->stop(); }

  struct sent {
    std::shared_ptr<std::promise<api_response>> promise = std::make_shared<std::promise<api_response>>();
    std::future<api_response> future = promise->get_future();
    ticket as;

    api_response get() {
      EXPECT_EQ(future.wait_for(20s), std::future_status::ready);
      return future.get();
    }
  };
  sent send(std::string_view method, const std::string& target, std::string body = {}, std::string_view type = "application/json",
            std::string_view prefer = {}, std::string_view accept = {}) {
    sent s;
    const request_head head{method, target, "Bearer dev", body.empty() ? std::string_view{} : type, prefer, {}, accept};
    s.as = service->front().handle(head, std::move(body), [p = s.promise](api_response r) { p->set_value(std::move(r)); });
    return s;
  }
  api_response ask(std::string_view method, const std::string& target, std::string body = {},
                   std::string_view type = "application/json", std::string_view prefer = {}, std::string_view accept = {}) {
    return send(method, target, std::move(body), type, prefer, accept).get();
  }

  const std::string queue = "/v1/groups/g/connections/c";
  std::string session;

  void open() { session = "/v1/sessions/" + field(ask("POST", "/v1/sessions", running_hub::opening("a")).body, "session"); }
  std::string enqueue(const std::string& id) {
    return field(ask("POST", queue + "/messages", event(id), event_type).body, "message");
  }
  std::string claim(int seq, int wait_ms = 0) {
    return ask("POST", session + "/claims", running_hub::claiming(seq, wait_ms)).body;
  }
  std::string settle(const std::string& grant, const std::string& how) {
    return ask("POST", session + "/settlements",
               R"({"agent_id":"id-a","items":[{"message":")" + field(grant, "message") + R"(","fence":")" + field(grant, "fence")
                 + R"(",)" + how + "}]}")
      .body;
  }
  std::string state(const std::string& message) { return field(ask("GET", "/v1/messages/" + message).body, "state"); }
  static std::string header(const api_response& r, std::string_view name) {
    for (const auto& [n, v] : r.headers)
      if (n == name)
        return v;
    return {};
  }
  static std::string code(const api_response& r) { return reply{r.status, {}, r.body, false}.code(); }
};

TEST_F(api_test, a_message_goes_all_its_way) {
  open();
  const auto message = enqueue("one");
  EXPECT_EQ(state(message), "ready");
  const auto grant = claim(1);
  EXPECT_EQ(field(grant, "message"), message);
  EXPECT_EQ(state(message), "granted");
  EXPECT_EQ(claim(1), grant); // A lost answer is asked for again, and is the same.
  const auto extended =
    ask("POST", session + "/extensions",
        R"({"items":[{"message":")" + message + R"(","fence":")" + field(grant, "fence") + R"(","more_ms":60000}]})");
  EXPECT_EQ(field(extended.body, "verdict"), "settled");
  EXPECT_EQ(field(settle(grant, R"("outcome":"done","result":{"rows":1})"), "verdict"), "settled");
  EXPECT_EQ(field(settle(grant, R"("outcome":"done","result":{"rows":1})"), "verdict"), "settled"); // The same answer again.
  EXPECT_EQ(field(settle(grant, R"("outcome":"release")"), "verdict"), "already");                  // The first one counts.
  const auto seen = ask("GET", "/v1/messages/" + message);
  EXPECT_EQ(seen.status, 200);
  EXPECT_NE(seen.body.find(R"("result":{"rows":1})"), std::string::npos) << seen.body;
  EXPECT_EQ(field(ask("POST", queue + "/messages", event("one"), event_type).body, "duplicate"), "true");
  const auto reused = ask("POST", queue + "/messages", event("one", "2"), event_type);
  EXPECT_EQ(reused.status, 409);
  EXPECT_EQ(code(reused), "id_reused");
}

TEST_F(api_test, a_batch_is_stored_whole_or_not_at_all) {
  const auto good = ask("POST", queue + "/messages", "[" + event("a") + " , " + event("b") + "]", batch_type);
  EXPECT_EQ(good.status, 201);
  EXPECT_EQ(field(good.body, "id"), "a");
  const auto bad =
    ask("POST", queue + "/messages", "[" + event("c") + R"(,{"specversion":"1.0","id":"d","type":"t"}])", batch_type);
  EXPECT_EQ(code(bad), "missing_attribute");
  EXPECT_EQ(field(bad.body, "index"), "1");
  EXPECT_EQ(field(ask("GET", queue).body, "ready"), "2");
}

TEST_F(api_test, a_call_waits_for_its_result) {
  open();
  auto call = send("POST", queue + "/calls", event("call"), event_type, "wait=30");
  const auto grant = claim(1, 20'000);
  EXPECT_EQ(field(grant, "call"), "true");
  settle(grant, R"("outcome":"done","result":[1,2])");
  const auto answered = call.get();
  EXPECT_EQ(answered.status, 200);
  EXPECT_NE(answered.body.find(R"("result":[1,2])"), std::string::npos);
  EXPECT_EQ(ask("POST", queue + "/calls", event("call"), event_type).body, answered.body); // Sent again: the first result.
}

TEST_F(api_test, a_call_has_its_other_outcomes) {
  EXPECT_EQ(code(ask("POST", queue + "/calls", event("nobody"), event_type)), "no_agent_up");
  open();
  const auto pending = ask("POST", queue + "/calls", event("later"), event_type, "respond-async");
  EXPECT_EQ(pending.status, 202);
  EXPECT_EQ(header(pending, "Location"), "/v1/messages/" + field(pending.body, "message"));
  const auto first = claim(1);
  auto failing = send("POST", queue + "/calls", event("fails"), event_type);
  const auto grant = claim(2, 20'000);
  settle(grant, R"("outcome":"failed","error":"no such table","retryable":false)");
  const auto failed = failing.get();
  EXPECT_EQ(failed.status, 502);
  EXPECT_EQ(code(failed), "adapter_failed");
  const auto late = ask("POST", queue + "/calls?deadline_ms=50", event("late"), event_type);
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(code(late), "call_not_started");
  auto taken = send("POST", queue + "/calls?deadline_ms=1500", event("taken"), event_type);
  claim(3, 20'000);
  EXPECT_EQ(code(taken.get()), "call_outcome_unknown");
}

TEST_F(api_test, a_cancelled_claim_is_taken_back) {
  open();
  auto parked = send("POST", session + "/claims", running_hub::claiming(1, 50'000));
  service->host().step();
  service->front().cancel(parked.as);
  service->host().step();
  const auto message = enqueue("one");
  EXPECT_EQ(state(message), "ready");
}

TEST_F(api_test, dead_letters_are_listed_and_redriven) {
  open();
  ASSERT_EQ(ask("PUT", queue, R"({"max_attempts":1})").status, 200);
  const auto message = enqueue("bad");
  settle(claim(1), R"("outcome":"failed","error":"cannot")");
  EXPECT_EQ(state(message), "dead");
  const auto dead = ask("GET", queue + "/dead");
  EXPECT_EQ(field(dead.body, "message"), message);
  EXPECT_EQ(field(dead.body, "error"), "cannot");
  const auto redriven = ask("POST", queue + "/dead/redrive", R"({"messages":[")" + message + R"("]})");
  EXPECT_EQ(redriven.body, R"({"count":1})");
  EXPECT_EQ(code(ask("POST", queue + "/dead/redrive", R"({"messages":[")" + message + R"("]})")), "not_dead");
  EXPECT_EQ(ask("POST", queue + "/dead/redrive").body, R"({"count":0})"); // All of them: none.
  EXPECT_EQ(state(message), "ready");
}

TEST_F(api_test, messages_are_listed_in_pages_peeked_cancelled_and_purged) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i)
    ids.push_back(enqueue("e" + std::to_string(i)));
  const auto page = ask("GET", queue + "/messages?limit=2&state=ready&peek=true");
  EXPECT_NE(page.body.find(event("e1")), std::string::npos) << page.body;
  EXPECT_EQ(page.body.find(event("e2")), std::string::npos);
  const auto next = ask("GET", queue + "/messages?limit=2&after=" + field(page.body, "next"));
  EXPECT_EQ(field(next.body, "message"), ids[2]);
  EXPECT_EQ(code(ask("GET", queue + "/messages?limit=0")), "invalid_request");
  EXPECT_EQ(code(ask("GET", queue + "/messages?state=lost")), "invalid_request");
  EXPECT_EQ(code(ask("GET", queue + "/messages?after=x")), "invalid_request");
  EXPECT_EQ(code(ask("GET", queue + "/messages?limit=%zz")), "invalid_request");
  const auto cancelled = ask("DELETE", "/v1/messages/" + ids[0]);
  EXPECT_EQ(field(cancelled.body, "may_have_run"), "false");
  EXPECT_EQ(code(ask("DELETE", "/v1/messages/" + ids[0])), "already_final");
  EXPECT_EQ(code(ask("DELETE", queue + "/messages")), "invalid_request"); // What to purge must be said.
  EXPECT_EQ(ask("DELETE", queue + "/messages?state=all").body, R"({"count":4})");
}

TEST_F(api_test, groups_connections_and_policy_are_read_and_written) {
  const auto made = ask("PUT", queue, R"({"max_attempts":3,"paused":true})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(field(made.body, "max_attempts"), "3");
  const auto changed = ask("PUT", queue, R"({"paused":false})");
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(field(changed.body, "max_attempts"), "3");
  EXPECT_EQ(field(changed.body, "paused"), "false");
  EXPECT_EQ(field(ask("POST", queue + "/pause").body, "paused"), "true");
  EXPECT_EQ(field(ask("POST", queue + "/resume").body, "paused"), "false");
  EXPECT_EQ(code(ask("POST", "/v1/groups/g/connections/none/pause")), "unknown_connection");
  EXPECT_EQ(code(ask("PUT", queue, R"({"max_attempts":0})")), "invalid_request");
  open();
  EXPECT_NE(ask("GET", "/v1/groups").body.find(R"("name":"g")"), std::string::npos);
  EXPECT_NE(ask("GET", "/v1/groups/g").body.find(R"("live":true)"), std::string::npos);
  EXPECT_EQ(code(ask("GET", "/v1/groups/none")), "unknown_group");
  EXPECT_EQ(code(ask("GET", "/v1/groups/g/connections/none")), "unknown_connection");
  EXPECT_EQ(code(ask("GET", "/v1/groups/NOT-A-NAME")), "invalid_request");
}

TEST_F(api_test, sessions_beat_and_close) {
  open();
  enqueue("one");
  claim(1);
  const auto beat = ask("POST", session + "/heartbeat", R"({"held_count":1})"); // The hash does not fit: asked for the list.
  EXPECT_EQ(beat.status, 200);
  EXPECT_NE(beat.body.find("list_held"), std::string::npos) << beat.body;
  EXPECT_EQ(ask("DELETE", session).body, R"({"returned":1})");
  EXPECT_EQ(code(ask("POST", session + "/heartbeat", "{}")), "session_expired");
  EXPECT_EQ(code(ask("POST", "/v1/sessions/nonsense/heartbeat", "{}")), "unknown_session");
}

TEST_F(api_test, content_types_are_judged_before_bodies) {
  EXPECT_EQ(ask("POST", queue + "/messages", event("a"), "Application/CloudEvents+JSON; charset=UTF-8").status, 201);
  const auto latin = ask("POST", queue + "/messages", event("b"), "application/cloudevents+json; charset=latin1");
  EXPECT_EQ(latin.status, 415);
  const auto binary = ask("POST", queue + "/messages", "{}", "application/json");
  EXPECT_EQ(code(binary), "unsupported_media_type");
  EXPECT_NE(binary.body.find("application/cloudevents+json"), std::string::npos); // Names what to send.
  EXPECT_EQ(ask("POST", queue + "/calls", "[]", batch_type).status, 415);         // One call at a time.
  EXPECT_EQ(ask("PUT", queue, "{}", "application/x-www-form-urlencoded").status, 415);
}

TEST_F(api_test, grants_and_settlements_travel_in_frames_where_both_sides_know_them) {
  open();
  enqueue("one");
  const auto in_json = claim(1);
  const auto in_frames =
    ask("POST", session + "/claims", running_hub::claiming(1, 0), "application/json", {}, // The same claim: the same answer.
        "text/html, Application/VND.sallyport.frames;q=1, application/json;q=0.5");
  EXPECT_EQ(in_frames.status, 200);
  EXPECT_EQ(in_frames.content_type, wire::frames_type);
  const auto reply = wire::decode_frames<wire::claim_reply>(in_frames.body);
  ASSERT_TRUE(reply) << to_string(reply.err());
  EXPECT_EQ(wire::encode(*reply), in_json);

  wire::settle settle;
  settle.agent = {"id-a"};
  settle.items.resize(1);
  settle.items[0].message = reply->grants.at(0).message;
  settle.items[0].fence = reply->grants.at(0).fence;
  const auto body = wire::encode_frames(settle);
  const auto settled = ask("POST", session + "/settlements", body, wire::frames_type, {}, wire::frames_type);
  EXPECT_EQ(settled.content_type, wire::frames_type);
  const auto verdicts = wire::decode_frames<wire::settle_reply>(settled.body);
  ASSERT_TRUE(verdicts) << to_string(verdicts.err());
  EXPECT_EQ(verdicts->items.at(0).kind, wire::verdict_kind::settled);
  const auto again = ask("POST", session + "/settlements", body, wire::frames_type); // Each way by its own header.
  EXPECT_EQ(again.content_type, "application/json");
  EXPECT_EQ(again.body, wire::encode(*verdicts));

  const auto cut =
    ask("POST", session + "/settlements", body.substr(0, body.size() - 1), wire::frames_type, {}, wire::frames_type);
  EXPECT_EQ(cut.status, 400);
  EXPECT_EQ(cut.content_type, "application/problem+json") << "an error is one for people";
  EXPECT_EQ(code(cut), "invalid_request");
  const auto claim_in_frames = ask("POST", session + "/claims", body, wire::frames_type);
  EXPECT_EQ(code(claim_in_frames), "unsupported_media_type");
  EXPECT_EQ(claim_in_frames.body.find("frames"), std::string::npos) << claim_in_frames.body;
  const auto in_text = ask("POST", session + "/settlements", "x", "text/plain");
  EXPECT_NE(in_text.body.find("application/json or application/vnd.sallyport.frames"), std::string::npos) << in_text.body;
}

TEST_F(api_test, metrics_tell_what_the_hub_does) {
  open();
  enqueue("one");
  claim(1);
  const auto text = ask("GET", "/metrics").body;
  for (const char* line : {"sallyport_hub_enqueued_total 1", "sallyport_hub_granted_total 1", "sallyport_hub_sessions_live 1",
                           "sallyport_hub_requests_total{operation=\"enqueue\",status=\"201\"} 1", "sallyport_hub_has_room 1",
                           "sallyport_hub_queue_messages{group=\"g\",connection=\"c\",state=\"granted\"} 1",
                           "sallyport_hub_agents{group=\"g\",live=\"1\"} 1"})
    EXPECT_NE(text.find(std::string{"\n"} + line + "\n"), std::string::npos) << line << "\n" << text;
  for (const char* name :
       {"sallyport_hub_commit_seconds_bucket", "sallyport_hub_commit_changes_count", "sallyport_hub_mailbox_commands",
        "sallyport_hub_queue_oldest_age_seconds", "sallyport_hub_queue_retention_now_seconds", "sallyport_hub_store_used_bytes"})
    EXPECT_NE(text.find(name), std::string::npos) << name;
}

} // namespace
} // namespace sallyport::cloud
