// One hub, asked one thing at a time: what the commands that talk to a hub share. Tests put a function in the place of the
// network.
#pragma once

#include "cli/command.hpp"
#include "protocol/event.hpp"
#include "protocol/result.hpp"
#include "protocol/time.hpp"

#include <functional>
#include <optional>
#include <string>

namespace sallyport::cli {

struct hub_request {
  std::string method = "GET";
  std::string target; // "/v1/groups"
  std::string content_type{};
  std::string body{};
  std::string prefer{}; // A Prefer header.
  milliseconds timeout{30'000};
};
struct hub_reply {
  int status = 0;
  std::string body{};
};
/// Any HTTP status below 400 is a reply; a problem is the error it says, and so is everything that keeps a reply from coming.
using ask_hub = std::function<result<hub_reply>(const hub_request&)>;

/// --hub, --token, --ca, with their environment variables.
struct hub_options {
  std::string hub, token, ca;
};
void add_hub_options(command& to, hub_options& options);

/// Errors: invalid_config (the options); the network is not touched yet.
[[nodiscard]] result<ask_hub> connect(const hub_options& options);

/// A token as --token or SALLYPORT_TOKEN says it: file:, env:, credential:, the word dev, or, from the environment only, itself.
[[nodiscard]] result<std::string> resolve_token(const std::string& option, const char* environment);

/// Asks and decodes: enqueue_reply, message_view, queue_page, count_reply or connection_view.
template <class Reply>
result<Reply> ask_for(const ask_hub& ask, const hub_request& request);

/// "/v1/groups/{group}/connections/{connection}" + rest. Errors: invalid_request, when one of the two is not a name.
[[nodiscard]] result<std::string> connection_path(const std::string& group, const std::string& connection,
                                                  const std::string& rest);

/// A reply with status 400 or more as the error it says.
[[nodiscard]] error problem_of(int status, const std::string& body, std::optional<unsigned> retry_after_s);

} // namespace sallyport::cli
