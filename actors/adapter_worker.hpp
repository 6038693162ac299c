// The WORKER: owns one adapter and carries out one batch at a time, on a thread of its own unless its adapter never blocks. Makes the adapter
// when it is first needed. A throw is reported to the host and ends the worker; the host does not outlive it for long.
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

[[nodiscard]] worker_actor spawn_worker(caf::actor_system& system, std::shared_ptr<agent_context> context,
                                        runtime::connection_index connection, std::size_t number, adapter_host_actor host);

/// The outcome of a job as the hub wants to hear it. A result that is not JSON, or too large, is dropped: the effect was made, and it is
/// the effect that counts.
[[nodiscard]] wire::settlement to_settlement(const wire::grant& grant, adapters::outcome outcome);

} // namespace sallyport::actors
