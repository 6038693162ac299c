// A CAF scheduler of one thread, which is also the one that watches the agents' sockets: what the hub answers goes from the socket to the
// adapter's thread, and what an adapter reports to the socket, without another thread being woken on the way.
//
//   agent's socket ──▶ hub-link ─▶ lease-manager ─▶ adapter-host ──wakes──▶ adapter's thread
//                 ◀──── the same thread ────────────────────────  ◀──wakes──
//
// For programs that are nothing but agents (prepare(config, actor_threads::one)). Owned by the actor system; what it has not run when the
// system ends is released unrun, as with CAF's own.
#pragma once

#include "runtime/io/io_thread.hpp"

#include <caf/fwd.hpp>

#include <memory>

namespace sallyport::runtime {

/// Has the system made with this configuration run its actors so.
void use_loop_scheduler(caf::actor_system_config& config);

/// The thread of such a system; of any other, none.
[[nodiscard]] std::shared_ptr<io::io_thread> loop_thread(caf::actor_system& system);

} // namespace sallyport::runtime
