// The ADAPTER HOST: does one connection's work. Hands batches to its workers, raises their cancel signals, asks every probe interval
// whether the target is there, and remembers each batch until the hub has answered its outcomes, so that a restarted lease manager can
// be told.
//
//   working ──(an adapter threw)──▶ leaving: takes no more work, lets the other workers finish ──▶ ended with an error, restarted
//
// Lives and dies apart from the session unit. After a crash of its own its unreported batches are judged by the lease manager.
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

[[nodiscard]] adapter_host_actor spawn_adapter_host(caf::actor_system& system, std::shared_ptr<agent_context> context,
                                                    runtime::connection_index connection, steward_actor steward);

} // namespace sallyport::actors
