// Addresses of hubs and proxies, and the question which hosts are reached without the proxy. Pure values; any thread.
#pragma once

#include "protocol/result.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::io {

/// scheme://host[:port][/path]. User names, queries and fragments are refused: secrets have settings of their own.
struct url {
  std::string scheme;      // "http" or "https"
  std::string host;        // Lower case, without the brackets of an IPv6 address and without a final dot.
  std::uint16_t port = 0;  // The scheme's own when the text has none.
  std::string path;        // Put before every request target; empty or "/prefix", never with a final slash.
  bool is_address = false; // The host is an IPv4 or IPv6 address.

  /// "host:port", the host in brackets if it is an IPv6 address.
  [[nodiscard]] std::string authority() const;
  /// The value of a Host header: the port is left out when it is the scheme's own.
  [[nodiscard]] std::string host_header() const;
  /// "localhost", 127.0.0.0/8 or ::1.
  [[nodiscard]] bool is_loopback() const;
};

/// A hub's address: https, or http to a loopback host. Errors: invalid_config, which says what is wrong; it never repeats a password.
[[nodiscard]] result<url> parse_hub_url(std::string_view text);

/// A proxy's address: http://host[:port], port 3128 unless named. Errors as above. The connection to the proxy itself is not encrypted.
[[nodiscard]] result<url> parse_proxy_url(std::string_view text);

/// Where the proxy is not used. Names match themselves, ".suffix" matches that name and all under it, addresses and CIDR blocks match
/// hosts written as addresses (no name is looked up for this), "*" matches everything.
class no_proxy_list {
public:
  /// Errors: invalid_config, naming the entry.
  [[nodiscard]] static result<no_proxy_list> parse(const std::vector<std::string>& entries);
  [[nodiscard]] bool matches(std::string_view host) const;

private:
  struct block {
    std::array<std::uint8_t, 16> address; // IPv4 as its mapped IPv6 form.
    unsigned bits;
  };
  bool everything_ = false;
  std::vector<std::string> names_, suffixes_; // Lower case; suffixes with their dot.
  std::vector<block> blocks_;
};

} // namespace sallyport::io
