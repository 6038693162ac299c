// The transport over real sockets: HTTP/1.1 on TLS (plain http for loopback hosts), through a CONNECT proxy if need be.
//
// One io thread per factory, its own unless it is given one, shared by its transports; it ends with the last who has it. Each slot owns
// one keep-alive connection and carries its requests in order; a request whose connection is gone or was closed opens a new one. Nothing
// is ever sent twice: every request of the wire may be repeated, and when to do so is the caller's decision.
//
// What the errors say, more exactly than the port must: unreachable means that the request did not leave as a whole, so nobody can have
// carried it out. outcome_unknown and timed_out mean that it may have been. The detail says at which step and what to do about it.
#pragma once

#include "config/agent_settings.hpp"
#include "runtime/core/transport.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace sallyport::io {

class io_thread;

struct transport_settings {
  std::string token; // Sent as a bearer token with every request; empty: none. Never in a message or log.
  config::tls_settings tls;
  config::proxy_settings proxy;
  std::size_t body_limit = 32u << 20; // Of a reply.
};

/// Checks everything that can be checked without a network. A CA file that is replaced later counts from the next connection on. Errors:
/// invalid_config.
result<runtime::transport_factory> make_https_transport_factory(const transport_settings& settings,
                                                                std::shared_ptr<io_thread> thread = {});

/// The same from an agent's settings, its hub addresses checked as well.
result<runtime::transport_factory> make_https_transport_factory(const config::agent_settings& settings,
                                                                std::shared_ptr<io_thread> thread = {});

} // namespace sallyport::io
