// Holds a running hub to docs/openapi.yaml: every answer it gives is declared there, with its status, type, fields, headers and code, and
// everything declared there is given at least once.
#include "tests/cloud/hub/certificate.hpp"
#include "tests/cloud/hub/schema.hpp"
#include "tests/cloud/hub/support.hpp"

#include "cloud/hub/routes.hpp"

#include <spdlog/spdlog.h>

namespace sallyport::cloud {
namespace {

using namespace test;

/// What is sent to an operation, when nothing else matters.
std::string valid_body(const std::string& id) {
  if (id == "enqueue" || id == "call")
    return event("valid-" + id);
  if (id == "openSession")
    return running_hub::opening("valid");
  if (id == "claim")
    return running_hub::claiming(1, 0);
  if (id == "settle")
    return R"({"agent_id":"nobody","items":[]})";
  if (id == "extend")
    return R"({"items":[]})";
  if (id == "heartbeat" || id == "putConnection" || id == "redrive")
    return "{}";
  return {};
}

bool takes_events(const std::string& id) {
  return id == "enqueue" || id == "call";
}

std::string filled(std::string path, const std::string& group = "g", const std::string& connection = "c") {
  const auto put = [&](const std::string& hole, const std::string& with) {
    if (const auto at = path.find(hole); at != path.npos)
      path.replace(at, hole.size(), with);
  };
  put("{group}", group);
  put("{connection}", connection);
  put("{message}", "m999-1");
  put("{session}", "s999-1");
  return path;
}

/// A hub with TLS and a token file, and tokens for every role.
struct tls_hub {
  temp_folder folder;
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::shared_ptr<gated_store::gates> doors;
  std::unique_ptr<cloud::hub> hub;
  std::map<std::string, std::string> tokens; // "producer g"

  explicit tls_hub(const std::function<void(config::hub_settings&)>& adjust = {}) {
    auto s = dev_settings(folder);
    s.dev = false;
    s.tls_cert_file = folder.file("cert.pem"), s.tls_key_file = folder.file("key.pem");
    make_certificate(s.tls_cert_file, s.tls_key_file);
    if (adjust)
      adjust(s);
    for (const auto role : {config::role::producer, config::role::agent, config::role::admin})
      for (const char* group : {"g", "other"}) {
        auto made = config::add_token(folder.path(), {role, {group}, {}}, wall_time{1s});
        EXPECT_TRUE(made.ok());
        tokens[std::string{config::to_string(role)} + " " + group] = made->token;
      }
    auto store = std::make_unique<gated_store>(disk);
    doors = store->doors;
    hub_parts parts;
    parts.store = std::move(store);
    auto started = cloud::hub::start(s, std::move(parts));
    EXPECT_TRUE(started.ok());
    hub = *std::move(started);
  }
  ~tls_hub() { doors->append.open(); }
};

struct exam {
  const contract api{SALLYPORT_SOURCE_DIR "/docs/openapi.yaml"};
  std::set<std::string> statuses, codes, triples;

  const reply& hold(const std::string& method, const std::string& target, const reply& r) {
    const auto* operation = api.find(method, target);
    for (const auto& fault : api.faults(operation, {r.status, r.header("content-type"), r.body, r.headers}))
      ADD_FAILURE() << method << " " << target << " -> " << r.status << ": " << fault << "\n" << r.body;
    if (operation)
      statuses.insert(operation->id + " " + std::to_string(r.status));
    for (auto at = r.body.find("\"code\":\""); at != r.body.npos; at = r.body.find("\"code\":\"", at + 1)) {
      const auto code = r.body.substr(at + 8, r.body.find('"', at + 8) - at - 8);
      codes.insert(code);
      if (operation)
        triples.insert(operation->id + " " + std::to_string(r.status) + " " + code);
    }
    return r;
  }

  /// One request over a connection of its own.
  reply ask(const tls_hub& hub, const std::string& token, const std::string& method, const std::string& target,
            const std::string& body = {}, std::string_view type = "application/json", std::string_view more = {}) {
    raw_client c{hub.hub->port()};
    EXPECT_NE(c.handshake(TLS1_3_VERSION, TLS1_3_VERSION), "");
    const auto found = hub.tokens.find(token);
    return hold(method, target,
                c.ask(request(method, target, body, body.empty() ? std::string_view{} : type, more,
                              found == hub.tokens.end() ? token : found->second)));
  }
};

struct openapi : testing::Test {
  exam x;
  tls_hub main{[](config::hub_settings& s) {
    s.limits.event.event_bytes = 5'000;
    s.limits.event.events = 10;
    s.limits.body_bytes = 100'000;
    s.limits.head_bytes = 4'000;
    s.payload_cache_bytes = 0;
  }};

  static void SetUpTestSuite() { spdlog::set_level(spdlog::level::off); }

  reply ask(const std::string& token, const std::string& method, const std::string& target, const std::string& body = {},
            std::string_view type = "application/json", std::string_view more = {}) {
    return x.ask(main, token, method, target, body, type, more);
  }
  reply as_producer(const std::string& path, const std::string& body, std::string_view more = {}) {
    return ask("producer g", "POST", queue + path, body, event_type, more);
  }
  reply as_agent(const std::string& method, const std::string& target, const std::string& body = {}) {
    return ask("agent g", method, target, body);
  }
  reply as_admin(const std::string& method, const std::string& path, const std::string& body = {}) {
    return ask("admin g", method, path, body);
  }
  std::string open(const std::string& name, int incarnation = 1) {
    return field(as_agent("POST", "/v1/sessions", running_hub::opening(name, incarnation)).body, "session");
  }
  std::string claim(const std::string& session, int seq, int wait_ms = 0) {
    return as_agent("POST", "/v1/sessions/" + session + "/claims", running_hub::claiming(seq, wait_ms)).body;
  }
  reply settle(const std::string& session, const std::string& agent, const std::string& message, const std::string& fence,
               const std::string& how = R"("outcome":"done")") {
    return as_agent("POST", "/v1/sessions/" + session + "/settlements",
                    R"({"agent_id":"id-)" + agent + R"(","items":[{"message":")" + message + R"(","fence":")" + fence + R"(",)"
                      + how + "}]}");
  }
  void close(const std::string& session) { as_agent("DELETE", "/v1/sessions/" + session); }

  const std::string queue = "/v1/groups/g/connections/c";

  // ---- what every operation refuses in the same way ------------------------------------------------------------------------------

  void refusals_of(const declared_operation& o) {
    const auto& roles = o.node["x-roles"];
    const auto body = valid_body(o.id);
    const auto type = takes_events(o.id) ? event_type : std::string_view{"application/json"};
    const auto path = filled(o.path);
    if (!roles.IsSequence() || roles.size() == 0)
      return;
    const auto role = roles[0].as<std::string>();
    EXPECT_EQ(ask("", o.method, path, body, type).code(), "token_required");
    EXPECT_EQ(ask("nonsense", o.method, path, body, type).code(), "bad_token");
    std::set<std::string> allowed;
    for (const auto& r : roles)
      allowed.insert(r.as<std::string>());
    for (const char* other : {"producer", "agent", "admin"})
      if (allowed.count(other) == 0) {
        EXPECT_EQ(ask(std::string{other} + " g", o.method, path, body, type).code(), "wrong_role") << o.id;
      }
    const auto token = role + " g";
    if (o.path.find("{group}") != o.path.npos) {
      EXPECT_EQ(ask(role + " other", o.method, path, body, type).code(), "wrong_group");
      EXPECT_EQ(ask(token, o.method, filled(o.path, "NO"), body, type).code(), "invalid_request");
    }
    if (o.path.find("{connection}") != o.path.npos && o.id != "putConnection") {
      const auto query = o.id == "purge" ? "?state=all" : "";
      EXPECT_EQ(ask(token, o.method, filled(o.path, "g", "none") + query, body, type).code(), "unknown_connection") << o.id;
    }
    if (o.path.find("{session}") != o.path.npos) {
      EXPECT_EQ(ask(token, o.method, path, body).code(), "unknown_session");
    }
    if (o.path.find("{message}") != o.path.npos) {
      EXPECT_EQ(ask(token, o.method, path, body).code(), "unknown_message");
    }
    if (o.node["requestBody"])
      bad_bodies_of(o, token, path, type);
  }

  void bad_bodies_of(const declared_operation& o, const std::string& token, const std::string& path, std::string_view type) {
    EXPECT_EQ(ask(token, o.method, path, "a=b", "application/x-www-form-urlencoded").code(), "unsupported_media_type");
    EXPECT_EQ(ask(token, o.method, path, R"({"a":)", type).code(), "malformed_json");
    EXPECT_EQ(ask(token, o.method, path, "{\"a\":\"\xff\"}", type).code(), "invalid_utf8");
    EXPECT_EQ(ask(token, o.method, path, R"({"a":1,"a":2})", type).code(), "duplicate_key");
    EXPECT_EQ(ask(token, o.method, path, "1", type).code(), "invalid_request");
    if (takes_events(o.id)) {
      EXPECT_EQ(ask(token, o.method, path, R"({"specversion":"1.0"})", type).code(), "missing_attribute");
      EXPECT_EQ(ask(token, o.method, path, R"({"specversion":"0.3","id":"a","source":"b","type":"c"})", type).code(),
                "invalid_attribute");
      EXPECT_EQ(ask(token, o.method, path, event("big", std::string(6'000, '1')), type).code(), "event_too_large");
      EXPECT_EQ(ask(token, o.method, path, std::string(200'000, ' '), type).code(), "body_too_large");
    }
    if (o.node["requestBody"]["required"].as<bool>()) {
      raw_client c{main.hub->port()};
      c.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
      x.hold(o.method, path,
             c.ask(o.method + " " + path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + main.tokens.at(token)
                   + "\r\nContent-Type: " + std::string{type} + "\r\n\r\n"));
    }
  }

  // ---- one operation after the other ---------------------------------------------------------------------------------------------

  void operate() {
    EXPECT_EQ(as_admin("PUT", queue, R"({"backoff_min_ms":10})").status, 201);
    EXPECT_EQ(as_admin("PUT", queue, R"({"max_attempts":4})").status, 200);
    EXPECT_EQ(as_admin("GET", queue).status, 200);
    EXPECT_EQ(as_admin("POST", queue + "/pause").status, 200);
    EXPECT_EQ(as_admin("POST", queue + "/resume").status, 200);
    EXPECT_EQ(as_admin("GET", "/v1/groups/none").code(), "wrong_group");
    EXPECT_EQ(ask("admin other", "GET", "/v1/groups/other").code(), "unknown_group");
    for (const char* path : {"/healthz", "/readyz", "/metrics"})
      EXPECT_EQ(ask("", "GET", path).status, 200);
    EXPECT_EQ(ask("", "GET", "/nowhere").code(), "not_found");
    auto not_allowed = ask("admin g", "PATCH", queue, "{}");
    EXPECT_EQ(not_allowed.code(), "method_not_allowed");
    EXPECT_NE(not_allowed.header("allow"), "");
    for (const char* query : {"/messages?state=lost", "/messages?limit=0", "/dead?limit=1001", "/dead?after=x"})
      EXPECT_EQ(as_admin("GET", queue + query).code(), "invalid_request");
    EXPECT_EQ(as_admin("DELETE", queue + "/messages").code(), "invalid_request");
    EXPECT_EQ(as_producer("/calls?deadline_ms=0", event("zero")).code(), "invalid_request");
  }

  void produce() {
    EXPECT_EQ(as_producer("/messages", event("one")).status, 201);
    EXPECT_EQ(as_producer("/messages", event("one")).status, 201);
    EXPECT_EQ(as_producer("/messages", event("one", "2")).code(), "id_reused");
    std::string eleven = "[" + event("b0");
    for (int i = 1; i < 11; ++i)
      eleven += "," + event("b" + std::to_string(i));
    EXPECT_EQ(ask("producer g", "POST", queue + "/messages", eleven + "]", batch_type).code(), "too_many_events");
    auto indexed = ask("producer g", "POST", queue + "/messages", "[" + event("ok") + ",{}]", batch_type);
    EXPECT_EQ(field(indexed.body, "index"), "1");
    EXPECT_EQ(as_admin("PUT", queue, R"({"max_messages":1})").status, 200);
    EXPECT_EQ(as_producer("/messages", event("two")).code(), "queue_full");
    EXPECT_EQ(as_admin("PUT", queue, R"({"max_messages":0})").status, 200);
    EXPECT_EQ(
      as_producer("/messages",
                  R"({"specversion":"1.0","id":"delayed","source":"/test","type":"t","notbefore":"2099-01-01T00:00:00Z"})")
        .status,
      201);
    EXPECT_NE(as_admin("GET", queue + "/messages?peek=true&limit=1").body.find("\"next\""), std::string::npos);
    EXPECT_EQ(field(as_admin("DELETE", queue + "/messages?state=delayed").body, "count"), "1");
  }

  void call() {
    EXPECT_EQ(as_producer("/calls", event("nobody")).code(), "no_agent_up");
    const auto session = open("caller");
    settle_all(session, "caller", 1);
    EXPECT_EQ(as_producer("/calls", event("later"), "Prefer: respond-async\r\n").status, 202);
    EXPECT_EQ(as_admin("PUT", queue, R"({"max_messages":1})").status, 200);
    EXPECT_EQ(as_producer("/calls", event("over")).code(), "queue_full");
    EXPECT_EQ(as_admin("PUT", queue, R"({"max_messages":0})").status, 200);
    EXPECT_EQ(as_producer("/calls", event("one")).status / 100, 2); // Sent before as a message: its outcome.
    EXPECT_EQ(as_producer("/calls", event("one", "2")).code(), "id_reused");
    settle_all(session, "caller", 2);
    auto late = as_producer("/calls?deadline_ms=50", event("late"));
    EXPECT_EQ(late.code(), "call_not_started");
    EXPECT_EQ(field(late.body, "outcome"), "not_started");
    const auto calling = [&](const std::string& id, const std::string& query) {
      return std::async(std::launch::async, [this, id, query] {
        raw_client c{main.hub->port()};
        c.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
        return c.ask(request("POST", queue + "/calls" + query, event(id), event_type, {}, main.tokens.at("producer g")));
      });
    };
    auto done = calling("done", "");
    auto grant = claim(session, 3, 20'000);
    settle(session, "caller", field(grant, "message"), field(grant, "fence"),
           R"("outcome":"done","result":{"rows":[1,2.5,"x"]})");
    EXPECT_EQ(x.hold("POST", queue + "/calls", done.get()).status, 200);
    EXPECT_EQ(as_agent("GET", "/v1/messages/" + field(grant, "message")).status, 200);
    auto failing = calling("failing", "");
    grant = claim(session, 4, 20'000);
    settle(session, "caller", field(grant, "message"), field(grant, "fence"),
           R"("outcome":"failed","retryable":false,"error":"no such table")");
    EXPECT_EQ(x.hold("POST", queue + "/calls", failing.get()).code(), "adapter_failed");
    auto unknown = calling("unknown", "?deadline_ms=1000");
    claim(session, 5, 20'000);
    EXPECT_EQ(field(x.hold("POST", queue + "/calls", unknown.get()).body, "outcome"), "unknown");
    close(session);
  }

  void settle_all(const std::string& session, const std::string& agent, int seq) {
    const auto grants = claim(session, seq);
    for (auto at = grants.find("\"message\""); at != grants.npos; at = grants.find("\"message\"", at + 1))
      settle(session, agent, field(grants.substr(at), "message"), field(grants.substr(at), "fence"));
  }

  void sessions() {
    const auto old = open("a", 1), now = open("a", 2);
    auto reply_to = [&](const std::string& method, const std::string& session, const std::string& op, const std::string& body) {
      return as_agent(method, "/v1/sessions/" + session + op, body).code();
    };
    const auto closed = open("b");
    close(closed);
    const std::vector<std::array<std::string, 3>> all{{"POST", "/heartbeat", "{}"},
                                                      {"POST", "/claims", running_hub::claiming(1, 0)},
                                                      {"POST", "/settlements", valid_body("settle")},
                                                      {"POST", "/extensions", valid_body("extend")},
                                                      {"DELETE", "", ""}};
    for (const auto& [method, op, body] : all) {
      // Settlements are judged by agent id, and outlive their session.
      const bool settles = op == "/settlements";
      EXPECT_EQ(reply_to(method, old, op, body), settles ? "not_holder" : "session_replaced") << op;
      EXPECT_EQ(reply_to(method, closed, op, body), settles ? "not_holder" : "session_expired") << op;
      const auto whose = settles ? R"({"items":[]})" : body;
      EXPECT_EQ(ask("agent other", method, "/v1/sessions/" + now + op, whose).code(), "wrong_group") << op;
    }
    EXPECT_EQ(as_agent("POST", "/v1/sessions/" + now + "/settlements",
                       R"({"agent_id":"id-a","items":[],"pad":")" + std::string(100'000, 'x') + "\"}")
                .code(),
              "body_too_large");
    EXPECT_EQ(ask("agent other", "POST", "/v1/sessions", running_hub::opening("a")).code(), "wrong_group");
    EXPECT_EQ(as_agent("POST", "/v1/sessions", running_hub::opening("a", 1)).code(), "session_replaced");
    EXPECT_EQ(as_agent("POST", "/v1/sessions", running_hub::opening("b")).code(), "session_expired");
    auto impostor = running_hub::opening("a", 9);
    impostor.replace(impostor.find("id-a"), 4, "id-z");
    EXPECT_EQ(as_agent("POST", "/v1/sessions", impostor).code(), "name_in_use");
    EXPECT_EQ(as_admin("PUT", queue, R"({"fingerprints":"refuse"})").status, 200);
    auto elsewhere = running_hub::opening("d");
    elsewhere.replace(elsewhere.find(R"("state":"up")"), 12, R"("state":"up","fingerprint":"another")");
    EXPECT_EQ(as_agent("POST", "/v1/sessions", elsewhere).code(), "fingerprint_mismatch");
    EXPECT_EQ(as_admin("PUT", queue, R"({"fingerprints":"warn"})").status, 200);

    claim(now, 5);
    EXPECT_EQ(as_agent("POST", "/v1/sessions/" + now + "/claims", running_hub::claiming(4, 0)).code(), "claim_seq_stale");
    std::string last;
    for (int lane = 0; lane < 8; ++lane) {
      auto body = running_hub::claiming(1, 0);
      body.replace(body.find(R"("lane":"l")"), 10, R"("lane":"lane)" + std::to_string(lane) + "\"");
      last = as_agent("POST", "/v1/sessions/" + now + "/claims", body).code();
    }
    EXPECT_EQ(last, "too_many_lanes");
    EXPECT_NE(as_agent("POST", "/v1/sessions/" + now + "/heartbeat", R"({"held_count":3})").body.find("list_held"),
              std::string::npos);
    EXPECT_NE(as_admin("GET", "/v1/groups").body.find("\"a\""), std::string::npos);
    EXPECT_EQ(as_admin("GET", "/v1/groups/g").status, 200);
    close(now);
  }

  void fences() {
    auto holder = open("h", 1);
    const auto other = open("o", 1);
    const auto enqueued = [&](const std::string& id) { return field(as_producer("/messages", event(id)).body, "message"); };
    const auto stale = enqueued("stale");
    auto first = claim(holder, 1);
    ASSERT_EQ(field(first, "message"), stale);
    EXPECT_EQ(field(settle(other, "o", stale, field(first, "fence")).body, "code"), "not_holder");
    const auto extension = [&](const std::string& session, const std::string& fence) {
      return as_agent("POST", "/v1/sessions/" + session + "/extensions",
                      R"({"items":[{"message":")" + stale + R"(","fence":")" + fence + R"(","more_ms":1000}]})");
    };
    EXPECT_EQ(field(extension(holder, field(first, "fence")).body, "verdict"), "settled");
    holder = open("h", 2); // A new process that holds nothing: what the old one held is lost.
    auto second = claim(other, 1);
    ASSERT_EQ(field(second, "message"), stale);
    EXPECT_EQ(field(settle(holder, "h", stale, field(first, "fence")).body, "code"), "stale_fence");
    EXPECT_EQ(field(extension(holder, field(first, "fence")).body, "verdict"), "stale");
    EXPECT_EQ(field(settle(other, "o", stale, "9999999999999-1").body, "code"), "unknown_fence");
    EXPECT_EQ(field(settle(other, "o", stale, field(second, "fence")).body, "verdict"), "settled");
    EXPECT_EQ(field(settle(other, "o", stale, field(second, "fence"), R"("outcome":"release")").body, "verdict"), "already");
    EXPECT_EQ(ask("producer g", "DELETE", "/v1/messages/" + stale).code(), "already_final");
    EXPECT_EQ(ask("producer other", "DELETE", "/v1/messages/" + stale).code(), "wrong_group");
    EXPECT_EQ(ask("producer other", "GET", "/v1/messages/" + stale).code(), "wrong_group");

    const auto burnt = enqueued("burnt");
    const auto third = claim(other, 2);
    EXPECT_EQ(field(ask("producer g", "DELETE", "/v1/messages/" + burnt).body, "may_have_run"), "true");
    EXPECT_EQ(field(settle(other, "o", burnt, field(third, "fence")).body, "code"), "burnt_fence");

    const auto dead = enqueued("dead");
    const auto fourth = claim(other, 3);
    settle(other, "o", dead, field(fourth, "fence"), R"("outcome":"failed","retryable":false,"error":"cannot")");
    EXPECT_EQ(field(as_admin("GET", queue + "/dead?peek=true").body, "message"), dead);
    EXPECT_EQ(as_admin("POST", queue + "/dead/redrive", R"({"messages":["m999-1"]})").code(), "unknown_message");
    EXPECT_EQ(as_admin("POST", queue + "/dead/redrive", R"({"messages":[")" + burnt + R"("]})").code(), "not_dead");
    EXPECT_EQ(field(as_admin("POST", queue + "/dead/redrive").body, "count"), "1");
    const auto fifth = claim(other, 4);
    settle(other, "o", dead, field(fifth, "fence"), R"("outcome":"release","delay_ms":60000)");
    EXPECT_EQ(field(ask("admin g", "GET", "/v1/messages/" + dead).body, "state"), "delayed");
    close(holder);
    close(other);
  }

  // ---- what has to do with the hub's state -----------------------------------------------------------------------------------------

  void faults() {
    enqueue_until_full();
    const auto session = open("f");
    main.disk->fail_next_fetch(make_error(errc::store_io, "input/output error"));
    EXPECT_EQ(as_admin("GET", queue + "/messages?peek=true").code(), "internal");
    main.disk->fail_next_append({append_status::failed, 0, "no luck"});
    EXPECT_EQ(as_producer("/messages", event("unlucky")).code(), "outcome_unknown");
    auto later = running_hub::opening("e");
    later.insert(later.size() - 1, R"(,"highest_epoch":)" + std::to_string(std::time(nullptr) * 1000 + 86'400'000));
    EXPECT_EQ(as_agent("POST", "/v1/sessions", later).code(), "not_ready");
    raw_client c{main.hub->port()};
    c.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
    EXPECT_EQ(x.hold("GET", "/healthz", c.ask("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).code(), "malformed_http");
    raw_client d{main.hub->port()};
    d.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
    EXPECT_EQ(
      x.hold("GET", "/healthz", d.ask(request("GET", "/healthz", {}, {}, "X: " + std::string(5'000, 'x') + "\r\n"))).code(),
      "header_too_large");
  }

  void enqueue_until_full() {
    const auto session = open("full"); // Or a call would be refused for want of an agent.
    main.disk->set_capacity(1 << 30, 1 << 30);
    int n = 0;
    EXPECT_TRUE(eventually([&] { return as_producer("/messages", event("fill" + std::to_string(n++))).code() == "store_full"; }));
    EXPECT_EQ(as_producer("/calls", event("full")).code(), "store_full");
    main.disk->set_capacity(1 << 30);
    EXPECT_TRUE(eventually([&] { return as_producer("/messages", event("room" + std::to_string(n++))).status == 201; }));
    close(session);
  }

  void other_hubs() {
    tls_hub strict{[](config::hub_settings& s) {
      s.announce = config::announce_policy::refuse;
      s.limits.mailbox = 1;
      s.limits.request_timeout = 300ms;
    }};
    EXPECT_EQ(x.ask(strict, "agent g", "POST", "/v1/sessions", running_hub::opening("a")).code(), "announce_refused");
    EXPECT_EQ(x.ask(strict, "admin g", "PUT", queue, "{}").status, 201);
    {
      raw_client c{strict.hub->port()};
      c.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
      EXPECT_EQ(x.hold("GET", "/healthz", c.ask("GET /healthz HTTP/1.1\r\n")).code(), "request_timeout");
    }
    strict.doors->append.close();
    raw_client waiting{strict.hub->port()};
    waiting.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
    waiting.send(request("POST", queue + "/messages", event("held"), event_type, {}, strict.tokens.at("producer g")));
    strict.doors->append.wait_for_a_guest();
    EXPECT_EQ(x.ask(strict, "producer g", "POST", queue + "/messages", event("over"), event_type).code(), "too_many_requests");
    raw_client kept{strict.hub->port()}; // Its request begins before the stop, or it would be closed as idle.
    kept.handshake(TLS1_3_VERSION, TLS1_3_VERSION);
    const auto whole = request("GET", "/v1/groups", {}, {}, {}, strict.tokens.at("admin g"));
    kept.send(whole.substr(0, 40));
    EXPECT_TRUE(eventually([&] { return strict.hub->service().host().why_not_ready().empty(); }));
    std::this_thread::sleep_for(50ms);
    std::thread stopper{[&] { strict.hub->stop(); }};
    EXPECT_TRUE(eventually([&] { return !raw_client{strict.hub->port()}.connected(); }));
    EXPECT_TRUE(eventually([&] { return !strict.hub->service().host().why_not_ready().empty(); })); // A moment after the door.
    kept.send(whole.substr(40));
    EXPECT_EQ(x.hold("GET", "/v1/groups", kept.receive()).code(), "shutting_down");
    strict.doors->append.open();
    EXPECT_EQ(x.hold("POST", queue + "/messages", waiting.receive()).status, 201);
    stopper.join();
  }

  void not_ready_yet() {
    temp_folder folder;
    auto store = std::make_unique<gated_store>(std::make_shared<memory_disk>());
    auto doors = store->doors;
    doors->replay.close();
    std::promise<std::uint16_t> listening;
    hub_parts parts;
    parts.store = std::move(store);
    parts.on_listening = [&](std::uint16_t port) { listening.set_value(port); };
    auto started = std::async(std::launch::async, [&] { return hub::start(dev_settings(folder), std::move(parts)); });
    raw_client c{listening.get_future().get()};
    doors->replay.wait_for_a_guest();
    EXPECT_EQ(x.hold("GET", "/readyz", c.ask(request("GET", "/readyz"))).code(), "not_ready");
    doors->replay.open();
    EXPECT_TRUE(started.get().ok());
  }
};

TEST_F(openapi, the_routing_table_is_the_declared_one) {
  std::set<std::string> declared, served;
  for (const auto& o : x.api.operations())
    declared.insert(o.id + " " + o.method + " " + o.path);
  for (const auto& r : routes())
    served.insert(std::string{r.name} + " " + std::string{r.method} + " " + std::string{r.path});
  EXPECT_EQ(served, declared);
}

TEST_F(openapi, everything_answered_is_declared_and_everything_declared_is_answered) {
  operate();
  for (const auto& o : x.api.operations())
    refusals_of(o);
  produce();
  call();
  sessions();
  fences();
  faults();
  other_hubs();
  not_ready_yet();

  const auto missing = [](const std::set<std::string>& wanted, const std::set<std::string>& seen) {
    std::vector<std::string> out;
    std::set_difference(wanted.begin(), wanted.end(), seen.begin(), seen.end(), std::back_inserter(out));
    std::string text;
    for (const auto& each : out)
      text += "\n  " + each;
    return text;
  };
  EXPECT_EQ(missing(x.api.statuses(), x.statuses), "") << "declared and never answered";
  EXPECT_EQ(missing(x.api.triples(), x.triples), "") << "declared and never answered";
  EXPECT_EQ(missing(x.api.codes(), x.codes), "") << "declared and never answered";
}

} // namespace
} // namespace sallyport::cloud
