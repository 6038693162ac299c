#include "tests/cloud/hub/schema.hpp"

#include <algorithm>
#include <cctype>
#include <regex>
#include <sstream>

namespace sallyport::cloud::test {

namespace {

std::vector<std::string> segments(const std::string& path) {
  std::vector<std::string> out;
  std::istringstream in{path.substr(0, path.find('?'))};
  for (std::string s; std::getline(in, s, '/');)
    out.push_back(s);
  return out;
}

bool contains(const YAML::Node& list, const std::string& word) {
  return std::any_of(list.begin(), list.end(), [&](const YAML::Node& each) { return each.as<std::string>() == word; });
}

/// JSON read as YAML: quoted scalars carry the tag "!".
std::string type_of(const YAML::Node& v) {
  if (v.IsMap())
    return "object";
  if (v.IsSequence())
    return "array";
  if (!v.IsScalar())
    return "null";
  if (v.Tag() == "!")
    return "string";
  const auto& text = v.Scalar();
  if (text == "true" || text == "false")
    return "boolean";
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) || c == '-'; }) ? "integer"
                                                                                                            : "number";
}

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_search(text, std::regex{pattern});
}

} // namespace

contract::contract(const std::string& file) : root_(YAML::LoadFile(file)) {
  for (const auto& path : root_["paths"])
    for (const auto& entry : path.second) {
      auto method = entry.first.as<std::string>();
      if (method == "parameters")
        continue;
      std::transform(method.begin(), method.end(), method.begin(), [](unsigned char c) { return std::toupper(c); });
      operations_.push_back({entry.second["operationId"].as<std::string>(), method, path.first.as<std::string>(), entry.second});
    }
}

YAML::Node contract::resolve(const YAML::Node& node) const {
  if (!node.IsMap() || !node["$ref"])
    return node;
  YAML::Node at = root_;
  for (const auto& step : segments(node["$ref"].as<std::string>().substr(1)))
    if (!step.empty())
      at.reset(at[step]);
  return resolve(at);
}

const declared_operation* contract::find(const std::string& method, const std::string& target) const {
  const auto given = segments(target);
  for (const auto& o : operations_) {
    const auto declared = segments(o.path);
    if (o.method == (method == "HEAD" ? "GET" : method) && declared.size() == given.size()
        && std::equal(declared.begin(), declared.end(), given.begin(),
                      [](const std::string& d, const std::string& g) { return d == g || (!d.empty() && d.front() == '{'); }))
      return &o;
  }
  return nullptr;
}

void contract::validate(const YAML::Node& raw, const YAML::Node& value, const std::string& where,
                        std::vector<std::string>& faults) const {
  const auto schema = resolve(raw);
  const auto fail = [&](const std::string& what) { faults.push_back(where + ": " + what); };
  if (!schema.IsMap())
    return;
  if (schema["type"]) {
    const auto wanted = schema["type"].as<std::string>(), found = type_of(value);
    if (wanted != found && !(wanted == "number" && found == "integer"))
      return fail("is " + found + ", declared as " + wanted);
  }
  if (schema["enum"] && !contains(schema["enum"], value.Scalar()))
    fail("\"" + value.Scalar() + "\" is not among the declared words");
  if (schema["const"] && schema["const"].as<std::string>() != value.Scalar())
    fail("is not " + schema["const"].as<std::string>());
  if (schema["pattern"] && !matches(value.Scalar(), schema["pattern"].as<std::string>()))
    fail("\"" + value.Scalar() + "\" does not match " + schema["pattern"].as<std::string>());
  if (schema["format"] && schema["format"].as<std::string>() == "date-time"
      && !matches(value.Scalar(), R"(^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$)"))
    fail("\"" + value.Scalar() + "\" is no time");
  if (schema["minimum"] && value.as<double>() < schema["minimum"].as<double>())
    fail(value.Scalar() + " is too small");
  if (schema["maximum"] && value.as<double>() > schema["maximum"].as<double>())
    fail(value.Scalar() + " is too large");
  if (schema["required"])
    for (const auto& name : schema["required"])
      if (!value[name.as<std::string>()])
        fail("lacks " + name.as<std::string>());
  if (value.IsMap()) {
    const bool closed = schema["additionalProperties"] && schema["additionalProperties"].Scalar() == "false";
    for (const auto& member : value) {
      const auto name = member.first.as<std::string>();
      if (schema["properties"] && schema["properties"][name])
        validate(schema["properties"][name], member.second, where + "." + name, faults);
      else if (closed)
        fail("has " + name + ", which is not declared");
    }
  }
  if (schema["items"])
    for (std::size_t i = 0; i < value.size(); ++i)
      validate(schema["items"], value[i], where + "[" + std::to_string(i) + "]", faults);
}

std::vector<std::string> contract::faults(const declared_operation* operation, const answer& a) const {
  std::vector<std::string> faults;
  const auto status = std::to_string(a.status);
  const auto any = resolve(root_["components"]["responses"]["AnyOperation"]);
  const auto any_codes = any["x-codes"][status];
  YAML::Node response;
  if (operation && operation->node["responses"][status])
    response.reset(resolve(operation->node["responses"][status]));
  else if (any_codes)
    response.reset(any);
  else
    return {"status " + status + " is not declared"};

  const auto content = response["content"];
  const auto type = a.content_type.substr(0, a.content_type.find(';'));
  if (!content[type])
    return {"content type " + type + " is not declared for " + status};
  if (type.ends_with("json")) {
    const auto body = YAML::Load(a.body);
    validate(content[type]["schema"], body, "body", faults);
    if (type == "application/problem+json" && body["code"]) {
      const auto code = body["code"].as<std::string>();
      const bool own = operation && operation->node["responses"][status] && contains(response["x-codes"], code);
      if (!own && !(any_codes && contains(any_codes, code)))
        faults.push_back("code " + code + " is not declared for " + status);
      if (body["status"].as<int>() != a.status)
        faults.push_back("the problem says another status than the response");
    }
  }
  if (response["headers"])
    for (const auto& h : response["headers"]) {
      auto name = h.first.as<std::string>();
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      const auto declared = resolve(h.second);
      const auto found = a.headers.find(name);
      if (found != a.headers.end() && declared["schema"]["type"].as<std::string>() == "integer"
          && !matches(found->second, "^[1-9][0-9]*$"))
        faults.push_back("header " + name + " is no positive number: " + found->second);
      if (found == a.headers.end() && declared["required"] && declared["required"].as<bool>())
        faults.push_back("header " + name + " is missing");
    }
  return faults;
}

std::set<std::string> contract::statuses() const {
  std::set<std::string> out;
  for (const auto& o : operations_)
    for (const auto& r : o.node["responses"])
      if (r.first.as<std::string>() != "default")
        out.insert(o.id + " " + r.first.as<std::string>());
  return out;
}

std::set<std::string> contract::triples() const {
  std::set<std::string> out;
  for (const auto& o : operations_)
    for (const auto& r : o.node["responses"])
      if (const auto status = r.first.as<std::string>(); status != "default")
        if (const auto response = resolve(r.second); response["x-codes"])
          for (const auto& code : response["x-codes"])
            out.insert(o.id + " " + status + " " + code.as<std::string>());
  return out;
}

std::set<std::string> contract::codes() const {
  std::set<std::string> out;
  for (const auto& code : root_["components"]["schemas"]["Code"]["enum"])
    out.insert(code.as<std::string>());
  return out;
}

} // namespace sallyport::cloud::test
