// The operations of the wire (docs/openapi.yaml), as data: which path and method, who may, what it takes. The table is read by the API,
// by metrics and by the test that holds the hub to openapi.yaml. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sallyport::cloud {

enum class operation : std::uint8_t {
  enqueue,
  call,
  list_messages,
  purge,
  list_dead,
  redrive,
  view_groups,
  view_group,
  view_connection,
  configure,
  pause,
  resume,
  view_message,
  cancel,
  open_session,
  heartbeat,
  claim,
  settle,
  extend,
  close_session,
  healthz,
  readyz,
  metrics,
};

/// Who may. Nobody needs a token for `anyone`.
enum class access : std::uint8_t { anyone, agent, admin, producer_or_admin, any_role };

enum class body_kind : std::uint8_t {
  none,     // Ignored if there is one.
  events,   // application/cloudevents+json or application/cloudevents-batch+json
  event,    // application/cloudevents+json
  json,     // application/json
  json_opt, // The same, or no body at all.
  frames,   // application/json or application/vnd.sallyport.frames
};

struct route {
  operation what;
  std::string_view name; // operationId of openapi.yaml, and the label in metrics.
  std::string_view method;
  std::string_view path; // Segments in braces stand for a name or an id.
  access who;
  body_kind body = body_kind::none;
  bool waits = false; // May be parked; cancelled when its asker is gone.
};

/// In the order of `operation`.
[[nodiscard]] std::span<const route> routes();

struct matched {
  const route* via = nullptr;               // Null: no such path, or not with this method.
  std::array<std::string_view, 2> segments; // What stood for the braces, in order.
  std::vector<std::string_view> allowed;    // The methods the path has; empty when there is no such path.
};
/// `path` is without the query. HEAD finds what GET finds.
[[nodiscard]] matched find_route(std::string_view method, std::string_view path);

} // namespace sallyport::cloud
