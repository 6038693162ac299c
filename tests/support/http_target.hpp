// A real HTTP service for tests of what calls one: answers what its handler says, keeps connections alive, and remembers every request.
#pragma once

#include "tests/support/tls_server.hpp"

#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace sallyport::testing {

struct http_answer {
  int status = 200;
  std::string body = "{}";
  std::string fields = {}; // More of the head: "Retry-After: 3\r\n".
};

class http_target {
public:
  using handler = std::function<http_answer(const seen_request&)>;

  explicit http_target(
    handler answer = [](const seen_request&) { return http_answer{}; }, const tls_server_options& options = {});

  [[nodiscard]] std::string url(const std::string& host = "localhost") const { return server_.url(host); }
  [[nodiscard]] std::uint16_t port() const { return server_.port(); }
  [[nodiscard]] int connections() const { return server_.connections(); }
  [[nodiscard]] std::vector<seen_request> requests() const;
  /// How many different Idempotency-Keys have come.
  [[nodiscard]] std::size_t keys() const;

private:
  void serve(peer& p);

  handler answer_;
  mutable std::mutex mutex_;
  std::vector<seen_request> requests_;
  tls_server server_; // Last: its threads use the others.
};

} // namespace sallyport::testing
