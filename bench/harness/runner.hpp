// Carries out one run: starts the children beside a server that stands already, lets them go together, waits until every message has been
// seen, and adds up. It belongs to one thread; children are killed with it (tests/support/process.hpp).
#pragma once

#include "bench/harness/histogram.hpp"
#include "bench/harness/system.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::testing {
class process;
}

namespace sallyport::bench {

class board;

struct run_spec {
  std::uint64_t messages = 100'000;
  std::size_t bytes = 1024;
  std::size_t batch = 256, in_flight = 8; // Of each producer.
  std::size_t producers = 1;
  std::size_t consumers = 2; // Of each queue; 0: only enqueue.
  std::size_t window = 4096; // Of each consumer.
  std::size_t take = 0;      // It takes so many at once at most; 0: half the window, so that the other half comes meanwhile.
  std::size_t queues = 1;    // Producers take turns over them.
  double rate = 0;           // Events a second of all producers together; 0: as fast as they are acknowledged.
  std::string database;      // W8: where consumers write to.
  std::chrono::seconds at_most{120}; // Then the run has failed.
};

struct cpu_seconds {
  double server = 0, producers = 0, consumers = 0;
  [[nodiscard]] double all() const { return server + producers + consumers; }
};

struct run_figures {
  std::uint64_t messages = 0;
  double seconds = 0;         // First send to last message seen.
  double enqueue_seconds = 0; // First send to last acknowledge.
  std::uint64_t repeated = 0; // Deliveries beyond the first of a message.
  cpu_seconds cpu;
  std::uint64_t server_bytes = 0; // Resident memory of the server's processes at the end.
  histogram latency;              // Due → taken by a consumer.
  histogram acknowledge;          // Request sent → acknowledged.
  [[nodiscard]] double rate() const { return seconds > 0 ? static_cast<double>(messages) / seconds : 0; }
};

/// Numbers for so many events that no other run of this process has: a server that is used again remembers ids, and rightly takes an
/// event it has had for a repeat.
std::uint64_t numbers_for(std::uint64_t messages);

/// Throws std::runtime_error when messages went missing, a child failed, or time ran out; with what the children said.
run_figures run(const system& what, server& at, const run_spec& spec, const std::filesystem::path& folder);

/// Processor time (user and system) that the processes and those children of theirs that have ended used, in seconds; 0 for one that is gone.
double cpu_of(const std::vector<pid_t>& processes);
/// Resident memory, in bytes; what several of them share counts once.
std::uint64_t memory_of(const std::vector<pid_t>& processes);
/// A process and everything below it, as /proc shows it now.
std::vector<pid_t> family_of(pid_t process);

/// The consumers of one run as children, for workloads that do with them what run() does not.
class children {
public:
  children(const system& what, std::string address, std::filesystem::path folder, std::filesystem::path board_file);
  ~children();
  testing::process& produce(std::size_t seat, std::uint64_t first, std::uint64_t count, const run_spec& spec, std::size_t queue);
  testing::process& consume(std::size_t seat, const run_spec& spec, std::size_t queue, std::uint64_t hold_us = 0);
  /// SIGKILL to whoever sits there, which from then on is nobody's failure. Returns when it is gone.
  void kill(std::size_t seat);
  /// Until so many of the seats from `first` on are ready. Throws when one of them ends or it takes more than a minute.
  void wait_ready(const board& b, std::size_t first, std::size_t count);
  /// Throws, with what it said, when a child has ended otherwise than well.
  void check();
  /// Waits for all to end by themselves after stop has been set.
  void join();
  [[nodiscard]] std::vector<pid_t> processes(bool producers) const;

private:
  struct child;
  const system& what_;
  std::string address_;
  std::filesystem::path folder_, board_file_;
  std::vector<std::unique_ptr<child>> all_;
};

} // namespace sallyport::bench
