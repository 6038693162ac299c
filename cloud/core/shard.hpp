// The shard: one lease table, its arrivals, its positions and its waiters. PURE: it does nothing but say what is to be done.
//
//   host                          shard                                     store
//   submit(ticket, command) ────▶ decide, apply, match parked claims
//   tick(now) ──────────────────▶ sweep (after what has arrived)
//   take_duties() ◀────────────── append{batch} ─────────────────────────▶ append
//   appended(outcome) ──────────▶ release the answers that waited for it
//
// Every answer, refusals too, waits until the position it was decided at is durable. Waiters are keyed by (epoch, position): after a
// failed append all of them get outcome_unknown before the store is reopened.
//
// Owned by the shard host; touched by one thread at a time. After a crash a new shard is filled by restore() and loses nothing
// acknowledged.
#pragma once

#include "cloud/core/commands.hpp"
#include "cloud/store/port.hpp"

#include <memory>
#include <variant>
#include <vector>

namespace sallyport::cloud {

struct shard_settings {
  milliseconds session_ttl{10'000};
  wire::queue_policy policy; // For new queues.
  bool announce = true;
  std::uint32_t claim_messages = 1024;
  std::uint32_t parked_max = 40'000; // Claims and calls waiting at once.
  std::uint64_t payload_cache_bytes = 64 << 20;
  std::uint32_t pace_messages = 4'096; // A queue is held to so many where enqueue_pace can; 0: never.
};

namespace duty {
/// Hand the batch to the store; call appended() with what it said. One at a time.
struct append {
  epoch_number epoch;
  std::uint64_t tail = 0;
  batch changes;
};
struct reply {
  ticket to;
  answer what;
};
/// Memory may be ahead of the disk: close the store, open it again with at least this epoch, and fill a new life by reopened()/restore().
struct reopen {
  epoch_number at_least;
  std::string why;
};
/// The process must end: pages of a failed sync are never to be trusted.
struct stop {
  std::string why;
};
/// Something a person should hear of.
struct alarm {
  std::string what;
};
} // namespace duty
using duty_item = std::variant<duty::append, duty::reply, duty::reopen, duty::stop, duty::alarm>;

/// Counted since the start of the process; read by whoever has the shard.
struct shard_counters {
  std::uint64_t enqueued = 0, duplicates = 0, granted = 0, settled = 0, failed = 0, lost = 0, dead = 0, expired = 0,
                cancelled = 0;
  std::uint64_t stale_settles = 0, burnt_settles = 0, sessions_opened = 0, sessions_expired = 0, appends = 0, append_failures = 0;
  std::uint64_t messages_live = 0, messages_retained = 0, sessions_live = 0, claims_parked = 0, calls_waiting = 0;
};

class shard {
public:
  explicit shard(shard_settings settings);
  ~shard();
  shard(shard&&) noexcept;
  shard& operator=(shard&&) noexcept;

  // -- filling: reopened(), then restore() for every replayed record, then started().
  void reopened(opened_store store);
  /// False when the record cannot be understood: the store is damaged or newer.
  [[nodiscard]] bool restore(std::string_view key, std::string_view value);
  /// Every known session gets a full ttl.
  void started(instant now);

  // -- working
  /// Takes a command in. Its answer comes as a duty, now or later, exactly once, unless forget() is called.
  void submit(ticket from, command what, instant now);
  /// The asker is gone: a parked claim or waiting call is taken back, and no answer will be given.
  void forget(ticket from);
  /// Expires, retries, sweeps. To be called after everything that has arrived was submitted, and at next_wake() at the latest.
  void tick(instant now);
  [[nodiscard]] mono_time next_wake() const;
  /// What the store answered to the duty::append under way.
  void appended(const append_outcome& outcome, instant now);
  /// Enqueues are refused while there is no room; settlements, deletes and expiry go on.
  void set_room(bool room, std::string why);
  /// Refuses new work with shutting_down and answers everything that is parked.
  void drain();

  /// What is to be done now. Closes the batch that has gathered, when no append is under way.
  [[nodiscard]] std::vector<duty_item> take_duties();

  [[nodiscard]] shard_counters counters() const;
  [[nodiscard]] epoch_number epoch() const;

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::cloud
