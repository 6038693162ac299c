// The hub's file: [hub] and its tables. Pure but for reading the files it names; any thread.
#pragma once

#include "config/hub_settings.hpp"
#include "config/options.hpp"

namespace sallyport::config {

[[nodiscard]] const options_of<hub_settings>& hub_options();

/// Reads and checks all of the file. `dev`: as if for `sallyport hub --dev`, which needs no certificate.
[[nodiscard]] hub_settings read_hub(const node& root, fault_list& faults, bool dev = false);

} // namespace sallyport::config
