// CloudEvents 1.0 in JSON: strict validation, and the few attributes the hub acts on. The bytes themselves are kept and forwarded as
// they came. Pure functions; any thread.
#pragma once

#include "protocol/result.hpp"
#include "protocol/time.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

struct event_limits {
  std::size_t event_bytes = 1 << 20; // One event, in its JSON form.
  std::size_t events = 1000;         // In one batch.
  std::size_t depth = 64;            // Nesting of objects and arrays.
};

/// What a validated event says about itself. Owns its strings: it outlives the buffer it was read from.
struct event_attributes {
  std::string id;
  std::string source;
  std::string type;
  std::string subject;
  std::string partition_key;           // Extension partitionkey; empty means unordered.
  std::string trace_parent;            // Extension traceparent (W3C Trace Context), checked for form.
  std::optional<wall_time> not_before; // Extension notbefore, RFC 3339.
  std::optional<wall_time> expires_at; // Extension expirytime, RFC 3339.
};

/// One event of a request: its attributes and where its raw bytes lie in the body.
struct parsed_event {
  event_attributes attributes;
  std::string_view raw; // Points into the body given to the parser, without surrounding white space.
};

/// Validates one event (`application/cloudevents+json`). Errors: malformed_json, invalid_utf8, duplicate_key (at the top level),
/// missing_attribute, invalid_attribute, event_too_large, invalid_request (the JSON is no object).
/// Bounds beside the limits: id, source, type and every other string attribute 1024 bytes, partitionkey 512, 64 members.
[[nodiscard]] result<parsed_event> parse_event(std::string_view body, const event_limits& limits);

/// Validates a batch (`application/cloudevents-batch+json`): all or nothing; the error's index names the event at fault. An empty batch
/// is valid. Errors: as for one event, and too_many_events.
[[nodiscard]] result<std::vector<parsed_event>> parse_event_batch(std::string_view body, const event_limits& limits);

/// The `data` member of a valid event as raw JSON, or nothing when it has none. (`data_base64` is not decoded here.)
[[nodiscard]] std::optional<std::string_view> raw_data(std::string_view event);

} // namespace sallyport
