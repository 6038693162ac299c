// What the exit codes of `sallyport` mean, for scripts and for systemd. Numbers are never reused.
#pragma once

#include "protocol/errors.hpp"

namespace sallyport::cli {

enum class exit_code : int {
  ok = 0,
  failure = 1,           // It did not work, and none of the below says why.
  usage = 2,             // The command line was not understood.
  unreachable = 3,       // No hub answered: not there, proxy, certificate, time.
  refused = 4,           // The token is missing, unknown, or not for this.
  not_found = 5,         // No such group, connection, message or token.
  partly = 6,            // Some of it was done; what was not is said on stderr. Running it again is safe.
  not_started = 7,       // A call that did not run and never will.
  unknown = 8,           // It may have been done: ask with `sallyport explain`, or run it again with the same id.
  session_replaced = 70, // A newer process of this agent has taken over; systemd must not restart this one.
  config = 78,           // The configuration has faults.
};

[[nodiscard]] exit_code exit_code_of(errc code);

/// The list above as text for --help.
[[nodiscard]] const char* exit_code_help();

} // namespace sallyport::cli
