// The families of sub-commands, one file each. Every function adds its commands to the program; their variables live as long as
// the returned command line does (they are kept by the callbacks).
#pragma once

#include "cli/adapter_kinds.hpp"
#include "cli/command.hpp"

namespace sallyport::cli {

void add_hub_command(command& program);
void add_agent_command(command& program, const adapter_kinds& kinds);
void add_send_command(command& program);
void add_call_command(command& program);
void add_status_command(command& program);
void add_explain_command(command& program);
void add_dead_commands(command& program);
void add_pause_commands(command& program);
void add_token_commands(command& program);
void add_config_commands(command& program, const adapter_kinds& kinds);
void add_version_command(command& program);

/// All of it: what main() does. Returns the exit code.
[[nodiscard]] int run(int argc, const char* const* argv, const adapter_kinds& kinds);

} // namespace sallyport::cli
