// The body of a request in chunks (RFC 9112, 7.1), read to the letter. Beast 1.81 reads a quoted chunk extension over line ends, so that it
// sees other chunks than a proxy in front of us; whatever two readers could read differently is refused here, as in http_guard.hpp.
// Owned by one request; pure; one thread at a time.
//
//   size ─▶ data ─▶ data_end ─▶ size ... size of 0 ─▶ trailers ─▶ done
#pragma once

#include "protocol/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::cloud {

class chunk_reader {
public:
  /// `line_max` bounds the line before a chunk, and all trailers together.
  chunk_reader(std::uint64_t body_max, std::size_t line_max) : body_max_(body_max), line_max_(line_max) {}

  /// How many of the bytes were used; the rest are to come again, with more behind them, or belong to the next request.
  /// Errors: malformed_http, body_too_large. After an error nothing may be read any more.
  [[nodiscard]] result<std::size_t> read(std::string_view bytes);
  [[nodiscard]] bool is_done() const { return state_ == state::done; }
  [[nodiscard]] std::string take_body() { return std::move(body_); }

private:
  enum class state : std::uint8_t { size, data, data_end, trailers, done };

  result<void> on_size(std::string_view line);
  result<void> on_trailer(std::string_view line);

  const std::uint64_t body_max_;
  const std::size_t line_max_;
  state state_ = state::size;
  std::uint64_t left_ = 0; // Of the chunk.
  std::size_t trailer_bytes_ = 0;
  std::string body_;
};

[[nodiscard]] error body_too_large(std::uint64_t body_max);

} // namespace sallyport::cloud
