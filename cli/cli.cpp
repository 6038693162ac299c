#include "cli/commands.hpp"

#include <csignal>
#include <cstdio>

namespace sallyport::cli {

void add_version_command(command& program) {
  program.sub("version", "Print the version.").runs([] {
    std::printf("sallyport %s\n", SALLYPORT_VERSION);
    return exit_code::ok;
  });
}

int run(int argc, const char* const* argv, const adapter_kinds& kinds) {
  // A closed pipe (`| head`) is an error of a write, not the end of a hub.
  std::signal(SIGPIPE, SIG_IGN);
  const std::string footer = "First hour, on one machine:\n"
                             "  sallyport hub --dev --listen 127.0.0.1:8080 --data /tmp/hub &\n"
                             "  export SALLYPORT_HUB=http://127.0.0.1:8080 SALLYPORT_TOKEN=dev\n"
                             "  echo '{\"hello\":\"world\"}' | sallyport send demo inbox\n"
                             "  sallyport status\n\n";
  return static_cast<int>(run_program(argc, argv,
                                      "Delivers messages into private networks, through a gate that opens only outwards.",
                                      footer + exit_code_help(), [&kinds](command& program) {
                                        add_hub_command(program);
                                        add_agent_command(program, kinds);
                                        add_send_command(program);
                                        add_call_command(program);
                                        add_status_command(program);
                                        add_explain_command(program);
                                        add_dead_commands(program);
                                        add_pause_commands(program);
                                        add_token_commands(program);
                                        add_config_commands(program, kinds);
                                        add_version_command(program);
                                      }));
}

} // namespace sallyport::cli
