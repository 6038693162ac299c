// Well-formed UTF-8, one sequence at a time (RFC 3629; Unicode table 3-7). For the places where a fault must be located or mended;
// whole texts are validated by simdjson, which is faster and cannot say where. Private to protocol/.
#pragma once

#include <cstddef>
#include <string_view>

namespace sallyport::detail {

/// How many bytes the sequence at the front of a text has; 0 if it is ill-formed, or the text empty. No overlong forms, no surrogates,
/// nothing above U+10FFFF.
[[nodiscard]] inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tails = [&](std::size_t n) {
    for (std::size_t i = 1; i <= n; ++i)
      if ((byte(i) & 0xc0u) != 0x80u)
        return false;
    return true;
  };
  const auto lead = byte(0), second = byte(1);
  if (lead < 0x80)
    return text.empty() ? 0 : 1;
  if (lead >= 0xc2 && lead < 0xe0)
    return tails(1) ? 2 : 0;
  if (lead >= 0xe0 && lead < 0xf0)
    return tails(2) && (lead != 0xe0 || second >= 0xa0) && (lead != 0xed || second < 0xa0) ? 3 : 0;
  if (lead >= 0xf0 && lead < 0xf5)
    return tails(3) && (lead != 0xf0 || second >= 0x90) && (lead != 0xf4 || second < 0x90) ? 4 : 0;
  return 0;
}

} // namespace sallyport::detail
