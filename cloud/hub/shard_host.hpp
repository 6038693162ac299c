// The shard's host: everything a pure shard needs of the world. One thread at a time decides, which has the desk: whoever brings
// something when nobody is at it, the committer with the outcome of an append, or the owner, a thread that comes when time has passed and
// for what may take long. One committer thread makes durable, one clerk thread fetches content and carries answers when nobody else does.
//
//   any thread            who has the desk             committer            clerk / executor
//   submit ──▶ mailbox ──▶ swap it whole, decide, tick
//                          take_duties ── append ─────▶ store.append
//                          ◀── outcome, and the desk ──
//                          replies ─────────────────────────────────────▶ fetch what is missing, call completions
//
// While one append is under way the next batch gathers. The mailbox has an edge in commands and in bytes, counted until they are answered:
// a slow disk is felt at the door and not in memory. Over it the answer is too_many_requests and nothing was stored; what agents need to
// finish their work has a reserve beyond it, so that a flood of producers cannot expire sessions or hold settlements back.
//
// After a failed append the shard asks to be filled anew from the store; after a failed sync the process is to end (on_stop).
#pragma once

#include "cloud/core/shard.hpp"
#include "cloud/hub/clock.hpp"

#include <functional>
#include <memory>
#include <string>

namespace sallyport::cloud {

class metrics;

struct shard_host_settings {
  shard_settings shard;
  std::uint64_t mailbox = 20'000;
  std::uint64_t mailbox_bytes = 256 << 20;
  std::uint32_t high_water_percent = 90;
  milliseconds space_every{1'000};    // How often the store is asked for its room.
  milliseconds stop_within{5'000};    // stop() answers what is still waiting after this with outcome_unknown.
  milliseconds stuck_after{10'000};   // An append under way for longer makes the hub not ready.
  milliseconds reopen_within{30'000}; // A store that cannot be opened again for this long ends the process.
};

struct shard_host_ports {
  std::unique_ptr<store_port> store;
  std::shared_ptr<time_source> time;
  /// Runs a job soon on a thread of that lane; jobs carry many answers each. Must run them until stop() has returned. None: the clerk
  /// runs them.
  std::function<void(unsigned lane, std::function<void()> job)> run;
  /// The lane of the calling thread: what it submits is answered there. From 0 on and few. None: all are one.
  std::function<unsigned()> lane;
  /// The process must end, and why. Called at most once, on the owner thread.
  std::function<void(const std::string&)> on_stop;
  /// Something a person should hear of. On a thread that decides: must not block, nor come back here.
  std::function<void(const std::string&)> on_alarm;
  metrics* meter = nullptr; // Outlives the host.
};

/// What the host and its shard say of themselves.
struct host_view {
  shard_counters counters;
  epoch_number epoch;
  store_space space;
  bool room = true;
  std::uint64_t mailbox = 0, mailbox_bytes = 0; // The most that waited at once since the last look.
  std::uint64_t refused = 0, reopened = 0;
};

class shard_host {
public:
  /// Called exactly once, on an unspecified thread, perhaps before submit() has returned; never after forget() has taken effect.
  using completion = std::function<void(answer)>;

  shard_host(const shard_host_settings& settings, shard_host_ports ports);
  ~shard_host();

  /// Opens and replays the store, then starts the threads. Errors: store_locked, store_damaged, store_newer, store_io.
  [[nodiscard]] result<void> start();

  /// `bytes` is what the command holds in memory, roughly: its body.
  ticket submit(command what, std::uint64_t bytes, completion done);
  /// The asker is gone. An answer that is already on its way may still come.
  void forget(ticket from);
  /// Answered like a command.
  void inspect(std::function<void(host_view)> done);

  /// Empty when commands are being carried out; else why not.
  [[nodiscard]] std::string why_not_ready() const;

  /// Returns when all that had arrived before was decided and the shard has seen the time. For hosts of a stepped clock.
  void step();

  /// Refuses new commands, answers all that wait, joins the threads and closes the store. Bounded by stop_within and one append.
  void stop();

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::cloud
