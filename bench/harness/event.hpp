// What is sent: the same bytes to every system, a CloudEvent whose number and due time stand at fixed places, so that no consumer pays
// for parsing what only the benchmark wants to know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::bench {

/// Smallest event there is; a wish for less gets this.
inline constexpr std::size_t event_bytes_min = 192;

/// Makes events of exactly `bytes` each (at least event_bytes_min), cheaply: a template of which digits are replaced.
class event_maker {
public:
  explicit event_maker(std::size_t bytes);

  /// Event `number`, meant to leave at `due_ns` of now_ns(). The view is good until the next call.
  std::string_view make(std::uint64_t number, std::uint64_t due_ns);
  [[nodiscard]] std::size_t bytes() const { return text_.size(); }

private:
  std::string text_;
};

/// The JSON of its `data`, found by its place.
[[nodiscard]] std::string_view data_of(std::string_view event);

struct event_stamp {
  std::uint64_t number = 0, due_ns = 0;
};
/// Throws std::runtime_error for anything that event_maker did not make.
[[nodiscard]] event_stamp stamp_of(std::string_view event);

} // namespace sallyport::bench
