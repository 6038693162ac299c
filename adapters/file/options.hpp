// [connection.file] of the agent's file. The table is made once and immutable; any thread.
#pragma once

#include "adapters/file/settings.hpp"
#include "config/options.hpp"

namespace sallyport::adapters::file {

[[nodiscard]] const config::options_of<settings>& options();

} // namespace sallyport::adapters::file
