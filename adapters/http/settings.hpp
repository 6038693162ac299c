// The http adapter: calls one HTTP service, with the methods and below the paths that its settings allow and an event cannot widen.
// At least once, with a key: every attempt of a message carries the same Idempotency-Key, so that a service that honours it acts once.
//
// Either an event's data says what to ask for:
//   {"method": "POST", "path": "/v1/orders?dry=1", "headers": {"accept": "application/json"}, "body": {…} | "text" | "body_base64": "…"}
// or, with `path` set, every event's data is the body of one and the same request. The answer becomes the result:
//   {"status": 200, "headers": {"content-type": "application/json"}, "body": {…} | "text" | "body_base64": "…"}
#pragma once

#include "adapters/api/adapter.hpp"

#include <map>

namespace sallyport::adapters::http {

struct settings {
  std::string url; // "https://erp.local:8443"; a path on it is put before every request's.
  std::vector<std::string> methods{"GET", "POST", "PUT", "PATCH", "DELETE"}; // Allowed.
  std::vector<std::string> path_prefixes{
    "/"};                      // Allowed, whole segments: "/v1/orders" allows "/v1/orders/7", not "/v1/orders-old".
  std::string path;            // The one path of all requests; empty: the event says.
  std::string method = "POST"; // With path.

  std::vector<std::string> request_headers{"accept", "content-type", "if-match", "if-none-match", "prefer"}; // An event may set.
  std::vector<std::string> result_headers{"content-type", "etag", "location"}; // Kept in the result.
  std::map<std::string, std::string> headers;                                  // Sent with every request.
  std::string bearer_token;                                                    // Resolved; never printed.
  std::string user;                                                            // Basic authentication.
  std::string password;                                                        // Resolved; never printed.

  std::string ca_file;     // PEM; empty: the system's store.
  std::string server_name; // Expected in the certificate; empty: the url's host.

  std::string probe_path; // Asked with GET, any answer below 500 is up; empty: connecting is enough.
  milliseconds connect_timeout{5000};
  milliseconds idle_timeout{15'000};             // A kept connection older than this is not used again.
  std::uint64_t response_bytes_max = 192 * 1024; // A longer body is left out of the result.
  std::size_t workers = 4;                       // Requests at once, each on a connection of its own.
};

/// Every fault at once, one per line of the detail. Errors: invalid_config.
[[nodiscard]] result<void> check(const settings& s);
/// The settings must pass check().
[[nodiscard]] factory make_factory(const settings& s);

} // namespace sallyport::adapters::http
