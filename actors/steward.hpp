// The STEWARD: starts the supervision tree, knows who is who after every restart and tells those who need to know, passes events to the
// embedder, and ends the agent: drained, stopped, replaced or escalated. If it fails itself the tree goes with it.
//
//   running ──drain()──▶ draining ──(all settled, session closed)──▶ stopping ──(tree is down)──▶ ended
//      │                    └──stop()──▶ the same with no time left
//      ├──(session replaced)──▶ stopping
//      └──(the root gave up)──▶ ended: escalated
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

[[nodiscard]] steward_actor spawn_steward(caf::actor_system& system, std::shared_ptr<agent_context> context);

} // namespace sallyport::actors
