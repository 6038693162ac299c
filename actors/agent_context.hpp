// What outlives restarts: the settings of one agent, its ports to the world, and the few numbers that only ever rise. Made by
// runtime::agent, shared by its actors; never changed but for the atomics.
#pragma once

#include "adapters/api/adapter.hpp"
#include "config/agent_settings.hpp"
#include "runtime/core/agent_event.hpp"
#include "runtime/core/transport.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::actors {

struct agent_context {
  struct connection {
    config::connection_settings settings;
    adapters::factory adapter;
  };

  config::agent_settings settings;
  std::vector<connection> connections; // By connection_index.
  std::string version;
  agent_id id;
  std::uint64_t process = 0; // Incarnation.
  runtime::transport_factory connect;
  std::shared_ptr<runtime::time_source> time;
  std::uint64_t seed = 0;  // For jitter and lane names.
  bool own_threads = true; // Workers block; false runs them on the scheduler, for tests that step it.
  std::function<void(const runtime::agent_event&)> on_event;           // On an actor's thread; must not block.
  std::function<void(runtime::end_reason, const std::string&)> on_end; // Once.

  // Of the session: they must not fall back when the session unit is restarted.
  std::atomic<std::uint64_t> opening{0};
  std::atomic<std::uint64_t> highest_epoch{0};
  std::atomic<std::uint64_t> unit_life{0};

  [[nodiscard]] mono_time now() const { return time->now().mono; }
};

} // namespace sallyport::actors
