// [connection.sql] of the agent's file. The table is made once and immutable; any thread.
#pragma once

#include "adapters/sql/settings.hpp"
#include "config/options.hpp"

namespace sallyport::adapters::sql {

[[nodiscard]] const config::options_of<settings>& options();

} // namespace sallyport::adapters::sql
