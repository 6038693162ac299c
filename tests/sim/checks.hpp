// The judgement of a run: by its history and the hub's final word, without a look at how the hub decides.
#pragma once

#include "tests/sim/history.hpp"
#include "tests/sim/hub.hpp"

namespace sallyport::sim {

/// Nothing waits that could be worked on, nothing is held.
[[nodiscard]] bool is_drained(hub& h);
/// Adds what it finds to the history's violations.
void judge(history& h, hub& at, const wire::queue_policy& policy);

} // namespace sallyport::sim
