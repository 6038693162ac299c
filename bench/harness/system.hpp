// What the harness asks of a system it measures: a server that it can start, and the two clients, each run in a process of its own.
// One file per system in bench/peers. Every driver uses its system's fast path, as its own experts would, and says so in `settings`.
//
//   runner ── start ──▶ server (the real one, from its Debian package, in a folder of the run)
//   child `produce` ── make_producer(address) ──▶ send, reap, send, reap ...
//   child `consume` ── make_consumer(address) ──▶ run(sink): take a batch, then acknowledge it
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace sallyport::bench {

struct server_options {
  std::filesystem::path folder;   // Exists, empty, of the run's own; everything the server writes is below it.
  bool tls = false;               // Only for systems with can_tls.
  std::size_t queues = 1;         // Clients name one of them by its number.
  std::chrono::seconds lease{10}; // After so long a silent consumer's messages go to another, where that can be set.
  std::size_t clients =
    0; // Connections that must find room, and as many waiting requests; 0: what the system allows as it comes.
};

/// A running server, on 127.0.0.1. Its destructor stops it, by its own process id.
class server {
public:
  virtual ~server() = default;

  /// One word for the clients: where it is and what else they need.
  [[nodiscard]] virtual std::string address() const = 0;
  /// Whose processor time and memory are the server's.
  [[nodiscard]] virtual std::vector<pid_t> processes() const = 0;
  /// Messages in all queues that no consumer has acknowledged, as the system counts them. Asked only between measurements.
  [[nodiscard]] virtual std::uint64_t unacknowledged() = 0;
  /// Stops it as its operator would, starts it over the same data, returns when it serves clients again: how long from start to served.
  virtual std::chrono::nanoseconds restart() = 0;
};

struct producer_options {
  std::size_t in_flight = 8; // Requests sent and not yet acknowledged; the driver makes what connections it needs for that.
  std::size_t batch = 256;   // Events of a request, at most.
  std::size_t queue = 0;
};

/// Called by one thread. Throws std::runtime_error with what was tried and what the system said.
class producer {
public:
  virtual ~producer() = default;

  /// Starts one request with these events; they are copied or written before it returns. Never called with in_flight requests open.
  virtual void send(std::span<const std::string_view> events) = 0;
  /// Waits until a request has been acknowledged as the system's durability settings define it, and takes whatever has come; at most
  /// so long. One entry for each acknowledged request: its number, counted from 0 in the order of send.
  virtual std::vector<std::uint64_t> reap(std::chrono::nanoseconds at_most) = 0;
};

/// What a consumer does with messages.
class sink {
public:
  virtual ~sink() = default;
  /// Called with at least one message, from one or several threads (a driver that works on several connections). When it returns, the
  /// work is done and may be acknowledged; when it throws, nothing of the batch may be.
  virtual void take(std::span<const std::string_view> events) = 0;
};

struct consumer_options {
  std::size_t batch = 256;  // Messages of one take(), at most.
  std::size_t window = 512; // Messages that may be on their way to this consumer unacknowledged.
  std::size_t queue = 0;
  std::string name = "c0";      // Its own among the consumers of the run.
  std::filesystem::path folder; // For what it must keep; its own.
  std::string database;         // W8: the connection string of the PostgreSQL database to write to; empty: no work.
};

class consumer {
public:
  virtual ~consumer() = default;
  /// Takes messages in batches and acknowledges each batch after take() has returned; ends soon after the stop is asked for.
  virtual void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) = 0;
};

struct system {
  std::string name;                  // "redis-always": for --peers, files, plots.
  std::string title;                 // "Redis Streams, AOF always": for people.
  std::string package;               // Whose version is printed: the Debian package's; empty: our own.
  bool durable = false;              // An acknowledge implies that the message was synced to disk.
  std::string durability;            // What an acknowledge means, in a sentence, and what is lost when the power fails.
  std::vector<std::string> settings; // What was set, and what the driver does to be fast; one a line.
  bool can_tls = false;
  bool variant = false; // Of another system: only the workload that asks for it by name measures it.
  std::function<std::unique_ptr<server>(const server_options&)> start;
  std::function<std::unique_ptr<producer>(const std::string& address, const producer_options&)> make_producer;
  std::function<std::unique_ptr<consumer>(const std::string& address, const consumer_options&)> make_consumer;
};

/// All there are, ours first; made once. bench/peers/systems.cpp.
const std::vector<system>& systems();
/// Throws std::runtime_error that names the systems there are.
const system& system_named(std::string_view name);

} // namespace sallyport::bench
