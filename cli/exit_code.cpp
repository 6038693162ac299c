#include "cli/exit_code.hpp"

namespace sallyport::cli {

exit_code exit_code_of(errc code) {
  switch (code) {
    case errc::unreachable:
    case errc::tls_refused:
    case errc::proxy_refused:
    case errc::not_ready:
    case errc::shutting_down: return exit_code::unreachable;
    case errc::token_required:
    case errc::bad_token:
    case errc::wrong_role:
    case errc::wrong_group: return exit_code::refused;
    case errc::not_found:
    case errc::unknown_group:
    case errc::unknown_connection:
    case errc::unknown_message:
    case errc::unknown_session: return exit_code::not_found;
    case errc::no_agent_up:
    case errc::call_not_started: return exit_code::not_started;
    case errc::call_outcome_unknown:
    case errc::outcome_unknown:
    case errc::timed_out: return exit_code::unknown;
    case errc::session_replaced: return exit_code::session_replaced;
    case errc::invalid_config: return exit_code::config;
    default: return exit_code::failure;
  }
}

const char* exit_code_help() {
  return "Exit codes:\n"
         "  0  done                         5  no such group, connection, message or token\n"
         "  1  failed                       6  partly done; running it again is safe\n"
         "  2  command line not understood  7  the call did not run and never will\n"
         "  3  no hub answered              8  it may have been done; ask with `sallyport explain`\n"
         "  4  token refused               70  agent: a newer process has taken over\n"
         "                                 78  the configuration has faults";
}

} // namespace sallyport::cli
