#include "cloud/hub/routes.hpp"

#include "protocol/assert.hpp"

namespace sallyport::cloud {

namespace {

constexpr std::array<route, 23> table{{
  {operation::enqueue, "enqueue", "POST", "/v1/groups/{group}/connections/{connection}/messages", access::producer_or_admin,
   body_kind::events},
  {operation::call, "call", "POST", "/v1/groups/{group}/connections/{connection}/calls", access::producer_or_admin,
   body_kind::event, true},
  {operation::list_messages, "listMessages", "GET", "/v1/groups/{group}/connections/{connection}/messages", access::admin},
  {operation::purge, "purge", "DELETE", "/v1/groups/{group}/connections/{connection}/messages", access::admin},
  {operation::list_dead, "listDead", "GET", "/v1/groups/{group}/connections/{connection}/dead", access::admin},
  {operation::redrive, "redrive", "POST", "/v1/groups/{group}/connections/{connection}/dead/redrive", access::admin,
   body_kind::json_opt},
  {operation::view_groups, "listGroups", "GET", "/v1/groups", access::admin},
  {operation::view_group, "getGroup", "GET", "/v1/groups/{group}", access::admin},
  {operation::view_connection, "getConnection", "GET", "/v1/groups/{group}/connections/{connection}", access::admin},
  {operation::configure, "putConnection", "PUT", "/v1/groups/{group}/connections/{connection}", access::admin,
   body_kind::json_opt},
  {operation::pause, "pauseConnection", "POST", "/v1/groups/{group}/connections/{connection}/pause", access::admin},
  {operation::resume, "resumeConnection", "POST", "/v1/groups/{group}/connections/{connection}/resume", access::admin},
  {operation::view_message, "getMessage", "GET", "/v1/messages/{message}", access::any_role},
  {operation::cancel, "cancelMessage", "DELETE", "/v1/messages/{message}", access::producer_or_admin},
  {operation::open_session, "openSession", "POST", "/v1/sessions", access::agent, body_kind::json},
  {operation::heartbeat, "heartbeat", "POST", "/v1/sessions/{session}/heartbeat", access::agent, body_kind::json},
  {operation::claim, "claim", "POST", "/v1/sessions/{session}/claims", access::agent, body_kind::json, true},
  {operation::settle, "settle", "POST", "/v1/sessions/{session}/settlements", access::agent, body_kind::frames},
  {operation::extend, "extend", "POST", "/v1/sessions/{session}/extensions", access::agent, body_kind::json},
  {operation::close_session, "closeSession", "DELETE", "/v1/sessions/{session}", access::agent},
  {operation::healthz, "healthz", "GET", "/healthz", access::anyone},
  {operation::readyz, "readyz", "GET", "/readyz", access::anyone},
  {operation::metrics, "metrics", "GET", "/metrics", access::anyone},
}};

std::string_view next_segment(std::string_view& path) {
  path.remove_prefix(1); // The slash.
  const auto end = path.find('/');
  const auto segment = path.substr(0, end);
  path.remove_prefix(end == path.npos ? path.size() : end);
  return segment;
}

bool matches(std::string_view pattern, std::string_view path, std::array<std::string_view, 2>& segments) {
  std::size_t found = 0;
  while (!pattern.empty() && !path.empty()) {
    const auto expected = next_segment(pattern), given = next_segment(path);
    if (expected.front() != '{') {
      if (expected != given)
        return false;
    } else if (given.empty()) {
      return false;
    } else {
      segments.at(found++) = given;
    }
  }
  return pattern.empty() && path.empty();
}

} // namespace

std::span<const route> routes() {
  return table;
}

matched find_route(std::string_view method, std::string_view path) {
  matched m;
  if (path.empty() || path.front() != '/')
    return m;
  const auto wanted = method == "HEAD" ? std::string_view{"GET"} : method;
  for (const auto& r : table) {
    SALLYPORT_ASSERT(&r - table.data() == static_cast<int>(r.what));
    if (!matches(r.path, path, m.segments))
      continue;
    if (r.method == wanted) {
      m.via = &r;
      return m;
    }
    m.allowed.push_back(r.method);
    if (r.method == "GET")
      m.allowed.push_back("HEAD");
  }
  return m;
}

} // namespace sallyport::cloud
