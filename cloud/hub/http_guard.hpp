// Judges the bytes of a request head before anybody interprets them. Beast 1.81 is lenient where two parties of one connection may
// disagree about where a request ends; whatever two readers could read differently is refused here (docs/adr/0010-hub-front-door.md).
// The guard only refuses; Beast interprets what is left. Pure; any thread.
#pragma once

#include "protocol/result.hpp"

#include <string_view>

namespace sallyport::cloud {

struct head_limits {
  std::size_t fields = 100;
};

/// `head` is everything up to and with the first empty line. Errors: malformed_http, header_too_large (too many fields).
[[nodiscard]] result<void> judge_head(std::string_view head, const head_limits& limits = {});

/// A trailer that would have changed how the request is framed, routed or permitted, had it come with the head.
[[nodiscard]] bool alters_request(std::string_view trailer_name);

} // namespace sallyport::cloud
