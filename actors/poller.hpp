// The POLLER: keeps claims parked at the hub while there is room for grants. Carries out what runtime::claim_lanes decides.
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

[[nodiscard]] poller_actor spawn_poller(caf::actor_system& system, std::shared_ptr<agent_context> context);

} // namespace sallyport::actors
