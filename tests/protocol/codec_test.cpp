// Every wire struct against its JSON, written here by hand: the names and forms that other versions and other languages rely on.
#include "protocol/codec.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>
#include <set>
#include <tuple>

namespace sallyport::wire {
namespace {

constexpr message_id m1{17, 1}, m2{17, 2};
constexpr fence_token f3{17, 3}, f4{17, 4};
const wall_time noon{milliseconds{1'769'860'800'000}};
const auto event_bytes =
  std::make_shared<const std::string>(R"({ "specversion":"1.0","data":[1e999, 12345678901234567890123456789012345678] })");

announced_connection erp() {
  return {{"erp-db"}, "sql", effect_promise::exactly_once, "postgresql/db1/5432/erp", reach::down, "no route"};
}
constexpr auto erp_json =
  R"({"name":"erp-db","adapter":"sql","effect":"exactly_once","fingerprint":"postgresql/db1/5432/erp","state":"down","detail":"no route"})";

queue_policy policy_of_primes() {
  return {7,
          milliseconds{11},
          milliseconds{13},
          milliseconds{17},
          milliseconds{19},
          milliseconds{23},
          29,
          31,
          milliseconds{37},
          41,
          true,
          on_dead::block,
          on_unknown_effect::dead_letter,
          fingerprint_policy::refuse};
}
constexpr auto policy_of_primes_json =
  R"({"max_attempts":7,"backoff_min_ms":11,"backoff_max_ms":13,"attempt_timeout_ms":17,"hold_limit_ms":19,"message_ttl_ms":23,)"
  R"("max_in_flight":29,"max_messages":31,"retention_ms":37,"retention_count":41,"paused":true,"on_dead":"block",)"
  R"("on_unknown_effect":"dead_letter","fingerprints":"refuse"})";

connection_view erp_view() {
  connection_view v;
  v.name = {"erp-db"};
  v.policy = policy_of_primes();
  v.ready = 1, v.delayed = 2, v.behind_key = 3, v.granted = 4, v.dead = 5, v.retained = 6;
  v.enqueued_total = 7, v.settled_total = 8, v.failed_total = 9, v.lost_total = 10;
  v.oldest_age = milliseconds{11};
  v.retention_now = milliseconds{12};
  v.target_state = "open";
  v.target_retry_at = noon;
  v.fingerprints_differ = true;
  v.adapter = "sql";
  v.effect = effect_promise::exactly_once;
  return v;
}
const std::string erp_view_json =
  R"({"name":"erp-db","policy":)" + std::string{policy_of_primes_json}
  + R"(,"ready":1,"delayed":2,"behind_key":3,"granted":4,"dead":5,"retained":6,"enqueued_total":7,"settled_total":8,"failed_total":9,)"
    R"("lost_total":10,"oldest_age_ms":11,"retention_now_ms":12,"target_state":"open","target_retry_at":"2026-01-31T12:00:00.000Z",)"
    R"("fingerprints_differ":true,"adapter":"sql","effect":"exactly_once"})";

group_view plant_view() {
  return {{"plant"}, {{{"a"}, "s17-1", "0.1.0", true, 1, 2, 3, 4, {erp()}}}, {erp_view()}};
}
const std::string plant_view_json =
  R"({"name":"plant","agents":[{"name":"a","session":"s17-1","version":"0.1.0","live":true,"held":1,"granted_total":2,)"
  R"("settled_total":3,"lost_total":4,"connections":[)"
  + std::string{erp_json} + R"(]}],"connections":[)" + erp_view_json + "]}";

using keys = std::set<std::string>;

// Calls check(value, its JSON with every field set, the fields that must be there) for each struct of the wire.
template <class Check>
void for_each_struct(Check check) {
  check(enqueue_reply{{{m1, "/a", "1", false}, {m2, "/a", "2", true}}},
        R"({"messages":[{"message":"m17-1","source":"/a","id":"1","duplicate":false},)"
        R"({"message":"m17-2","source":"/a","id":"2","duplicate":true}]})",
        keys{"messages"});
  check(open_session{{"plant"}, {"a"}, {"Id_1"}, {5, 6}, "0.1.0", {erp()}, {16}, {{m1, f3}}},
        R"({"group":"plant","agent":"a","agent_id":"Id_1","incarnation":5,"opening":6,"version":"0.1.0","connections":[)"
          + std::string{erp_json} + R"(],"highest_epoch":16,"held":[{"message":"m17-1","fence":"17-3"}]})",
        keys{"group", "agent", "agent_id", "incarnation", "opening"});
  check(session_opened{{17, 1}, seconds{10}, milliseconds{2500}, {17}, {{m1, f3}, {m2, f4}}},
        R"({"session":"s17-1","ttl_ms":10000,"heartbeat_ms":2500,"epoch":17,)"
        R"("lost":[{"message":"m17-1","fence":"17-3"},{"message":"m17-2","fence":"17-4"}]})",
        keys{"session", "ttl_ms", "heartbeat_ms", "epoch", "lost"});
  check(heartbeat{{{{"erp-db"}, reach::up, "slow"}}, 2, 0x00ab'cdef'0123'4567, held_list{{{{"L1"}, 9}}, {{m1, f3}}}},
        R"({"connections":[{"name":"erp-db","state":"up","detail":"slow"}],"held_count":2,"held_hash":"00abcdef01234567",)"
        R"("list":{"lanes":[{"lane":"L1","seq":9}],"held":[{"message":"m17-1","fence":"17-3"}]}})",
        keys{});
  check(heartbeat_reply{seconds{10}, {17}, {session_command::list_held, session_command::drain}, {{m1, f3}}},
        R"({"ttl_ms":10000,"epoch":17,"commands":["list_held","drain"],"lost":[{"message":"m17-1","fence":"17-3"}]})",
        keys{"ttl_ms", "epoch", "commands", "lost"});
  check(session_closed{7}, R"({"returned":7})", keys{"returned"});
  check(claim{{"L1"}, 3, 256, 1'048'576, milliseconds{50'000}, {{{"erp-db"}, 200}, {{"files"}, 0}}},
        R"({"lane":"L1","seq":3,"max_messages":256,"max_bytes":1048576,"wait_ms":50000,)"
        R"("connections":[{"name":"erp-db","credit":200},{"name":"files","credit":0}]})",
        keys{"lane", "seq", "max_messages", "max_bytes", "connections"});
  check(claim_reply{{{m1, f3, {"erp-db"}, 2, seconds{60}, "k \"1\"", true, event_bytes}}},
        R"({"grants":[{"message":"m17-1","fence":"17-3","connection":"erp-db","attempt":2,"attempt_timeout_ms":60000,)"
        R"("partition_key":"k \"1\"","call":true,"event":)"
          + *event_bytes + "}]}",
        keys{"grants"});
  check(settle{{"Id_1"},
               {{m1, f3, outcome_kind::failed, failure_scope::target, false, effect_state::unknown, "no route", milliseconds{500},
                 true, "[1e999]"}}},
        R"({"agent_id":"Id_1","items":[{"message":"m17-1","fence":"17-3","outcome":"failed","scope":"target","retryable":false,)"
        R"("effect":"unknown","error":"no route","delay_ms":500,"started":true,"result":[1e999]}]})",
        keys{"items"});
  check(settle_reply{{{m1, f3, verdict_kind::already, "dead", outcome_kind::failed, {}},
                      {m2, f4, verdict_kind::unknown, "granted", {}, errc::not_holder}}},
        R"({"items":[{"message":"m17-1","fence":"17-3","verdict":"already","state":"dead","outcome":"failed"},)"
        R"({"message":"m17-2","fence":"17-4","verdict":"unknown","state":"granted","code":"not_holder","status":403,)"
        R"("detail":"the message was granted to another agent"}]})",
        keys{"items"});
  check(extend{{{m1, f3, seconds{30}}}}, R"({"items":[{"message":"m17-1","fence":"17-3","more_ms":30000}]})", keys{"items"});
  check(extend_reply{{{m1, f3, verdict_kind::settled, "granted", {}, {}}}},
        R"({"items":[{"message":"m17-1","fence":"17-3","verdict":"settled","state":"granted"}]})", keys{"items"});
  message_view view;
  view.message = m1, view.group = {"plant"}, view.connection = {"erp-db"};
  view.state = "delayed", view.source = "/a", view.id = "1", view.attempts = 2, view.losses = 1, view.maybe_started = true;
  view.enqueued_at = noon, view.due_at = noon + seconds{1}, view.holder = "a", view.error = "no route",
  view.result = "{\"n\":1e999}";
  view.history = {{noon, "granted", "a", "s17-1", f3, "attempt 1"}, {noon, "queued", "", "", {}, ""}};
  check(
    view,
    R"({"message":"m17-1","group":"plant","connection":"erp-db","state":"delayed","source":"/a","id":"1","attempts":2,"losses":1,)"
    R"("maybe_started":true,"enqueued_at":"2026-01-31T12:00:00.000Z","due_at":"2026-01-31T12:00:01.000Z","holder":"a",)"
    R"("error":"no route","result":{"n":1e999},"history":[{"at":"2026-01-31T12:00:00.000Z","what":"granted","agent":"a",)"
    R"("session":"s17-1","fence":"17-3","detail":"attempt 1"},{"at":"2026-01-31T12:00:00.000Z","what":"queued"}]})",
    keys{"message", "group", "connection", "state", "source", "id", "attempts", "losses", "maybe_started", "enqueued_at",
         "history"});
  check(cancel_reply{m1, true}, R"({"message":"m17-1","may_have_run":true})", keys{"message", "may_have_run"});
  check(call_reply{m1, "null"}, R"({"message":"m17-1","result":null})", keys{"message"});
  check(policy_patch{7, milliseconds{11}, milliseconds{13}, milliseconds{17}, milliseconds{19}, milliseconds{23},
                     milliseconds{37}, 29, 31, 41, true, on_dead::block, on_unknown_effect::dead_letter,
                     fingerprint_policy::refuse},
        policy_of_primes_json, keys{});
  check(erp_view(), erp_view_json,
        keys{"name", "policy", "ready", "delayed", "behind_key", "granted", "dead", "retained", "enqueued_total", "settled_total",
             "failed_total", "lost_total", "retention_now_ms", "target_state", "fingerprints_differ"});
  check(plant_view(), plant_view_json, keys{"name", "agents", "connections"});
  check(groups_reply{{plant_view()}}, R"({"groups":[)" + plant_view_json + "]}", keys{"groups"});
  check(queue_page{{{m1, "/a", "1", "dead", 5, 2, noon, "no route", *event_bytes}}, "m17-1"},
        R"({"messages":[{"message":"m17-1","source":"/a","id":"1","state":"dead","attempts":5,"losses":2,)"
        R"("enqueued_at":"2026-01-31T12:00:00.000Z","error":"no route","event":)"
          + *event_bytes + R"(}],"next":"m17-1"})",
        keys{"messages"});
  check(redrive{{m1, m2}}, R"({"messages":["m17-1","m17-2"]})", keys{});
  check(count_reply{3}, R"({"count":3})", keys{"count"});
}

template <class T>
error refusal(std::string_view json) {
  auto v = decode<T>(json);
  return v ? make_error(errc::internal, "was accepted: " + std::string{json}) : v.err();
}

// The members of an object as (key, raw JSON), by simdjson.
std::vector<std::pair<std::string, std::string>> members_of(const std::string& json) {
  simdjson::ondemand::parser parser;
  simdjson::padded_string padded{json};
  simdjson::ondemand::document document = parser.iterate(padded);
  std::vector<std::pair<std::string, std::string>> members;
  for (auto field : document.get_object()) {
    std::string key{std::string_view{field.unescaped_key()}};
    simdjson::ondemand::value value = field.value();
    simdjson::ondemand::json_type type = value.type();
    std::string_view raw;
    if (type == simdjson::ondemand::json_type::object)
      raw = value.get_object().value().raw_json();
    else if (type == simdjson::ondemand::json_type::array)
      raw = value.get_array().value().raw_json();
    else
      raw = value.raw_json_token();
    members.emplace_back(std::move(key), raw);
  }
  return members;
}

std::string object_of(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string json = "{";
  for (const auto& [key, value] : members)
    json.append(json.size() > 1 ? ",\"" : "\"").append(key).append("\":").append(value);
  return json + "}";
}

TEST(wire, every_struct_is_written_as_the_contract_says) {
  for_each_struct([](const auto& v, const std::string& json, const keys&) { EXPECT_EQ(encode(v), json); });
}

TEST(wire, every_struct_reads_back_the_same) {
  for_each_struct([](const auto& v, const std::string& json, const keys&) {
    auto back = decode<std::decay_t<decltype(v)>>(json);
    ASSERT_TRUE(back) << to_string(back.err()) << json;
    EXPECT_EQ(encode(*back), json);
  });
}

TEST(wire, an_empty_struct_reads_back_the_same_where_it_is_one_at_all) {
  for (auto json : {R"({"grants":[]})"})
    EXPECT_EQ(encode(*decode<claim_reply>(json)), json);
  EXPECT_EQ(encode(redrive{}), "{}");
  EXPECT_EQ(encode(policy_patch{}), "{}");
  EXPECT_EQ(encode(heartbeat{}), "{}");
  EXPECT_TRUE(decode<heartbeat>("{}")->connections.empty());
  EXPECT_FALSE(decode<policy_patch>("{}")->paused.has_value());
}

TEST(wire, fields_that_must_be_there_are_missed_by_name_and_the_others_are_not) {
  for_each_struct([](const auto& v, const std::string& json, const keys& required) {
    using wire_struct = std::decay_t<decltype(v)>;
    const auto members = members_of(json);
    for (std::size_t i = 0; i < members.size(); ++i) {
      auto fewer = members;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      auto back = decode<wire_struct>(object_of(fewer));
      ASSERT_EQ(back.ok(), required.count(members[i].first) == 0) << members[i].first << " of " << json;
      if (!back) {
        EXPECT_EQ(back.err(), make_error(errc::invalid_request, members[i].first + ": is missing"));
      }
    }
  });
}

TEST(wire, a_field_of_the_wrong_type_is_named) {
  for_each_struct([](const auto& v, const std::string& json, const keys&) {
    using wire_struct = std::decay_t<decltype(v)>;
    const auto members = members_of(json);
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i].first == "result")
        continue; // Any JSON is right.
      for (auto wrong : {"null", "-1", "1.5", "\"\\u0000 no\"", "{\"no\":[1]}", "[[1]]"}) {
        auto changed = members;
        changed[i].second = wrong;
        auto back = decode<wire_struct>(object_of(changed));
        const bool is_free_text = wrong[0] == '"'; // Some texts may be anything.
        if (back && is_free_text)
          continue;
        ASSERT_FALSE(back) << object_of(changed);
        EXPECT_EQ(back.err().code, errc::invalid_request) << to_string(back.err());
        EXPECT_TRUE(back.err().detail.starts_with(members[i].first)) << to_string(back.err());
      }
    }
  });
}

TEST(wire, a_key_that_comes_twice_is_refused_and_an_unknown_one_ignored) {
  for_each_struct([](const auto& v, const std::string& json, const keys&) {
    using wire_struct = std::decay_t<decltype(v)>;
    auto members = members_of(json);
    members.emplace_back("x_new", "{\"deep\":[1e999,{\"x\":null}],\"x\":1,\"x\":2}");
    auto newer = decode<wire_struct>(object_of(members));
    ASSERT_TRUE(newer) << to_string(newer.err());
    EXPECT_EQ(encode(*newer), json);
    members.push_back(members.back());
    EXPECT_EQ(refusal<wire_struct>(object_of(members)).code, errc::duplicate_key);
    members.pop_back();
    members.back() = members.front();
    EXPECT_EQ(refusal<wire_struct>(object_of(members)).code, errc::duplicate_key);
    members.back() = {"x_new", "tru"};
    EXPECT_EQ(refusal<wire_struct>(object_of(members)).code, errc::malformed_json);
  });
}

TEST(wire, a_body_cut_off_anywhere_is_refused) {
  for_each_struct([](const auto& v, const std::string& json, const keys&) {
    using wire_struct = std::decay_t<decltype(v)>;
    for (std::size_t n = 0; n < json.size(); ++n)
      ASSERT_EQ(refusal<wire_struct>(json.substr(0, n)).code, errc::malformed_json) << json.substr(0, n);
    EXPECT_EQ(refusal<wire_struct>(json + "x").code, errc::malformed_json);
    EXPECT_EQ(refusal<wire_struct>(json + "\xff").code, errc::invalid_utf8);
    EXPECT_EQ(refusal<wire_struct>("\xef\xbb\xbf" + json).code, errc::malformed_json);
    EXPECT_EQ(refusal<wire_struct>("[" + json + "]").code, errc::invalid_request);
  });
}

TEST(wire, a_body_changed_anywhere_is_refused_or_read_but_never_trusted) {
  std::mt19937 random{20260131};
  for_each_struct([&](const auto& v, const std::string& json, const keys&) {
    using wire_struct = std::decay_t<decltype(v)>;
    for (int round = 0; round < 2000; ++round) {
      auto changed = json;
      for (int k = 0; k < 2; ++k)
        changed[random() % changed.size()] = static_cast<char>(random());
      auto back = decode<wire_struct>(changed);
      if (!back)
        continue;
      const auto again = encode(*back); // Whatever was read can be written, and that reads back as itself.
      ASSERT_EQ(encode(*decode<wire_struct>(again)), again) << changed;
    }
  });
}

TEST(wire, events_and_results_come_through_byte_for_byte) {
  const auto reply = decode<claim_reply>(
    R"({"grants":[{"message":"m17-1","fence":"17-3","connection":"c","attempt":1,"attempt_timeout_ms":1,"event" : )"
    + *event_bytes + " } ] }");
  ASSERT_TRUE(reply);
  EXPECT_EQ(*reply->grants[0].event, *event_bytes);
  for (auto raw : {"1e999", "12345678901234567890123456789012345678", "[ 1 ,\t2 ]", "\"\\u0041\"", "null", "{\"a\":1,\"a\":2}"}) {
    const auto s = decode<settle>(R"({"agent_id":"a","items":[{"message":"m1-1","fence":"1-1","outcome":"done","result": )"
                                  + std::string{raw} + " }]}");
    ASSERT_TRUE(s) << raw;
    EXPECT_EQ(s->items[0].result, raw);
  }
  EXPECT_EQ(
    refusal<settle>(R"({"agent_id":"a","items":[{"message":"m1-1","fence":"1-1","outcome":"done","result":[tru]}]})").code,
    errc::malformed_json);
}

TEST(wire, refusals_name_the_path_and_what_was_expected) {
  const auto of_claim = [](std::string_view more) {
    return refusal<claim>(R"({"lane":"L1","max_messages":1,"max_bytes":1,)" + std::string{more} + "}").detail;
  };
  EXPECT_EQ(of_claim(R"("seq":1,"connections":[{"name":"a","credit":1},{"name":"b","credit":1},{"name":"c","credit":-1}])"),
            "connections[2].credit: expected a non-negative integer");
  EXPECT_EQ(of_claim(R"("seq":1,"connections":[{"name":"a","credit":1000001}])"),
            "connections[0].credit: expected an integer from 0 to 1000000");
  EXPECT_EQ(of_claim(R"("seq":1,"connections":[{"name":"a"}])"), "connections[0].credit: is missing");
  EXPECT_EQ(of_claim(R"("seq":1,"connections":[7])"), "connections[0]: expected an object, found a number");
  EXPECT_EQ(of_claim(R"("seq":1,"connections":[{"name":"Ä","credit":1}])"),
            "connections[0].name: expected 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit");
  EXPECT_EQ(of_claim(R"("seq":"1","connections":[])"), "seq: expected a non-negative integer");
  EXPECT_EQ(of_claim(R"("seq":1.0,"connections":[])"), "seq: expected a non-negative integer");
  EXPECT_EQ(of_claim(R"("seq":0,"connections":[])"), "seq: expected an integer from 1 to 18446744073709551615");
  EXPECT_EQ(of_claim(R"("seq":18446744073709551616,"connections":[])"),
            "seq: expected an integer from 1 to 18446744073709551615");
  EXPECT_EQ(of_claim(R"("seq":1,"wait_ms":50001,"connections":[])"), "wait_ms: expected an integer from 0 to 50000");
  EXPECT_EQ(refusal<extend>(R"({"items":[{"message":"m1-1","fence":"1-1","more_ms":31622400001}]})").detail,
            "items[0].more_ms: expected an integer from 0 to 31622400000");
  EXPECT_EQ(refusal<settle>(R"({"agent_id":"a","items":[{"message":"m1-1","fence":"1-1","outcome":"finished"}]})").detail,
            "items[0].outcome: expected one of done failed release");
  EXPECT_EQ(refusal<settle>(R"({"agent_id":"a","items":[{"message":"1-1","fence":"1-1","outcome":"done"}]})").detail,
            "items[0].message: expected a message id");
  EXPECT_EQ(refusal<heartbeat>(R"({"held_hash":"123"})").detail, "held_hash: expected 16 hexadecimal digits");
  EXPECT_EQ(refusal<heartbeat>(R"({"held_hash":"+123456789abcdef"})").detail, "held_hash: expected 16 hexadecimal digits");
  EXPECT_EQ(refusal<policy_patch>(R"({"max_attempts":0})").detail, "max_attempts: expected an integer from 1 to 1000000");
  EXPECT_EQ(refusal<policy_patch>(R"({"max_in_flight":4294967296})").detail,
            "max_in_flight: expected an integer from 0 to 4294967295");
  EXPECT_EQ(refusal<redrive>("[]").detail, "expected an object, found an array");
}

TEST(wire, a_result_may_have_256_kib_and_no_more) {
  const auto with = [](std::size_t bytes) {
    return R"({"agent_id":"a","items":[{"message":"m1-1","fence":"1-1","outcome":"done","result":")" + std::string(bytes - 2, 'x')
           + "\"}]}";
  };
  EXPECT_TRUE(decode<settle>(with(256 * 1024)));
  EXPECT_EQ(refusal<settle>(with(256 * 1024 + 1)).detail, "items[0].result: expected at most 262144 bytes");
}

TEST(verdicts, that_changed_nothing_say_why_with_code_status_and_sentence) {
  const auto of = [](verdict_kind kind, std::optional<errc> code = {}) {
    return encode(settle_reply{{{m1, f3, kind, "", {}, code}}});
  };
  EXPECT_EQ(of(verdict_kind::settled), R"({"items":[{"message":"m17-1","fence":"17-3","verdict":"settled"}]})");
  const std::tuple<verdict_kind, std::optional<errc>, errc> cases[] = {
    {verdict_kind::stale, {}, errc::stale_fence},
    {verdict_kind::burnt, {}, errc::burnt_fence},
    {verdict_kind::unknown, {}, errc::unknown_fence},
    {verdict_kind::unknown, errc::not_holder, errc::not_holder}};
  for (const auto& [kind, given, expected] : cases) {
    const auto json = of(kind, given);
    EXPECT_NE(
      json.find("\"code\":\"" + std::string{to_string(expected)} + "\",\"status\":" + std::to_string(http_status(expected))),
      std::string::npos)
      << json;
    EXPECT_NE(json.find("\"detail\":\"" + std::string{sentence(expected)}), std::string::npos) << json;
    EXPECT_EQ(decode<settle_reply>(json)->items[0].code, expected);
  }
  const auto newer =
    decode<settle_reply>(R"({"items":[{"message":"m1-1","fence":"1-1","verdict":"stale","code":"from_the_future"}]})");
  ASSERT_TRUE(newer);
  EXPECT_FALSE(newer->items[0].code);
}

TEST(problems, are_problem_json_and_read_back_as_the_error_they_were) {
  auto e = make_error(errc::queue_full, "queue \"erp-db\"");
  e.index = 0;
  e.retry_after_s = 3;
  EXPECT_EQ(encode(e),
            R"({"type":"urn:sallyport:error:queue_full","title":"the queue has as many messages as it may; nothing was stored",)"
            R"("status":429,"detail":"queue \"erp-db\"","code":"queue_full","index":0,"retry_after_s":3})");
#define SALLYPORT_X(name, number, status, adv, sentence)                                                                         \
  e.code = errc::name;                                                                                                           \
  EXPECT_EQ(decode_problem(encode(e)), e);
  SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  EXPECT_EQ(decode_problem(encode(make_error(errc::not_ready, ""))), make_error(errc::not_ready, ""));
}

TEST(problems, of_a_call_that_ran_out_of_time_say_whether_it_may_have_run) {
  EXPECT_NE(encode(make_error(errc::call_not_started, "x")).find(R"("outcome":"not_started")"), std::string::npos);
  EXPECT_NE(encode(make_error(errc::call_outcome_unknown, "x")).find(R"("outcome":"unknown")"), std::string::npos);
  EXPECT_EQ(encode(make_error(errc::no_agent_up, "x")).find("outcome"), std::string::npos);
}

TEST(problems, of_a_newer_hub_are_understood_by_their_status) {
  const auto of = [](int status) {
    return decode_problem(R"({"status":)" + std::to_string(status) + R"(,"code":"new_one","detail":"why"})");
  };
  EXPECT_EQ(of(409), make_error(errc::invalid_request, "new_one: why"));
  EXPECT_EQ(of(429), make_error(errc::too_many_requests, "new_one: why"));
  EXPECT_EQ(of(503), make_error(errc::internal, "new_one: why"));
}

TEST(problems, that_are_none_are_a_protocol_violation) {
  for (auto body : {"", "<html>502 Bad Gateway</html>", "{}", "[]", R"({"code":"not_found"})", R"({"code":7,"status":404})",
                    R"({"code":"not_found","status":200})"})
    EXPECT_EQ(decode_problem(body).code, errc::protocol_violation) << body;
}

TEST(words, are_what_the_contract_calls_them) {
  EXPECT_EQ(to_string(reach::unknown), "unknown");
  EXPECT_EQ(to_string(effect_promise::at_least_once), "at_least_once");
  EXPECT_EQ(to_string(session_command::drain), "drain");
  EXPECT_EQ(to_string(outcome_kind::release), "release");
  EXPECT_EQ(to_string(failure_scope::target), "target");
  EXPECT_EQ(to_string(effect_state::unknown), "unknown");
  EXPECT_EQ(to_string(verdict_kind::burnt), "burnt");
  EXPECT_EQ(to_string(on_dead::block), "block");
  EXPECT_EQ(to_string(on_unknown_effect::dead_letter), "dead_letter");
  EXPECT_EQ(to_string(fingerprint_policy::warn), "warn");
}

} // namespace
} // namespace sallyport::wire
