// Those who talk to the hub in a chaos run: producers over HTTP, and agents by hand that open sessions, claim and settle by the wire, so
// that grants and verdicts are seen as an agent sees them. Each has a thread of its own; what it learnt is in the record once it has ended.
#pragma once

#include "runtime/io/client.hpp"
#include "tests/chaos/record.hpp"

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>

namespace sallyport::chaos {

struct client_options {
  std::string name;
  std::string hub; // http://127.0.0.1:<port of its link>
  std::uint64_t seed = 0;
  int round = 0;
  double rate = 0;                 // Producers: events per second.
  milliseconds session_ttl{2'000}; // Agents by hand.
};

/// An answer, sorted by what can have been done.
struct answer {
  ending how = ending::unknown;
  int status = 0;             // 0: none came.
  errc code = errc::internal; // Of a problem, or why there was no answer.
  std::string body;
};

/// A client of the hub's API with one connection.
class hub_api {
public:
  explicit hub_api(const std::string& url);

  answer ask(const std::string& method, const std::string& target, std::string body, const std::string& type = "application/json",
             milliseconds bound = milliseconds(3'000), const std::string& prefer = {});

private:
  io::client client_;
};

class client {
public:
  explicit client(record& r, client_options o);
  virtual ~client() = default; // After finish(), or before start().
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  void start() {
    thread_ = std::thread([this] { run(); });
  }
  /// From now on, no new faults of its own making and no new work.
  void calm() { calm_ = true; }
  /// Waits for one that ends by itself once it is calm.
  void wait();
  /// Ends; what it learnt goes into the record.
  void finish();

protected:
  virtual void run() = 0;
  virtual void tell() = 0; // On the thread that finishes it.
  [[nodiscard]] bool happens(double chance) { return std::uniform_real_distribution<>(0, 1)(random_) < chance; }
  [[nodiscard]] int between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  record& record_;
  client_options options_;
  hub_api hub_;
  std::mt19937_64 random_;
  std::atomic<bool> calm_{false}, leave_{false};
  std::thread thread_;
};

std::unique_ptr<client> make_producer(record& r, client_options o);
std::unique_ptr<client> make_agent_by_hand(record& r, client_options o);

} // namespace sallyport::chaos
