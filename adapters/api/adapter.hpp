// The adapter contract: what a local system looks like to the agent. Embedders implement this class; so do sql, file, http and null.
// adapters/api/conformance.hpp is the contract in executable form.
//
// Threads: the agent calls an adapter's perform() from one worker thread at a time. A connection with N workers gets N adapters from its
// factory, each on a thread of its own (but see traits::blocks), so a blocking library is welcome. Any thread may ask and observe a
// cancel_signal.
// A throw from any function is a crash of the adapter's host: it is restarted, and its messages go back to their queue.
#pragma once

#include "protocol/event.hpp"
#include "protocol/ids.hpp"
#include "protocol/time.hpp"
#include "protocol/wire.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::adapters {

/// Why work should stop.
enum class cancel_reason : std::uint8_t { none, lost_lease, attempt_timeout, shutdown };

/// Shared by the agent (which raises it) and the adapter (which looks at it between steps, or registers a hook that interrupts a blocking
/// call, as PQcancel does). Raised once; the first reason stays.
class cancel_signal {
public:
  void raise(cancel_reason why);
  [[nodiscard]] cancel_reason raised() const { return why_.load(std::memory_order_acquire); }
  explicit operator bool() const { return raised() != cancel_reason::none; }

  /// Runs the hook once when raised, on the raising thread; at once if it has been already. One hook at a time; it must not block.
  /// clear_hook returns only when a running hook has ended.
  void set_hook(std::function<void()> hook);
  void clear_hook();

private:
  struct hooks;
  std::atomic<cancel_reason> why_{cancel_reason::none};
  std::shared_ptr<hooks> hooks_ = make_hooks();
  static std::shared_ptr<hooks> make_hooks();
};

/// One attempt to carry out one message. `event` is the raw CloudEvent; `attributes` what parse_event read from it.
struct job {
  message_id message;
  fence_token fence;
  group_name group;
  connection_name connection;
  std::uint32_t attempt = 1;
  mono_time deadline{};     // When attempt_timeout ends, by the agent's own monotonic clock.
  milliseconds time_left{}; // The same at the moment perform() is called, for libraries that take timeouts.
  bool call = false;        // Somebody waits for the result.
  event_attributes attributes;
  wire::shared_bytes event;
  std::shared_ptr<cancel_signal> cancel; // May be null: never cancelled.

  /// The event's `data` as raw JSON; empty when it has none.
  [[nodiscard]] std::string_view data() const;
  [[nodiscard]] cancel_reason cancelled() const { return cancel ? cancel->raised() : cancel_reason::none; }
};

/// How an attempt ended.
struct outcome {
  enum class kind : std::uint8_t { done, failed };
  kind what = kind::done;
  std::string result; // done: raw JSON, at most 256 KiB, or empty.
  // failed:
  std::string error; // One line for a person: what was attempted, on what, and what the target said. No secrets.
  wire::failure_scope scope =
    wire::failure_scope::message; // target: the target is not there; burn no attempts, pause the connection.
  bool retryable = true;
  wire::effect_state effect = wire::effect_state::unknown;
  std::optional<milliseconds> retry_after;
};
[[nodiscard]] outcome done(std::string result_json = {});
struct failure {
  std::string error;
  wire::failure_scope scope = wire::failure_scope::message;
  bool retryable = true;
  wire::effect_state effect = wire::effect_state::unknown;
  std::optional<milliseconds> retry_after{};
};
/// The error is made one line and cut at 1 KiB.
[[nodiscard]] outcome failed(failure f);
/// How an attempt ends that was stopped by its signal or that has no time left.
[[nodiscard]] outcome stopped(cancel_reason why, wire::effect_state effect);

[[nodiscard]] std::string_view to_string(cancel_reason why);

/// The most a result may hold.
inline constexpr std::size_t result_bytes_max = 256 * 1024;

/// What probe() found.
struct probe_result {
  wire::reach state = wire::reach::unknown;
  std::string detail; // Why it is down, in one line.
};

class adapter {
public:
  virtual ~adapter() = default;

  /// Can this agent reach the target now? Called before the connection is announced as up, and again every probe interval.
  virtual probe_result probe() = 0;

  /// Carries out jobs, in this order, and returns one outcome for each, in the same order. A batch never holds two messages of one
  /// partition key: the next of a key is handed over only after the one before it is done, and after a failure the agent gives the
  /// rest of the run back.
  virtual std::vector<outcome> perform(const std::vector<job>& jobs) = 0;
};

/// What the agent knows of a kind of adapter before it makes one.
struct traits {
  std::string kind;                                                  // "sql"
  wire::effect_promise effect = wire::effect_promise::at_least_once; // Announced to the hub, shown by docs and console.
  std::string fingerprint;                                           // Kind, host, port, database; no credentials.
  std::size_t batch_max = 1;                                         // Most jobs of one perform() call.
  std::size_t workers = 1;                                           // Adapters (and threads) per connection.
  /// Does making it, probe() or perform() wait for anything, or compute for long? Then each worker has a thread of its own. An adapter that
  /// surely does neither may say no, and is called where the agent's actors run: with actor_threads::one that is two wake-ups less for each
  /// batch. If it is slow after all, the agent's heartbeats are late, and no attempt_timeout can stop it.
  bool blocks = true;
};

/// Makes the adapters of one connection. Held by the adapter host; called again after a crash.
struct factory {
  traits about;
  std::function<std::unique_ptr<adapter>()> make; // May throw: counts as a crash of the host.
};

} // namespace sallyport::adapters
