// The HUB LINK: the only actor that talks to the hub. Carries out what runtime::session_keeper decides, and carries the requests of poller
// and lease manager. Owns the transport. Everything it has under way is answered: by the hub, by the transport's limit, or when it ends.
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

[[nodiscard]] hub_link_actor spawn_hub_link(caf::actor_system& system, std::shared_ptr<agent_context> context,
                                            steward_actor steward);

} // namespace sallyport::actors
