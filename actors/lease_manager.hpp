// The LEASE MANAGER: owns every grant from arrival to settlement. Carries out what runtime::lease_keeper decides: hands batches to the
// adapter hosts, gathers their outcomes for the hub, tells of lost leases, drains. After a crash it starts empty and learns from the
// hosts what still runs and which outcomes the hub has not answered; only then the session is opened anew.
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

[[nodiscard]] lease_manager_actor spawn_lease_manager(caf::actor_system& system, std::shared_ptr<agent_context> context);

} // namespace sallyport::actors
