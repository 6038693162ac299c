// What adapters ask of bytes on their way into or out of JSON. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sallyport::adapters {

/// RFC 4648 section 4, padded.
[[nodiscard]] std::string base64_encode(std::string_view bytes);
/// Nothing for anything but padded base64 without white space.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view bytes);
/// Can it be embedded in JSON as it is? Says no to some exotic JSON (numbers beyond 64 bit or double), never yes to what is none.
[[nodiscard]] bool is_json(std::string_view text);

} // namespace sallyport::adapters
