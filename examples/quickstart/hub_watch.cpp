#include "examples/quickstart/hub_watch.hpp"

#include "protocol/codec.hpp"

#include <algorithm>
#include <stdexcept>

namespace quickstart {

namespace io = sallyport::io;
namespace wire = sallyport::wire;

namespace {

io::client make_client(const std::string& hub_url, const std::string& token) {
  io::transport_settings settings;
  settings.token = token;
  auto made = io::client::make(hub_url, settings);
  if (!made)
    throw std::runtime_error(to_string(made.err()));
  return std::move(*made);
}

} // namespace

hub_watch::hub_watch(const std::string& hub_url, const std::string& group, const std::string& token)
  : client_(make_client(hub_url, token)),
    target_("/v1/groups/" + group) {}

std::optional<wire::group_view> hub_watch::look() {
  sallyport::runtime::http_request request;
  request.method = "GET";
  request.target = target_;
  request.timeout = sallyport::seconds(2);
  auto reply = client_.send(std::move(request));
  if (reply && reply->status == 200)
    if (auto view = wire::decode<wire::group_view>(reply->body))
      return std::move(*view);
  return std::nullopt;
}

namespace {

template <class Count>
std::uint64_t sum(const wire::group_view& view, Count count) {
  std::uint64_t total = 0;
  for (const auto& connection : view.connections)
    total += count(connection);
  return total;
}

} // namespace

std::uint64_t waiting(const wire::group_view& view) {
  return sum(view, [](const wire::connection_view& c) { return c.ready + c.delayed + c.behind_key; });
}

std::uint64_t unsettled(const wire::group_view& view) {
  return waiting(view) + sum(view, [](const wire::connection_view& c) { return c.granted; });
}

std::uint64_t enqueued(const wire::group_view& view) {
  return sum(view, [](const wire::connection_view& c) { return c.enqueued_total; });
}

std::uint64_t settled(const wire::group_view& view) {
  return sum(view, [](const wire::connection_view& c) { return c.settled_total; });
}

std::uint64_t dead(const wire::group_view& view) {
  return sum(view, [](const wire::connection_view& c) { return c.dead; });
}

const wire::agent_view* find_agent(const wire::group_view& view, const std::string& name) {
  const auto it =
    std::find_if(view.agents.begin(), view.agents.end(), [&](const auto& agent) { return agent.name.value == name; });
  return it == view.agents.end() ? nullptr : &*it;
}

} // namespace quickstart
