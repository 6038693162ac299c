// What a job asks of the service, whether it may, and what the answer means. Pure: no socket, no clock.
#pragma once

#include "adapters/http/settings.hpp"

#include <utility>
#include <variant>

namespace sallyport::adapters::http {

using header_list = std::vector<std::pair<std::string, std::string>>;

/// Where the service is.
struct address {
  bool tls = false;
  std::string host; // Lower case, an IPv6 address without brackets.
  std::uint16_t port = 0;
  std::string prefix;      // Put before every path; empty or "/prefix".
  std::string host_header; // The port is left out when it is the scheme's own.

  [[nodiscard]] std::string authority() const;   // "host:port"
  [[nodiscard]] std::string fingerprint() const; // "https://host:port/prefix"
};
/// Errors: invalid_config.
[[nodiscard]] result<address> parse_url(std::string_view text);

struct request {
  std::string method;
  std::string path;    // Without the address's prefix; with the query.
  header_list headers; // All but Host and Content-Length.
  std::string body;
  bool has_body = false;
};

struct reply {
  int status = 0;
  header_list headers; // Names in lower case.
  std::string body;
  bool body_left_out = false; // Larger than allowed.
};

/// What is wrong with a path with its query; empty: nothing. Refuses what some server might read as another path than we do: dots, empty
/// segments, backslashes, encoded separators, double encoding.
[[nodiscard]] std::string fault_of_path(std::string_view path);
/// Does the path (query aside) lie at or below one of the prefixes, in whole segments?
[[nodiscard]] bool is_below(std::string_view path, const std::vector<std::string>& prefixes);
[[nodiscard]] bool is_token(std::string_view text); // RFC 9110 section 5.6.2: what methods and header names are made of.
[[nodiscard]] bool is_header_value(std::string_view text);
/// A header that belongs to the connection or to us: nobody else may set it.
[[nodiscard]] bool is_reserved_header(std::string_view lower_case_name);
[[nodiscard]] std::string lower(std::string_view text);

[[nodiscard]] std::variant<request, failure> plan(const settings& s, const job& j);

/// Seconds, or an HTTP date, which is in the future or means now. At most a day.
[[nodiscard]] std::optional<milliseconds> parse_retry_after(std::string_view text, wall_time now);
/// `what` says what was asked of whom, for people.
[[nodiscard]] outcome classify(const settings& s, const reply& r, const std::string& what, wall_time now);

} // namespace sallyport::adapters::http
