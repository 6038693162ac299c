// Secrets are written into files as references, so that a configuration can be shown, copied and kept under version control:
//   file:/run/secrets/x     the file's content without its last line end; refused when everybody can read it
//   env:NAME                an environment variable
//   credential:NAME         a systemd credential: $CREDENTIALS_DIRECTORY/NAME
// Errors and warnings name the reference, never the secret. Any thread (but the environment must not change meanwhile).
#pragma once

#include "protocol/result.hpp"

#include <string>
#include <string_view>

namespace sallyport::config {

struct resolved_secret {
  std::string value;
  std::string warning; // Usable, but the operator should look at it; may be empty.
};

/// True for the three forms above, whether or not there is anything behind them.
[[nodiscard]] bool is_secret_reference(std::string_view text);

/// Errors: invalid_config; its detail is "what; what to do".
[[nodiscard]] result<resolved_secret> resolve_secret(std::string_view reference);

} // namespace sallyport::config
