// What a hub needs to know, as plain values. Filled by the command line (--dev), by tests, or from TOML by config/hub_config.hpp.
#pragma once

#include "protocol/event.hpp"
#include "protocol/time.hpp"
#include "protocol/wire.hpp"

#include <cstdint>
#include <string>

namespace sallyport::config {

enum class announce_policy : std::uint8_t { allow, refuse };

struct hub_limits {
  event_limits event;
  std::size_t head_bytes = 16 << 10;
  std::size_t body_bytes = 16 << 20;
  std::uint32_t sockets = 20'000;          // Open client connections.
  std::uint32_t parked = 40'000;           // Claims and calls waiting at once.
  std::uint32_t claim_messages = 1024;     // Most grants of one claim.
  std::uint64_t mailbox = 20'000;          // Commands waiting for the shard.
  std::uint64_t mailbox_bytes = 256 << 20; // Their bodies.
  milliseconds request_timeout{30'000};    // From the first byte of a request to its last.
  milliseconds idle_timeout{120'000};      // Between requests of a kept-alive connection.
};

struct hub_settings {
  std::string listen = "127.0.0.1:8443"; // host:port; port 0 takes a free one, printed and written to DATA/hub.port.
  std::string data_dir;
  bool dev = false; // Plain HTTP on loopback, token "dev" may do everything, connections made on first use.
  std::string tls_cert_file, tls_key_file; // PEM. Needed unless dev.
  std::uint32_t threads = 0;               // For HTTP; 0: one per core.
  milliseconds session_ttl{10'000};
  announce_policy announce = announce_policy::allow;
  wire::queue_policy policy; // The default for new queues.
  hub_limits limits;
  std::uint64_t map_bytes = 256ull << 30;      // Address space of the store.
  std::uint32_t high_water_percent = 90;       // Of the map: enqueues are refused above.
  std::uint64_t disk_reserve_bytes = 64 << 20; // Free disk below which enqueues are refused.
  std::uint64_t journal_bytes = 8 << 20;       // 0: none.
  std::uint64_t payload_cache_bytes = 64 << 20;
  std::uint32_t pace_messages = 4'096; // 0: producers are never held up for the agents' sake.
  bool huge_pages = true;              // For the heap of `sallyport hub`.
};

} // namespace sallyport::config
