// The socket side of the front door: HTTP/1.1 by Boost.Beast, plain on loopback for --dev or over TLS by OpenSSL. A connection
// belongs to one of the threads; its requests are handled one after the other.
//
//   accept ─▶ handshake ─▶ head ─▶ body ─▶ answering ─▶ writing ─┐
//                           ▲ └──refused: framing in doubt──▶ writing, lingering, closed
//                           └────────────── kept alive ──────────┘
//
// A connection stays usable after an ordinary refusal, and is closed where the next request's beginning would be in doubt. While a claim
// or call is parked the socket is watched, and its asker's going away cancels it. Every state has a deadline.
#pragma once

#include "cloud/hub/api.hpp"
#include "cloud/hub/io_pool.hpp"
#include "config/hub_settings.hpp"

#include <memory>
#include <string>

namespace sallyport::cloud {

struct server_settings {
  std::string listen; // host:port
  bool loopback_only = false;
  std::string tls_cert_file, tls_key_file; // Empty: plain HTTP.
  config::hub_limits limits;
  milliseconds answer_timeout{60'000}; // Beyond what the request asked to wait.
};

class server {
public:
  /// Binds and begins to accept. Errors: invalid_config, with what was tried.
  [[nodiscard]] static result<std::unique_ptr<server>> start(server_settings settings, io_pool& io, api& front, metrics& meter);
  ~server();

  [[nodiscard]] std::uint16_t port() const;

  /// Accepts nothing more, closes idle connections, and closes the others when they have been answered.
  void begin_stop();
  /// Waits at most this long for the connections to end, then cuts them.
  void finish_stop(milliseconds within);

private:
  struct body;
  explicit server(std::shared_ptr<body> b);
  std::shared_ptr<body> body_;
};

} // namespace sallyport::cloud
