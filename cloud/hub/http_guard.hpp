// Judges the bytes of a request head before anybody interprets them. Beast 1.81 is lenient where two parties of one connection may
// disagree about where a request ends; whatever two readers could read differently is refused here (docs/adr/0010-hub-front-door.md).
// The guard only refuses; Beast interprets what is left. Pure; any thread.
#pragma once

#include "protocol/result.hpp"

#include <optional>
#include <string_view>

namespace sallyport::cloud {

struct head_limits {
  std::size_t fields = 100;
};

/// `head` is everything up to and with the first empty line. Errors: malformed_http, header_too_large (too many fields).
[[nodiscard]] result<void> judge_head(std::string_view head, const head_limits& limits = {});

/// A trailer that would have changed how the request is framed, routed or permitted, had it come with the head.
[[nodiscard]] bool alters_request(std::string_view trailer_name);

// -- what heads and trailers are made of
[[nodiscard]] bool is_token(std::string_view text);       // RFC 9110, 5.6.2.
[[nodiscard]] bool is_field_value(std::string_view text); // Printable, blank, or not ASCII; no NUL, no CR or LF of its own.
[[nodiscard]] std::string_view trim_blanks(std::string_view text);
[[nodiscard]] bool same_word(std::string_view a, std::string_view b); // But for the case of ASCII letters.

/// What an Authorization field of the scheme Bearer carries (RFC 6750); nothing when it is of another scheme, or empty.
[[nodiscard]] std::optional<std::string_view> bearer_token(std::string_view authorization);

} // namespace sallyport::cloud
