// What an agent is at, for logs, metrics and consoles: a copy, taken by the lease manager. Values.
#pragma once

#include "protocol/wire.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sallyport::runtime {

/// Of one connection, since the session unit was started.
struct lease_counters {
  std::uint64_t granted = 0, done = 0, failed = 0, released = 0;
  std::uint64_t lost = 0;    // Taken by the hub.
  std::uint64_t overdue = 0; // Given up because the adapter ignored its attempt timeout.
  std::uint64_t crashed = 0; // Batches whose adapter threw.
  std::uint64_t refused = 0; // Outcomes that did not count: stale, burnt, unknown.
};

struct connection_snapshot {
  connection_name name;
  wire::reach state = wire::reach::unknown;
  std::string detail;     // Why it is down.
  std::size_t queued = 0; // Granted, waiting for a worker or for the message before it.
  std::size_t running = 0;
  std::size_t settling = 0; // Ended, not yet answered by the hub.
  std::uint32_t window = 0; // Grants held at once, at present.
  lease_counters counters;
};

struct agent_status {
  bool session_open = false;
  std::string session;
  std::size_t held = 0;                         // Grants, from arrival to settlement.
  std::vector<connection_snapshot> connections; // Empty while the session unit is being restarted.
};

} // namespace sallyport::runtime
