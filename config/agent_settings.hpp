// What an agent needs to know, as plain values. Filled by an embedder, or from a TOML file by config/agent_config.hpp.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/time.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sallyport::config {

struct tls_settings {
  std::string ca_file;     // PEM; empty: the system's store.
  std::string server_name; // Expected in the certificate; empty: the host of the address.
};

struct proxy_settings {
  std::string url; // "http://proxy.local:3128"; empty: none.
  std::string user;
  std::string password;              // Resolved; never printed.
  std::vector<std::string> no_proxy; // Host names, ".suffix", addresses, CIDR blocks; "*" means all.
};

struct agent_settings {
  group_name group;
  agent_name name;
  std::string state_dir;         // Agent id, incarnation, lock.
  std::vector<std::string> hubs; // "https://hub.example:8443", tried in order, then around. http:// only for loopback.
  std::string token;             // Resolved; never printed.
  tls_settings tls;
  proxy_settings proxy;

  milliseconds drain{30'000};           // How long running work may take to finish after SIGTERM.
  milliseconds margin{500};             // The agent's own session deadline ends this much before the hub's.
  milliseconds request_timeout{10'000}; // For everything but claims, which wait claim_wait longer.
  milliseconds claim_wait{25'000};      // How long a claim is parked at the hub; at most 50 s.
  std::uint32_t lanes = 2;              // Parked claims at once, 1 to 8.
  std::uint32_t window = 8'192; // Grants held at once, over all connections: not begun, running, and done without a verdict.
  std::uint64_t window_bytes = 64 << 20; // Bytes of their events beyond which nothing more is asked for.
  std::uint32_t claim_max_messages = 1'024;
  std::uint64_t claim_max_bytes = 8 << 20;
  milliseconds settle_linger{0};   // Wait this long for more outcomes before a settle request leaves, when none is in flight.
  milliseconds reconnect_min{200}; // Jittered exponential backoff between attempts to reach a hub.
  milliseconds reconnect_max{30'000};
  milliseconds probe_interval{10'000};
  std::uint32_t restarts = 5; // Restart budget of every supervisor, within restart_period.
  milliseconds restart_period{60'000};
};

/// What becomes of running work when its lease is lost. Fenced and idempotent adapters finish by default, others are cancelled.
enum class on_lost_lease : std::uint8_t { by_promise, finish, cancel };

/// What the agent knows of one of its connections, besides the adapter itself.
struct connection_settings {
  connection_name name;
  on_lost_lease lost_lease = on_lost_lease::by_promise;
  std::uint32_t credit =
    4'096;                    // Grants of this connection not begun or running at once, at most; fewer while its adapter is slow.
  std::uint32_t restarts = 5; // Of its adapter host, within restart_period.
  milliseconds restart_period{60'000};
};

} // namespace sallyport::config
