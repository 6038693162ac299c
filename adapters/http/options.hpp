// [connection.http] of the agent's file. The table is made once and immutable; any thread.
#pragma once

#include "adapters/http/settings.hpp"
#include "config/options.hpp"

namespace sallyport::adapters::http {

[[nodiscard]] const config::options_of<settings>& options();

} // namespace sallyport::adapters::http
