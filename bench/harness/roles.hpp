// The children of a run: what `sallyport_bench produce` and `sallyport_bench consume` do. Each is one process, tells the runner its
// figures through the board, and ends when it has sent its share or is told to stop.
#pragma once

#include "bench/harness/board.hpp"
#include "bench/harness/system.hpp"

#include <cstdint>
#include <string>

namespace sallyport::bench {

struct produce_role {
  std::string system, address, board_file;
  std::size_t seat = 0;
  std::uint64_t first = 0, count = 0; // The numbers of its events.
  std::size_t bytes = 1024;           // Of an event.
  std::size_t batch = 256, in_flight = 8;
  std::size_t queue = 0;
  /// Events a second; 0: as fast as they are acknowledged. With a rate every event has a due time that does not depend on how the system
  /// fares, and whatever is due when a request may leave goes with it: so a system that stalls is charged for every event it held up.
  double rate = 0;
};
struct consume_role {
  std::string system, address, board_file;
  std::size_t seat = 0;
  std::size_t batch = 256, window = 512;
  std::size_t queue = 0;
  std::string name, folder, database;
  std::uint64_t hold_us = 0; // Every take() lasts at least so long; for work in hand when a consumer is killed.
};

/// Both return an exit code, having said on stderr what went wrong.
int produce(const produce_role& role);
int consume(const consume_role& role);

} // namespace sallyport::bench
