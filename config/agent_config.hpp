// The agent's file: [agent] and its tables, and one [[connection]] for each local system. What a connection's adapter needs
// stands in a table of the adapter's name, [connection.sql], which is read by the adapter's own table (adapters/*/options.hpp).
// Any thread.
#pragma once

#include "config/agent_settings.hpp"
#include "config/options.hpp"

namespace sallyport::config {

[[nodiscard]] const options_of<agent_settings>& agent_options();
[[nodiscard]] const options_of<connection_settings>& connection_options();

struct connection_entry {
  connection_settings settings;
  std::string adapter; // A known kind.
  node own;            // The table of that name; empty when there is none.
};

struct agent_file {
  agent_settings agent;
  std::vector<connection_entry> connections; // Those whose adapter is known.
};

/// Reads and checks all of the file but the tables of the adapters, whose kinds are given.
[[nodiscard]] agent_file read_agent(const node& root, const std::vector<std::string>& kinds, fault_list& faults);

/// Turns what an adapter's check() says (a fault per line, the setting's name first) into faults with the line and key of the
/// file. Says nothing twice: what has been found at a key while it was read stays the only word on it.
void add_check_faults(const error& said, const option_list& options, const node& own, fault_list& faults);

enum class file_kind : std::uint8_t { neither, hub, agent };
/// By its tables.
[[nodiscard]] file_kind kind_of(const node& root);

} // namespace sallyport::config
