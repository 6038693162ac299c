// What the hub counts, as Prometheus reads it. Requests, commits and sockets are observed as they happen, by any thread; everything the
// shard knows is read when somebody asks. docs: every name is listed with its help text at /metrics itself.
#pragma once

#include "cloud/hub/shard_host.hpp"
#include "protocol/wire.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::cloud {

class metrics {
public:
  /// The operations by name; answered() names them by their place in this list.
  explicit metrics(const std::vector<std::string_view>& operations);
  ~metrics();

  void answered(std::size_t operation, int status, std::chrono::nanoseconds took);
  void committed(std::chrono::nanoseconds took, std::size_t changes, bool durable);
  void socket_opened();
  void socket_closed();
  /// Requests refused before they were known to be one, and connections over the limit.
  void refused(std::string_view code);

  /// The text of /metrics.
  [[nodiscard]] std::string text(const host_view& host, const wire::groups_reply& groups) const;

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::cloud
