// A request body as one event and as a batch. What is accepted must be JSON for simdjson too, must be forwarded as it came, and must mean
// the same when it is read again or under tighter limits.
#include "protocol/event.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <simdjson.h>

#include <set>

namespace {

using namespace sallyport;
namespace json = simdjson::dom;

bool same(const event_attributes& a, const event_attributes& b) {
  return a.id == b.id && a.source == b.source && a.type == b.type && a.subject == b.subject && a.partition_key == b.partition_key
         && a.trace_parent == b.trace_parent && a.not_before == b.not_before && a.expires_at == b.expires_at;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// Numbers beyond a double are JSON; simdjson's document refuses them all the same, and then has nothing to say.
bool read(json::parser& parser, std::string_view text, json::element& out) {
  const auto failed = parser.parse(text.data(), text.size()).get(out);
  SALLYPORT_ASSERT(failed == simdjson::SUCCESS || failed == simdjson::NUMBER_ERROR);
  return failed == simdjson::SUCCESS;
}

std::string text_at(json::object object, const char* name) {
  std::string_view text;
  return object[name].get(text) == simdjson::SUCCESS ? std::string{text} : std::string{};
}

void agree_on_event(const parsed_event& event) {
  static json::parser parser;
  json::element root;
  const auto data = raw_data(event.raw);
  SALLYPORT_ASSERT(!data
                   || (data->data() >= event.raw.data() && data->data() + data->size() <= event.raw.data() + event.raw.size()));
  if (!read(parser, event.raw, root))
    return;
  json::object object;
  SALLYPORT_ASSERT(root.get(object) == simdjson::SUCCESS);
  std::set<std::string> keys;
  for (const auto member : object)
    SALLYPORT_ASSERT(keys.emplace(member.key).second);
  const auto& a = event.attributes;
  SALLYPORT_ASSERT(!a.id.empty() && a.id == text_at(object, "id"));
  SALLYPORT_ASSERT(!a.source.empty() && a.source == text_at(object, "source"));
  SALLYPORT_ASSERT(!a.type.empty() && a.type == text_at(object, "type"));
  SALLYPORT_ASSERT(a.subject == text_at(object, "subject"));
  SALLYPORT_ASSERT(a.partition_key == text_at(object, "partitionkey"));
  SALLYPORT_ASSERT(a.trace_parent == text_at(object, "traceparent"));
  SALLYPORT_ASSERT(text_at(object, "specversion") == "1.0");
  SALLYPORT_ASSERT(data.has_value() == (keys.count("data") == 1));
  if (!data)
    return;
  const auto expected = simdjson::minify(object["data"].value());
  static json::parser second;
  json::element part;
  SALLYPORT_ASSERT(second.parse(data->data(), data->size()).get(part) == simdjson::SUCCESS);
  SALLYPORT_ASSERT(simdjson::minify(part) == expected);
}

void judge_event(std::string_view body) {
  const auto wide = parse_event(body, {});
  const auto tight = parse_event(body, {.event_bytes = 200, .events = 2, .depth = 3});
  if (!wide) {
    SALLYPORT_ASSERT(!tight.ok());
    SALLYPORT_ASSERT(!wide.err().detail.empty());
    return;
  }
  SALLYPORT_ASSERT(wide->raw == trim(body)); // Forwarded as it came.
  SALLYPORT_ASSERT(!tight || (same(tight->attributes, wide->attributes) && tight->raw.size() <= 200));
  agree_on_event(*wide);
  const std::string copy{wide->raw};
  const auto again = parse_event(copy, {});
  SALLYPORT_ASSERT(again.ok());
  SALLYPORT_ASSERT(same(again->attributes, wide->attributes));
  SALLYPORT_ASSERT(again->raw == wide->raw);
  // As the only one of a batch it is the same event.
  const std::string batch{"[" + std::string{wide->raw} + "]"};
  const auto events = parse_event_batch(batch, {});
  SALLYPORT_ASSERT(events.ok() && events->size() == 1);
  SALLYPORT_ASSERT(same(events->front().attributes, wide->attributes));
}

void judge_batch(std::string_view body) {
  const auto events = parse_event_batch(body, {.events = 8});
  if (!events) {
    SALLYPORT_ASSERT(!events.err().detail.empty());
    SALLYPORT_ASSERT(!events.err().index || *events.err().index < 9);
    return;
  }
  SALLYPORT_ASSERT(events->size() <= 8);
  json::parser parser;
  json::element root;
  if (read(parser, body, root)) {
    json::array array;
    SALLYPORT_ASSERT(root.get(array) == simdjson::SUCCESS && array.size() == events->size());
  }
  for (const auto& event : *events) {
    agree_on_event(event);
    const std::string alone{event.raw};
    const auto again = parse_event(alone, {});
    SALLYPORT_ASSERT(again.ok() && same(again->attributes, event.attributes));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string body{fuzz::as_text(data, size)};
  judge_event(body);
  judge_batch(body);
  return 0;
}
