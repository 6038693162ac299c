// The producer's side of HTTP/1.1, as thin as it can be without a library: one request at a time on each of several connections, over TCP
// or TLS, driven by poll. Used by the Sallyport driver only; the product's own clients are not measured by it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::bench {

struct http_peer {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string ca_file; // Empty: no TLS.
};

struct http_answer {
  std::uint64_t request = 0; // As send() numbered it.
  int status = 0;
  std::string body;
};

/// One thread. Throws std::runtime_error.
class http_wire {
public:
  /// Connects them all.
  http_wire(const http_peer& to, std::size_t connections);
  ~http_wire();

  /// Takes a free connection; there must be one. Returns how many requests were sent before this one. Writes what can be written.
  std::uint64_t send(std::string head, std::string body);
  /// Waits for an answer, at most so long; all that have come.
  std::vector<http_answer> reap(std::chrono::nanoseconds at_most);

private:
  class connection;
  std::vector<std::unique_ptr<connection>> connections_;
  std::uint64_t sent_ = 0;
};

} // namespace sallyport::bench
