// Work on its way through the agent: batches of granted messages to an adapter host, and how they ended. Plain values, shared between
// actors as pointers to const.
#pragma once

#include "protocol/time.hpp"
#include "protocol/wire.hpp"

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sallyport::runtime {

/// A connection's place in the agent's settings; the same for the agent's whole life.
using connection_index = std::size_t;

/// Names one hand-over to an adapter host. `life` is that of the lease manager which made it, so that a restarted one never repeats it.
struct batch_id {
  std::uint64_t life = 0;
  std::uint64_t number = 0;
  friend auto operator<=>(const batch_id&, const batch_id&) = default;
};

/// Messages to be executed by one worker in one go. No two of one partition key.
struct job_batch {
  batch_id id;
  connection_index connection = 0;
  mono_time start_before{};       // The session's deadline as it was known: past it nothing may be started.
  milliseconds attempt_timeout{}; // Counted from the start; the same for all of them.
  std::vector<wire::grant> grants;
};

/// How a batch ended: one settlement for each of its grants, in the same order.
struct outcome_batch {
  batch_id id;
  connection_index connection = 0;
  bool crashed = false; // The adapter threw, or its host died.
  std::vector<wire::settlement> items;
};

/// What an adapter's host is found to be at work on by a lease manager that has just been started.
struct running_batch {
  std::shared_ptr<const job_batch> jobs;
  mono_time started_at{};
};

/// What becomes of a message whose adapter crashed over it. Nobody knows what was done, so a message that was alone is charged with an
/// attempt: else one that always crashes its adapter would come back for ever. Of several, one is to blame and the others are not: where
/// a repetition does no harm they return uncounted, and are then handed out one by one until the culprit is alone.
[[nodiscard]] inline wire::settlement settle_crashed(const wire::held_grant& grant, wire::effect_promise effect,
                                                     std::size_t batch_size, const std::string& why) {
  wire::settlement s;
  s.message = grant.message;
  s.fence = grant.fence;
  s.started = true;
  s.effect = wire::effect_state::unknown;
  s.error = why;
  const bool repeatable = effect != wire::effect_promise::at_least_once;
  s.outcome = batch_size > 1 && repeatable ? wire::outcome_kind::release : wire::outcome_kind::failed;
  return s;
}

/// A message given back before anything was begun.
[[nodiscard]] inline wire::settlement give_back(message_id message, fence_token fence) {
  wire::settlement s;
  s.message = message;
  s.fence = fence;
  s.outcome = wire::outcome_kind::release;
  return s;
}

} // namespace sallyport::runtime

template <>
struct std::hash<sallyport::runtime::batch_id> {
  std::size_t operator()(sallyport::runtime::batch_id id) const noexcept { return id.number * 0x9e3779b97f4a7c15u ^ id.life; }
};
