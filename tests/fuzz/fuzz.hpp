// What the targets share. An oracle is a SALLYPORT_ASSERT: it says which belief broke, and libFuzzer keeps the input that broke it.
#pragma once

#include "protocol/assert.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sallyport::fuzz {

[[nodiscard]] inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Takes the first line off, without its end; all of it when there is no other.
[[nodiscard]] inline std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return line;
}

/// Input taken byte by byte; zeros when there is no more.
class bytes {
public:
  explicit bytes(std::string_view in) : in_(in) {}
  [[nodiscard]] bool empty() const { return in_.empty(); }
  std::uint8_t byte() {
    if (in_.empty())
      return 0;
    const auto b = static_cast<std::uint8_t>(in_.front());
    in_.remove_prefix(1);
    return b;
  }
  std::uint16_t two() {
    const unsigned low = byte();
    return static_cast<std::uint16_t>(low | static_cast<unsigned>(byte()) << 8);
  }
  std::string_view slice(std::size_t size) {
    const auto s = in_.substr(0, size);
    in_.remove_prefix(s.size());
    return s;
  }

private:
  std::string_view in_;
};

} // namespace sallyport::fuzz
