// The transport port: how the hub link reaches a hub. Implementations: runtime/io (HTTPS over Beast, through a proxy if need be) and
// runtime/testing (an in-process hub). A transport knows one hub address; the hub link moves to the next address by making another.
#pragma once

#include "protocol/result.hpp"
#include "protocol/time.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace sallyport::runtime {

struct http_request {
  std::string method = "POST";
  std::string target; // "/v1/sessions"
  std::string content_type = "application/json";
  std::string body;
  milliseconds timeout{10'000}; // From send() to the last byte of the answer. There is no way to wait for ever.
  /// Requests of one slot use one connection, one after the other; slots do not wait for one another. Long polls have slots of their own.
  std::uint32_t slot = 0;
  std::string accept; // An Accept header; empty: none.
  std::string prefer; // A Prefer header, "wait=30" for a call; empty: none.
};

struct http_reply {
  int status = 0;
  std::string content_type;
  std::string body;
  std::string location;
  std::optional<unsigned> retry_after_s;
};

class transport {
public:
  using handler = std::function<void(result<http_reply>)>;

  virtual ~transport() = default;

  /// Sends and later calls the handler exactly once, on a thread of the transport's own (never inside send). Errors of the result:
  /// unreachable (nothing was sent), tls_refused, proxy_refused, timed_out and outcome_unknown (it may have been carried out), stopped.
  /// Any HTTP status is a reply, not an error.
  virtual void send(http_request request, handler on_reply) = 0;

  /// Ends what is under way with `stopped` and refuses more. When it returns no handler runs or will run.
  virtual void close() = 0;
};

/// Makes the transport for one of the configured hub addresses. Errors: invalid_config.
using transport_factory = std::function<result<std::shared_ptr<transport>>(const std::string& hub_url)>;

/// Time for the agent: read by actors, stepped by tests.
class time_source {
public:
  virtual ~time_source() = default;
  virtual instant now() = 0;
  /// How long an alarm clock that runs in real time may sleep before it looks at this one again: short where time is stepped.
  [[nodiscard]] virtual milliseconds longest_nap() const { return milliseconds::max(); }
};

} // namespace sallyport::runtime
