// Asks a hub on this machine how its group is doing, over one kept-alive connection. One thread.
#pragma once

#include "protocol/wire.hpp"
#include "runtime/io/client.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace quickstart {

class hub_watch {
public:
  /// Throws std::runtime_error when the address is none.
  hub_watch(const std::string& hub_url, const std::string& group, const std::string& token);

  /// Nothing when the hub is not there or does not answer at once.
  [[nodiscard]] std::optional<sallyport::wire::group_view> look();

private:
  sallyport::io::client client_;
  std::string target_;
};

/// Messages that wait for an agent.
[[nodiscard]] std::uint64_t waiting(const sallyport::wire::group_view& view);
/// Messages that are not final.
[[nodiscard]] std::uint64_t unsettled(const sallyport::wire::group_view& view);
/// Messages taken in, and settled, since the hub's start.
[[nodiscard]] std::uint64_t enqueued(const sallyport::wire::group_view& view);
[[nodiscard]] std::uint64_t settled(const sallyport::wire::group_view& view);
[[nodiscard]] std::uint64_t dead(const sallyport::wire::group_view& view);
[[nodiscard]] const sallyport::wire::agent_view* find_agent(const sallyport::wire::group_view& view, const std::string& name);

} // namespace quickstart
