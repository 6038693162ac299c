// A real squid on 127.0.0.1 that lets CONNECT through for one user with Basic authentication. It writes only into its own temporary
// folder and ends with its object.
#pragma once

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace sallyport::testing {

struct squid_options {
  std::string user = "plant-7";
  std::string password = "s3cret: with colon";
  std::string forbidden_domain = "forbidden.test"; // Answered with 403, whoever asks.
};

/// Throws std::runtime_error, with squid's own log, when it does not start.
class squid {
public:
  explicit squid(const squid_options& options = {});

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// Lines of finished connections: "... TCP_TUNNEL/200 ... CONNECT localhost:1234 plant-7 ...".
  [[nodiscard]] std::string access_log() const { return content_of(folder_ / "access.log"); }
  process& server() { return *process_; }

  /// Is squid installed?
  [[nodiscard]] static bool available();

private:
  temp_dir folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<process> process_;
};

} // namespace sallyport::testing
