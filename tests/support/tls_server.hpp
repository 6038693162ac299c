// A server that does exactly what a test's script says, on raw sockets and OpenSSL: an independent opposite to the transport under test.
// One thread per connection runs the script; everything blocks with a bound, and the server's end breaks it off.
#pragma once

#include "tests/support/certs.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

struct ssl_st;
struct ssl_ctx_st;

namespace sallyport::testing {

struct seen_request {
  std::string head; // Up to and without the empty line.
  std::string body;

  [[nodiscard]] std::string first_line() const { return head.substr(0, head.find("\r\n")); }
  /// Empty when there is none. The name as it was sent.
  [[nodiscard]] std::string field(const std::string& name) const;
};

/// "HTTP/1.1 200 OK" with a body of JSON and a length.
[[nodiscard]] std::string http_ok(const std::string& body = "{}", const std::string& more_fields = {});

/// The server's side of one accepted connection.
class peer {
public:
  peer(int fd, int number, ssl_ctx_st* context);
  ~peer();
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;

  [[nodiscard]] int number() const { return number_; } // 1 for the first connection.

  /// The TLS handshake, if the server has a certificate. Done by the first read or write, unless done before.
  bool handshake();
  /// Nothing at the connection's end.
  std::optional<seen_request> read_request();
  bool write(std::string_view bytes);
  /// Returns when the client has sent something, without reading it.
  bool wait_for_bytes();
  /// Reads until the client closes; false if it does not within 20 s.
  bool wait_until_closed();

  void finish(); // Says farewell (TLS), then ends our direction; reading goes on.
  void cut();    // Closes without a farewell.
  void reset();  // Closes with RST.

  [[nodiscard]] bool resumed() const;            // The handshake resumed an earlier session.
  [[nodiscard]] std::string server_name() const; // That the client asked for (SNI).

private:
  friend class tls_server;
  [[nodiscard]] int read_some(char* out, int size);
  void interrupt(); // From another thread.

  int fd_;
  int number_;
  ssl_st* ssl_ = nullptr;
  bool shaken_ = false;
  std::string buffer_;
};

struct tls_server_options {
  std::optional<certificate_files> certificate; // None: plain HTTP.
  int version_max = 0; // TLS1_2_VERSION, ...; 0: the newest. Below 1.2 the server's security level is lowered.
};

class tls_server {
public:
  using script = std::function<void(peer&)>;

  tls_server(const tls_server_options& options, script on_connection);
  ~tls_server();
  tls_server(const tls_server&) = delete;
  tls_server& operator=(const tls_server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// "https://<host>:port", or http without a certificate.
  [[nodiscard]] std::string url(const std::string& host = "localhost") const;
  [[nodiscard]] int connections() const { return accepted_; }

private:
  void accept_all();

  script script_;
  ssl_ctx_st* context_ = nullptr;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> accepted_ = 0;
  std::mutex mutex_; // Guards what follows.
  std::vector<std::shared_ptr<peer>> peers_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

} // namespace sallyport::testing
