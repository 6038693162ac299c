// Answers whose content the shard only names (commands.hpp), and getting it from the store. Called by the clerk, never by the owner thread:
// a read may wait for the disk.
#pragma once

#include "cloud/core/commands.hpp"
#include "cloud/store/port.hpp"

namespace sallyport::cloud {

[[nodiscard]] bool lacks_content(const answer& what);

/// Fills in events and results. The store is open and stays so meanwhile. A read that fails turns the answer into an error: ask again.
/// Granted messages whose events are damaged are left out of the answer and returned: they are to be buried.
[[nodiscard]] std::vector<ask::bury> fetch_content(answer& what, store_port& store);

} // namespace sallyport::cloud
