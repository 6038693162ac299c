// Agents by the thousand: each opens a session, keeps two claims parked and sends heartbeats as `sallyport agent` does, and settles what it
// is granted; but all of them are one thread over sockets, because ten thousand processes are more than a machine wants to hold.
#pragma once

#include "bench/peers/place.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace sallyport::bench {

struct parked_options {
  place hub;
  std::size_t agents = 1;
  std::size_t queues = 1; // Agent n works for queue n % queues, that is, for its group.
  std::size_t lanes = 2;  // Parked claims of an agent, each on a connection of its own.
  /// Connections for everything but claims; 0: one for each agent, as agents have. Fewer are shared, as behind a proxy.
  std::size_t control_connections = 0;
  std::uint32_t credit = 256;                   // Of each lane.
  std::chrono::milliseconds claim_wait{25'000}; // The agent's default.
};

struct parked_figures {
  std::uint64_t open = 0;       // Sessions opened.
  std::uint64_t parked = 0;     // Claims waiting at the hub now.
  std::uint64_t heartbeats = 0; // Answered.
  std::uint64_t taken = 0;      // Messages granted.
  std::uint64_t settled = 0;
  std::uint64_t last_taken_ns = 0, last_settled_ns = 0;
  std::uint64_t failed = 0; // Requests refused, connections lost.
  std::string first_failure;
};

class parked_agents {
public:
  /// Starts them. The first waits of their claims are of all lengths, so that they do not end together later.
  explicit parked_agents(const parked_options& options);
  /// Lets go of everything without a word; their sessions end with their leases.
  ~parked_agents();

  [[nodiscard]] parked_figures figures() const;
  /// Until all sessions are open and all claims parked. Throws when it takes longer or something fails.
  void wait_parked(std::chrono::seconds at_most) const;

private:
  class crowd;
  std::unique_ptr<crowd> crowd_;
};

/// Raises this process's limit of open files as far as it may be, for itself and its children, and says how many that are.
std::size_t raise_file_limit();

} // namespace sallyport::bench
