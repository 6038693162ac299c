// docs/openapi.yaml against the codec: one describes what the other reads and writes, field by field. (That a running hub keeps to it is
// tested with a running hub.)
#include "protocol/codec.hpp"
#include "protocol/codec_tables.hpp"
#include "protocol/frames.hpp"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <functional>
#include <set>
#include <utility>

namespace sallyport::wire {
namespace {

using names = std::set<std::string>;

const YAML::Node& contract() {
  static const auto node = YAML::LoadFile(SALLYPORT_OPENAPI);
  return node;
}

// operator[] of a node that is not const adds what it does not find.
YAML::Node schema(const std::string& name) {
  const auto schemas = contract()["components"]["schemas"];
  return schemas[name] ? schemas[name] : YAML::Node{};
}

names strings(const YAML::Node& list) {
  names out;
  for (const auto& each : list)
    out.insert(each.as<std::string>());
  return out;
}

names keys_of(const YAML::Node& map) {
  names out;
  for (const auto& each : map)
    out.insert(each.first.as<std::string>());
  return out;
}

names wire_codes() {
  names out;
#define SALLYPORT_X(name, number, status, adv, sentence)                                                                         \
  if (number < 100)                                                                                                              \
    out.insert(#name);
  SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  return out;
}

// Calls f(operationId, operation) for each.
void for_each_operation(const std::function<void(const std::string&, const YAML::Node&)>& f) {
  for (const auto& path : contract()["paths"])
    for (const auto& operation : path.second)
      if (operation.second.IsMap() && operation.second["operationId"])
        f(operation.second["operationId"].as<std::string>(), operation.second);
}

void walk(const YAML::Node& node, const std::string& where, const std::function<void(const YAML::Node&, const std::string&)>& f) {
  f(node, where);
  if (node.IsMap())
    for (const auto& each : node)
      walk(each.second, where + '/' + each.first.as<std::string>(), f);
  else if (node.IsSequence())
    for (std::size_t i = 0; i < node.size(); ++i)
      walk(node[i], where + '/' + std::to_string(i), f);
}

YAML::Node resolved(const YAML::Node& node) {
  if (!node.IsMap() || !node["$ref"])
    return node;
  auto path = node["$ref"].as<std::string>().substr(2);
  YAML::Node at = contract();
  while (!path.empty()) {
    const auto slash = path.find('/');
    at.reset(std::as_const(at)[path.substr(0, slash)]);
    path.erase(0, slash == path.npos ? path.size() : slash + 1);
  }
  return at;
}

TEST(openapi, every_reference_leads_somewhere_and_nothing_is_left_empty) {
  names used;
  walk(contract(), "", [&](const YAML::Node& node, const std::string& where) {
    EXPECT_FALSE(node.IsNull()) << where; // A comma in an unquoted text would leave such a trace.
    if (node.IsMap() && node["$ref"]) {
      EXPECT_TRUE(resolved(node).IsDefined() && !resolved(node).IsNull()) << where << ": " << node["$ref"];
      used.insert(node["$ref"].as<std::string>());
    }
  });
  for (const auto& kind : {"schemas", "parameters", "responses", "headers"})
    for (const auto& name : keys_of(contract()["components"][kind]))
      EXPECT_EQ(used.count(std::string{"#/components/"} + kind + '/' + name), 1u) << kind << '/' << name << " is used nowhere";
}

TEST(openapi, every_operation_has_a_name_roles_and_a_default_answer) {
  names ids;
  for_each_operation([&](const std::string& id, const YAML::Node& operation) {
    EXPECT_TRUE(ids.insert(id).second) << id;
    ASSERT_TRUE(operation["x-roles"].IsDefined()) << id;
    for (const auto& role : strings(operation["x-roles"]))
      EXPECT_TRUE(names({"producer", "agent", "admin"}).count(role)) << id;
    const bool is_open = operation["security"].IsDefined() && operation["security"].size() == 0;
    EXPECT_EQ(is_open, operation["x-roles"].size() == 0) << id;
    EXPECT_EQ(operation["responses"]["default"]["$ref"].as<std::string>(), "#/components/responses/AnyOperation") << id;
  });
  EXPECT_EQ(ids.size(), 23u);
}

TEST(openapi, every_error_answer_is_a_problem_whose_codes_have_its_status) {
  const auto judge = [](const std::string& where, const std::string& status, const names& codes) {
    EXPECT_FALSE(codes.empty()) << where;
    for (const auto& code : codes) {
      const auto known = parse_errc(code);
      ASSERT_TRUE(known) << where << ": " << code;
      EXPECT_EQ(std::to_string(http_status(*known)), status) << where << ": " << code;
    }
  };
  for_each_operation([&](const std::string& id, const YAML::Node& operation) {
    for (const auto& each : operation["responses"]) {
      const auto status = each.first.as<std::string>();
      const auto response = resolved(each.second);
      const auto where = id + ' ' + status;
      ASSERT_TRUE(response["content"].IsDefined()) << where;
      if (status == "default")
        continue;
      if (status < "400") {
        EXPECT_FALSE(response["x-codes"].IsDefined()) << where;
        continue;
      }
      EXPECT_EQ(keys_of(response["content"]), names{"application/problem+json"}) << where;
      judge(where, status, strings(response["x-codes"]));
    }
  });
  for (const auto& each : contract()["components"]["responses"]["AnyOperation"]["x-codes"])
    judge("AnyOperation", each.first.as<std::string>(), strings(each.second));
}

TEST(openapi, every_code_of_the_wire_is_declared_and_carried_by_some_answer) {
  EXPECT_EQ(strings(schema("Code")["enum"]), wire_codes());
  auto carried = strings(schema("Verdict")["properties"]["code"]["enum"]);
  for_each_operation([&](const std::string&, const YAML::Node& operation) {
    for (const auto& each : operation["responses"])
      if (const auto response = resolved(each.second); response["x-codes"].IsDefined() && response["x-codes"].IsSequence())
        carried.merge(strings(response["x-codes"]));
  });
  for (const auto& each : contract()["components"]["responses"]["AnyOperation"]["x-codes"])
    carried.merge(strings(each.second));
  EXPECT_EQ(carried, wire_codes());
}

// ---- schemas and tables ------------------------------------------------------------------------------------------------------

template <class Struct>
void expect_described(const std::string& name, names added_by_the_encoder = {}) {
  SCOPED_TRACE(name);
  const auto described = schema(name);
  ASSERT_TRUE(described.IsMap());
  names all = std::move(added_by_the_encoder), needed;
  std::apply(
    [&](const auto&... f) {
      const auto look_at = [&](const auto& field) {
        all.insert(std::string{field.name});
        if (field.is_required)
          needed.insert(std::string{field.name});
        const auto declared = described["properties"][std::string{field.name}];
        if (!declared.IsDefined())
          return; // Reported below.
        const auto property = resolved(declared);
        const auto expect_bound = [&](const char* bound, std::uint64_t expected) {
          if (property[bound].IsDefined()) {
            EXPECT_EQ(property[bound].template as<std::uint64_t>(), expected) << field.name << ": " << bound;
          }
        };
        expect_bound("minimum", field.allowed.min);
        if (field.allowed.max != UINT64_MAX)
          expect_bound("maximum", field.allowed.max);
        expect_bound("maxLength", field.allowed.max);
      };
      (look_at(f), ...);
    },
    fields<Struct>);
  EXPECT_EQ(keys_of(described["properties"]), all);
  EXPECT_EQ(described["required"].IsDefined() ? strings(described["required"]) : names{}, needed);
}

// Frames know a field by its place.
template <class Struct>
void expect_places(const std::string& name) {
  SCOPED_TRACE(name);
  std::vector<std::string> described, ours;
  for (const auto& each : schema(name)["properties"])
    described.push_back(each.first.as<std::string>());
  std::apply([&](const auto&... f) { (ours.emplace_back(f.name), ...); }, fields<Struct>);
  ASSERT_GE(described.size(), ours.size());
  described.resize(ours.size()); // Behind them: what the JSON encoder adds.
  EXPECT_EQ(described, ours);
}

TEST(openapi, lists_what_goes_in_frames_in_its_order) {
  expect_places<claim_reply>("ClaimReply");
  expect_places<grant>("Grant");
  expect_places<settle>("Settle");
  expect_places<settlement>("Settlement");
  expect_places<settle_reply>("SettleReply");
  expect_places<verdict>("Verdict");
  const std::string frames{frames_type};
  for_each_operation([&](const std::string& id, const YAML::Node& operation) {
    const bool is_claim = id == "claim", is_settle = id == "settle";
    EXPECT_EQ(operation["requestBody"].IsDefined() && operation["requestBody"]["content"][frames].IsDefined(), is_settle) << id;
    for (const auto& each : operation["responses"])
      if (each.first.as<std::string>() == "200") {
        EXPECT_EQ(each.second["content"].IsDefined() && each.second["content"][frames].IsDefined(), is_claim || is_settle) << id;
      }
  });
}

TEST(openapi, describes_every_struct_of_the_wire_field_by_field) {
  expect_described<enqueue_reply>("EnqueueReply");
  expect_described<enqueued_item>("EnqueuedItem");
  expect_described<open_session>("OpenSession");
  expect_described<announced_connection>("AnnouncedConnection");
  expect_described<held_grant>("HeldGrant");
  expect_described<session_opened>("SessionOpened");
  expect_described<heartbeat>("Heartbeat");
  expect_described<connection_state>("ConnectionState");
  expect_described<held_list>("HeldList");
  expect_described<lane_position>("LanePosition");
  expect_described<heartbeat_reply>("HeartbeatReply");
  expect_described<session_closed>("SessionClosed");
  expect_described<claim>("Claim");
  expect_described<connection_credit>("ConnectionCredit");
  expect_described<claim_reply>("ClaimReply");
  expect_described<grant>("Grant");
  expect_described<settle>("Settle");
  expect_described<settlement>("Settlement");
  expect_described<settle_reply>("SettleReply");
  expect_described<verdict>("Verdict", {"status", "detail"});
  expect_described<extend>("Extend");
  expect_described<extension>("Extension");
  expect_described<extend_reply>("ExtendReply");
  expect_described<message_view>("MessageView");
  expect_described<history_entry>("HistoryEntry");
  expect_described<cancel_reply>("CancelReply");
  expect_described<call_reply>("CallReply");
  expect_described<queue_policy>("QueuePolicy");
  expect_described<policy_patch>("PolicyPatch");
  expect_described<connection_view>("ConnectionView");
  expect_described<agent_view>("AgentView");
  expect_described<group_view>("GroupView");
  expect_described<groups_reply>("GroupsReply");
  expect_described<queue_page>("QueuePage");
  expect_described<queued_view>("QueuedView");
  expect_described<redrive>("Redrive");
  expect_described<count_reply>("CountReply");
}

// Only those that are never sent to the hub: what the hub answers is closed, so that a test can hold it to the contract.
TEST(openapi, leaves_no_room_in_replies_for_what_it_does_not_declare) {
  names requests;
  std::function<void(const YAML::Node&, names&)> gather = [&](const YAML::Node& content, names& into) {
    walk(content, "", [&](const YAML::Node& node, const std::string&) {
      if (node.IsMap() && node["$ref"])
        if (auto name = node["$ref"].as<std::string>(); into.insert(name).second)
          gather(resolved(node), into);
    });
  };
  names replies;
  for_each_operation([&](const std::string&, const YAML::Node& operation) {
    for (const auto& each : operation["responses"])
      gather(resolved(each.second)["content"], replies);
  });
  for (const auto& ref : replies) {
    const auto name = ref.substr(ref.rfind('/') + 1);
    const auto described = schema(name);
    if (!described["properties"].IsDefined() || name == "CloudEvent") // Events are the producers' own.
      continue;
    ASSERT_TRUE(described["additionalProperties"].IsDefined()) << name;
    EXPECT_EQ(described["additionalProperties"].as<std::string>(), "false") << name;
  }
  EXPECT_GT(replies.size(), 20u);
}

template <class Enum>
names all_words() {
  return {words<Enum>.begin(), words<Enum>.end()};
}

TEST(openapi, uses_the_words_of_the_codec) {
  const auto property = [](const char* name, const char* field) { return strings(schema(name)["properties"][field]["enum"]); };
  EXPECT_EQ(strings(schema("Reach")["enum"]), all_words<reach>());
  EXPECT_EQ(strings(schema("EffectPromise")["enum"]), all_words<effect_promise>());
  EXPECT_EQ(strings(schema("Outcome")["enum"]), all_words<outcome_kind>());
  EXPECT_EQ(property("Settlement", "scope"), all_words<failure_scope>());
  EXPECT_EQ(property("Settlement", "effect"), all_words<effect_state>());
  EXPECT_EQ(property("Verdict", "verdict"), all_words<verdict_kind>());
  EXPECT_EQ(property("QueuePolicy", "on_dead"), all_words<on_dead>());
  EXPECT_EQ(property("QueuePolicy", "on_unknown_effect"), all_words<on_unknown_effect>());
  EXPECT_EQ(property("QueuePolicy", "fingerprints"), all_words<fingerprint_policy>());
  EXPECT_EQ(strings(schema("HeartbeatReply")["properties"]["commands"]["items"]["enum"]), all_words<session_command>());
}

} // namespace
} // namespace sallyport::wire
