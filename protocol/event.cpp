#include "protocol/event.hpp"

#include "protocol/cursor.hpp"

#include <algorithm>
#include <charconv>

namespace sallyport {

namespace {

using detail::json_cursor;
using detail::json_fault;
using detail::json_type;

constexpr std::size_t attribute_bytes_max = 1024; // The hub holds source and id of every message in memory.
constexpr std::size_t partition_key_bytes_max = 512;

bool is_attribute_name(std::string_view name) {
  return !name.empty()
         && std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

// CloudEvents allows no control characters in strings: C0, DEL, and C1 (0xc2 0x80..0x9f in UTF-8).
bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f || (c == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0))
      return true;
  }
  return false;
}

// W3C Trace Context: version, trace id, parent id, flags in lower-case hex; a later version may append more.
bool is_trace_parent(std::string_view text) {
  const auto is_hex = [](std::string_view part) {
    return std::all_of(part.begin(), part.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  };
  const auto is_zero = [](std::string_view part) { return part.find_first_not_of('0') == part.npos; };
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-')
    return false;
  const auto version = text.substr(0, 2), trace = text.substr(3, 32), parent = text.substr(36, 16), flags = text.substr(53, 2);
  if (!is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(flags) || is_zero(trace) || is_zero(parent))
    return false;
  return version == "00" ? text.size() == 55 : version != "ff" && (text.size() == 55 || text[55] == '-');
}

// RFC 4648 with padding, as CloudEvents asks for data_base64.
bool is_base64(std::string_view text) {
  if (text.size() % 4 != 0)
    return false;
  const auto body = text.substr(0, text.size() - (text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0));
  return std::all_of(body.begin(), body.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
}

// The Integer of CloudEvents has 32 bits.
bool is_integer(std::string_view token) {
  std::int32_t n = 0;
  auto [end, ec] = std::from_chars(token.data(), token.data() + token.size(), n);
  return ec == std::errc{} && end == token.data() + token.size();
}

error to_error(const json_cursor& in) {
  const auto code = [&] {
    switch (in.fault()) {
      case json_fault::invalid_utf8: return errc::invalid_utf8;
      case json_fault::duplicate_key: return errc::duplicate_key;
      case json_fault::too_deep:
      case json_fault::too_many_members: return errc::invalid_attribute;
      default: return errc::malformed_json;
    }
  };
  return make_error(code(), in.describe_fault());
}

// Reads one event off the cursor. One reader for a whole batch, so that its strings' capacity is reused.
class event_reader {
public:
  event_reader(json_cursor& in, const event_limits& limits) : in_(in), limits_(limits) {}

  /// False: then failure() says why.
  bool read(parsed_event& event);
  [[nodiscard]] error failure() { return failed_ ? std::move(error_) : to_error(in_); }

private:
  bool refuse(errc code, std::string detail) {
    error_ = make_error(code, std::move(detail));
    failed_ = true;
    return false;
  }
  bool invalid(std::string_view name, std::string_view expected) {
    return refuse(errc::invalid_attribute, std::string{name}.append(": expected ").append(expected));
  }
  bool attribute(std::string_view name, parsed_event& event);
  bool extension(std::string_view name);
  bool text(std::string_view name, std::size_t bytes_max, std::string_view& out);
  bool text_into(std::string_view name, std::size_t bytes_max, std::string& out);
  bool time(std::string_view name, std::optional<wall_time>& out);
  bool base64(std::string_view name);

  json_cursor& in_;
  const event_limits& limits_;
  bool has_spec_version_ = false, has_data_ = false, has_base64_ = false;
  bool failed_ = false;
  error error_;
};

bool event_reader::read(parsed_event& event) {
  has_spec_version_ = has_data_ = has_base64_ = false;
  if (const auto found = in_.type(); found != json_type::object && found != json_type::none) {
    const auto hint = found == json_type::array ? " (a batch has the content type application/cloudevents-batch+json)" : "";
    return refuse(errc::invalid_request,
                  std::string{"expected an event object, found "}.append(with_article(found)).append(hint));
  }
  const auto start = in_.position();
  if (!in_.members([&](std::string_view name) { return attribute(name, event); }))
    return false;
  event.raw = in_.since(start);
  if (event.raw.size() > limits_.event_bytes)
    return refuse(errc::event_too_large,
                  std::to_string(event.raw.size()) + " bytes, the limit is " + std::to_string(limits_.event_bytes));
  const auto& a = event.attributes;
  const auto* missing = !has_spec_version_ ? "specversion"
                        : a.id.empty()     ? "id"
                        : a.source.empty() ? "source"
                        : a.type.empty()   ? "type"
                                           : nullptr;
  if (missing)
    return refuse(errc::missing_attribute, std::string{"the event has no "} + missing);
  if (has_data_ && has_base64_)
    return refuse(errc::invalid_attribute, "data and data_base64 exclude each other");
  return true;
}

bool event_reader::attribute(std::string_view name, parsed_event& event) {
  auto& a = event.attributes;
  if (name == "data")
    return has_data_ = true, in_.skip();
  if (in_.type() == json_type::null && (is_attribute_name(name) || name == "data_base64"))
    return in_.skip(); // CloudEvents JSON format: null means that the attribute is not set.
  if (name == "id")
    return text_into(name, attribute_bytes_max, a.id);
  if (name == "source")
    return text_into(name, attribute_bytes_max, a.source);
  if (name == "type")
    return text_into(name, attribute_bytes_max, a.type);
  if (name == "subject")
    return text_into(name, attribute_bytes_max, a.subject);
  if (name == "partitionkey")
    return text_into(name, partition_key_bytes_max, a.partition_key);
  if (name == "notbefore")
    return time(name, a.not_before);
  if (name == "expirytime")
    return time(name, a.expires_at);
  std::optional<wall_time> ignored_time;
  std::string_view value;
  if (name == "time")
    return time(name, ignored_time);
  if (name == "specversion") {
    has_spec_version_ = true;
    return text(name, attribute_bytes_max, value) && (value == "1.0" || invalid(name, "\"1.0\""));
  }
  if (name == "traceparent")
    return text_into(name, attribute_bytes_max, a.trace_parent)
           && (is_trace_parent(a.trace_parent) || invalid(name, "the form of W3C Trace Context"));
  if (name == "datacontenttype" || name == "dataschema")
    return text(name, attribute_bytes_max, value);
  if (name == "data_base64")
    return base64(name);
  return extension(name);
}

bool event_reader::extension(std::string_view name) {
  if (!is_attribute_name(name))
    return refuse(errc::invalid_attribute,
                  "\"" + std::string{name} + "\" is no attribute name: only lower-case letters a-z and digits are allowed");
  std::string_view value;
  switch (in_.type()) {
    case json_type::string: return in_.string(value) && (!has_control(value) || invalid(name, "no control characters"));
    case json_type::number: return in_.number(value) && (is_integer(value) || invalid(name, "an integer of 32 bits"));
    case json_type::object:
    case json_type::array: return in_.skip() && invalid(name, "a string, an integer or a boolean");
    default: return in_.skip();
  }
}

bool event_reader::text(std::string_view name, std::size_t bytes_max, std::string_view& out) {
  if (in_.type() != json_type::string)
    return in_.skip() && invalid(name, "a string");
  if (!in_.string(out))
    return false;
  if (out.empty())
    return invalid(name, "a string that is not empty");
  if (out.size() > bytes_max)
    return invalid(name, "at most " + std::to_string(bytes_max) + " bytes, found " + std::to_string(out.size()));
  return !has_control(out) || invalid(name, "no control characters");
}

bool event_reader::text_into(std::string_view name, std::size_t bytes_max, std::string& out) {
  std::string_view value;
  if (!text(name, bytes_max, value))
    return false;
  out = value;
  return true;
}

bool event_reader::time(std::string_view name, std::optional<wall_time>& out) {
  std::string_view value;
  if (!text(name, attribute_bytes_max, value))
    return false;
  out = parse_rfc3339(value);
  return out.has_value() || invalid(name, "a time as in RFC 3339, like 2026-01-31T12:00:00Z");
}

bool event_reader::base64(std::string_view name) {
  has_base64_ = true;
  std::string_view value;
  if (in_.type() != json_type::string)
    return in_.skip() && invalid(name, "a string");
  return in_.string(value) && (is_base64(value) || invalid(name, "Base64 with padding"));
}

} // namespace

result<parsed_event> parse_event(std::string_view body, const event_limits& limits) {
  json_cursor in{body, limits.depth};
  event_reader reader{in, limits};
  parsed_event event;
  if (!reader.read(event))
    return reader.failure();
  if (!in.finish())
    return to_error(in);
  return event;
}

result<std::vector<parsed_event>> parse_event_batch(std::string_view body, const event_limits& limits) {
  json_cursor in{body, limits.depth + 1};
  if (const auto found = in.type(); found != json_type::array && found != json_type::none)
    return {errc::invalid_request, std::string{"expected an array of events, found "}.append(with_article(found))};
  event_reader reader{in, limits};
  std::vector<parsed_event> events;
  events.reserve(std::min(limits.events, body.size() / 512 + 1));
  bool is_too_many = false;
  const bool ok = in.elements([&](std::size_t index) {
    is_too_many = index == limits.events;
    return !is_too_many && reader.read(events.emplace_back());
  });
  if (is_too_many)
    return {errc::too_many_events, "the limit is " + std::to_string(limits.events)};
  if (!ok) {
    auto e = reader.failure();
    if (!events.empty())
      e.index = events.size() - 1;
    return e;
  }
  if (!in.finish())
    return to_error(in);
  return events;
}

std::optional<std::string_view> raw_data(std::string_view event) {
  json_cursor in{event, json_cursor::depth_limit};
  std::optional<std::string_view> data;
  (void)in.members([&](std::string_view name) {
    std::string_view value;
    if (!in.raw(value))
      return false;
    if (name == "data")
      data = value;
    return !data; // The event was validated when it came in; what follows need not be read.
  });
  return data;
}

} // namespace sallyport
