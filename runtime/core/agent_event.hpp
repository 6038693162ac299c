// What an agent tells its embedder (and its log) about itself. Values; handed out by the steward's actor, see runtime/agent.hpp.
#pragma once

#include "protocol/ids.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::runtime {

struct agent_event {
  enum class kind : std::uint8_t {
    connected,     // A session is open, or goes on.
    disconnected,  // The hub cannot be reached; it is tried again for ever.
    refused,       // The hub does not want us as we are (token, group, policy); tried again slowly: a person must act.
    waiting,       // Another agent holds our name; tried again when its session has run out.
    connection_up, // This agent reaches the connection's target.
    connection_down,
    restarted,        // Something failed and was started again.
    drain_wanted,     // The hub asks the agent to drain.
    session_replaced, // A newer process of this agent has taken its place. The agent stops.
    escalated,        // Something failed more often than its restart budget allows. The agent stops.
  };
  kind what = kind::connected;
  connection_name connection; // connection_up, connection_down.
  std::string detail;
};

[[nodiscard]] constexpr std::string_view to_string(agent_event::kind k) {
  switch (k) {
    case agent_event::kind::connected: return "connected";
    case agent_event::kind::disconnected: return "disconnected";
    case agent_event::kind::refused: return "refused";
    case agent_event::kind::waiting: return "waiting";
    case agent_event::kind::connection_up: return "connection up";
    case agent_event::kind::connection_down: return "connection down";
    case agent_event::kind::restarted: return "restarted";
    case agent_event::kind::drain_wanted: return "drain wanted";
    case agent_event::kind::session_replaced: return "session replaced";
    case agent_event::kind::escalated: return "escalated";
  }
  return "unknown";
}

/// Why an agent has ended.
enum class end_reason : std::uint8_t {
  drained, // As asked: everything was settled or given back, and the session closed.
  stopped, // As asked, but the hub could not be told everything; it finds out when the session's time is up.
  session_replaced,
  escalated,
};

[[nodiscard]] constexpr std::string_view to_string(end_reason r) {
  switch (r) {
    case end_reason::drained: return "drained";
    case end_reason::stopped: return "stopped";
    case end_reason::session_replaced: return "session replaced";
    case end_reason::escalated: return "escalated";
  }
  return "unknown";
}

} // namespace sallyport::runtime
