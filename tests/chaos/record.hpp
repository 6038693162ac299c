// What clients of a chaos run did and were told: each operation as invoke, ok, fail or unknown, in memory for the judgement and as lines of
// JSON for whoever has to understand a failed run. One record per round; thread-safe where it says so.
#pragma once

#include "tests/judge/history.hpp"

#include <atomic>
#include <chrono>
#include <deque>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::chaos {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// The four connections of the group.
enum class queue : std::uint8_t { sql, file, http, hand };
inline constexpr queue queues[] = {queue::sql, queue::file, queue::http, queue::hand};
[[nodiscard]] std::string_view to_string(queue q);

/// How an operation ended. fail: nothing can have been done. unknown: no answer, or one that says so.
enum class ending : std::uint8_t { ok, fail, unknown };
[[nodiscard]] std::string_view to_string(ending e);

/// An event of a producer, and all it has heard of it.
struct event {
  std::string id, key, body;
  queue target = queue::sql;
  bool call = false;
  wall_time not_before{};
  int batch = -1;                           // Events of one batch, sent in one request, share it.
  bool sent_alone = false;                  // By a repetition: it may be stored although its batch is not.
  unsigned ok = 0, failed = 0, unknown = 0; // Ends of the requests that carried it.
  std::vector<message_id> told;
  bool cancel_in_doubt = false, cancelled = false, cancel_said_never_ran = false;
  std::vector<judge::call_end> call_ends;
};

/// A place of the record to which operations are counted, one per event that a request carried.
struct tally {
  std::atomic<std::uint64_t> ok{0}, failed{0}, unknown{0};
};

class record {
public:
  /// Writes its lines to a new file. Throws when it cannot.
  record(const std::string& path, clock::time_point began);

  // -- any thread
  /// Begins an operation of `weight` events or settlements; its number.
  std::uint64_t invoke(std::string_view client, std::string_view what, std::string_view on, unsigned weight);
  void end(std::uint64_t number, ending e, std::string_view told, unsigned weight);
  /// A line that is no operation: a fault, a grant.
  void note(std::string_view who, std::string_view what);
  [[nodiscard]] judge::step_number step() { return ++step_; }
  /// What can be judged at once: an answer nobody may give.
  void violate(std::string law, std::string what);

  tally counted;

  // -- while the clients are at rest
  std::deque<event> events;
  std::vector<judge::seen_grant> grants; // Of the agents by hand,
  std::vector<judge::effect> started, done;
  std::vector<judge::seen_verdict> verdicts;
  [[nodiscard]] const std::vector<judge::violation>& violations() const { return violations_; }

private:
  void line(const std::string& text);

  clock::time_point began_;
  std::atomic<std::uint64_t> numbers_{0};
  std::atomic<judge::step_number> step_{0};
  std::mutex mutex_;
  std::ofstream out_;
  std::vector<judge::violation> violations_;
};

} // namespace sallyport::chaos
