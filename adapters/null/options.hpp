// [connection.null] of the agent's file. The table is made once and immutable; any thread.
#pragma once

#include "adapters/null/settings.hpp"
#include "config/options.hpp"

namespace sallyport::adapters::null {

[[nodiscard]] const config::options_of<settings>& options();

} // namespace sallyport::adapters::null
