// One connection to a hub: through the proxy, through the TLS handshake, then one exchange after the other.
// Owned by a slot of a transport and by its own pending operations; io thread only. It never tries again: what it says of a failure is
// exact, so that its user can decide.
//
//   closed ── exchange ──▶ resolving ─▶ connecting ─▶ [tunnelling] ─▶ [shaking hands] ─▶ busy ◀── exchange / reply ──▶ idle
//      any of them ── failure, peer's end, abandon ──▶ dead
#pragma once

#include "runtime/core/transport.hpp"
#include "runtime/io/tls_context.hpp"
#include "runtime/io/url.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace sallyport::io {

/// Where the links of one transport go. Made by the transport; afterwards touched on the io thread only.
struct destination {
  url hub;
  std::optional<url> proxy;           // Set when the hub is reached through it.
  std::vector<std::string> addresses; // Of the first hop, when they are known; empty: its name is looked up for every connection.
  std::string proxy_user;             // For messages.
  std::string proxy_authorization;    // "Basic ...", or empty.
  std::string head_fields;            // Host, User-Agent, Authorization: the same in every request. Secret.
  std::size_t body_limit = 0;         // Of a reply.
  std::shared_ptr<tls_context> tls;   // Null for plain http.
  std::string last_address;           // The one that answered last, tried first next time.
};

class http_link {
public:
  using handler = runtime::transport::handler;

  virtual ~http_link() = default;

  /// Sends the request, connecting first if need be. One at a time. The handler is called once, not inside this call, unless the link is
  /// abandoned. Errors: unreachable (the request did not leave as a whole, so nobody can have carried it out), tls_refused,
  /// proxy_refused, outcome_unknown (it left, and no answer that can be understood came back).
  virtual void exchange(const runtime::http_request& request, handler on_reply) = 0;

  /// False once the peer has closed, or answered in a way after which the connection cannot be used.
  [[nodiscard]] virtual bool usable() const = 0;

  /// Has anything of the current request left?
  [[nodiscard]] virtual bool has_sent() const = 0;

  /// What is going on, for messages: "connecting to 10.0.0.1:8443".
  [[nodiscard]] virtual std::string doing() const = 0;

  /// Closes; the handler will not be called.
  virtual void abandon() = 0;
};

/// The context and the destination must outlive the link's operations.
std::shared_ptr<http_link> make_http_link(boost::asio::io_context& io, std::shared_ptr<destination> to);

} // namespace sallyport::io
