// For embedders who live in actors: the agent's handle, and adapters that are actors.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/agent.hpp"

namespace sallyport {

/// The agent as an actor: takes drain and stop, answers status. (actors/interfaces.hpp)
[[nodiscard]] actors::steward_actor handle_of(const agent& a);

/// Makes an adapter of an actor of yours. It is spawned anew after a crash; return a handle you keep if it should not be. The agent asks
/// it from a thread of its own and waits at most the attempt's time, so the actor may take as long as it needs and is never asked twice
/// at once. An error as answer, or its end, counts as a throw. `about.workers` actors are spawned; `about.blocks` is always so.
[[nodiscard]] adapters::factory make_typed_adapter(caf::actor_system& system, adapters::traits about,
                                                   std::function<actors::adapter_actor(caf::actor_system&)> spawn);

} // namespace sallyport
