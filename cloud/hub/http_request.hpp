// One request between the bytes of its head and the end of its body: the head guarded (http_guard.hpp) and then read by Beast, the chunks
// read by http_chunks.hpp. No socket and no clock, so that what decides where a request ends can be tested and fuzzed by itself. Owned by
// a connection, used for one request after the other; one thread at a time.
//
//   empty ── read_head ──▶ head ── begin_chunks ──▶ chunks ── read_chunks ... is_done ──▶ take_body
//     ▲────────────────── reset, from anywhere ──────────────────────────────────────────────┘
#pragma once

#include "cloud/hub/api.hpp"
#include "protocol/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport::cloud {

class request_reader {
public:
  request_reader();
  ~request_reader();
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;

  /// Everything up to and with the first empty line. Errors: malformed_http, header_too_large.
  [[nodiscard]] result<void> read_head(std::string_view head);

  // -- of the head; views until reset(), or the next head.
  [[nodiscard]] request_head asked() const;
  [[nodiscard]] bool keep_alive() const;
  [[nodiscard]] bool is_1_0() const;
  [[nodiscard]] bool expects_continue() const;
  [[nodiscard]] bool is_chunked() const;
  [[nodiscard]] std::optional<std::uint64_t> content_length() const;

  // -- a chunked body
  void begin_chunks(std::uint64_t body_max, std::size_t line_max);
  /// See http_chunks.hpp.
  [[nodiscard]] result<std::size_t> read_chunks(std::string_view bytes);
  [[nodiscard]] bool is_done() const;
  [[nodiscard]] std::string take_body();

  void reset(); // Gives the memory back.

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

} // namespace sallyport::cloud
