// The embedding API: an agent inside your own caf::actor_system.
//
//   caf::actor_system_config config;
//   sallyport::prepare(config);                       // Before the system exists.
//   caf::actor_system system{config};
//   auto agent = sallyport::agent::start(system, settings, {{{.name = {"erp"}}, my_factory}});
//   if (!agent) return fail(to_string(agent.err()));
//   ...
//   agent->drain();
//   auto end = agent->wait();
//
// The binary `sallyport agent` uses this and nothing else. Adapters are plain classes (adapters/api/adapter.hpp) or actors of yours
// (runtime/typed.hpp). To test without sockets and with pretend time, hand in transport and time of sallyport::testing::hub.
//
// All functions may be called from any thread that is not an actor's. After a crash of the process the next start finds its state
// directory, and the hub lets it take its place at once.
#pragma once

#include "adapters/api/adapter.hpp"
#include "config/agent_settings.hpp"
#include "protocol/result.hpp"
#include "runtime/core/agent_event.hpp"
#include "runtime/core/agent_status.hpp"
#include "runtime/core/transport.hpp"

#include <caf/fwd.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sallyport {

/// Who runs the actors. Adapters have threads of their own either way, unless they never block (traits::blocks).
enum class actor_threads : std::uint8_t {
  several, // CAF's, unless you chose otherwise: `sharing`, which idles at a fraction of what work stealing burns, with at most four.
  one, // The one that watches the agents' sockets. For programs that are nothing but agents: an actor of yours that computes for long
       // would keep them from the hub.
};

/// Registers our message types (ids 1200 to 1399), and chooses the scheduler.
void prepare(caf::actor_system_config& config, actor_threads threads = actor_threads::several);

struct agent_connection {
  config::connection_settings settings;
  adapters::factory adapter;
};

struct agent_options {
  runtime::transport_factory connect;         // None: HTTPS, as the settings say.
  std::shared_ptr<runtime::time_source> time; // None: the machine's clocks.
  /// What happens, on an actor's thread. Must not block, nor throw.
  std::function<void(const runtime::agent_event&)> on_event;
  std::string version; // Shown by the hub; empty: ours.
  /// False: adapters run on the actor system's scheduler and must not block, nor be actors (typed.hpp). For tests that step the scheduler.
  bool own_threads = true;
};

struct agent_end {
  runtime::end_reason reason = runtime::end_reason::stopped;
  std::string detail;
};

/// A running agent. Dropping the last copy stops it at once (the destructor of the actor system waits for its actors).
class agent {
public:
  /// Takes the state directory, starts the actors and returns; the session opens in the background and is tried for ever. Errors:
  /// invalid_config (every fault in one detail), state_locked, state_io.
  [[nodiscard]] static result<agent> start(caf::actor_system& system, config::agent_settings settings,
                                           std::vector<agent_connection> connections, agent_options options = {});

  /// Takes no new work, finishes what it holds within settings.drain, gives the rest back, closes the session, ends.
  void drain();
  /// Gives everything back at once, closes the session, ends. Also while draining.
  void stop();

  /// Until it has ended, for whatever reason.
  agent_end wait() const;
  /// The same, at most so long in real time.
  [[nodiscard]] std::optional<agent_end> wait_for(milliseconds at_most) const;

  /// What it is at. Errors: timed_out, stopped.
  [[nodiscard]] result<runtime::agent_status> status(milliseconds at_most = milliseconds{2'000}) const;

  [[nodiscard]] const agent_id& id() const;
  [[nodiscard]] std::uint64_t incarnation() const;

  struct body;
  [[nodiscard]] const body& inside() const { return *body_; } // runtime/typed.hpp

private:
  explicit agent(std::shared_ptr<body> b) : body_(std::move(b)) {}

  std::shared_ptr<body> body_;
};

} // namespace sallyport
