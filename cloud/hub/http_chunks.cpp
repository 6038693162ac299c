#include "cloud/hub/http_chunks.hpp"

#include "cloud/hub/http_guard.hpp"

#include <algorithm>
#include <charconv>

namespace sallyport::cloud {

namespace {

error malformed_chunks(std::string what) {
  return make_error(errc::malformed_http, "reading the chunks: " + std::move(what));
}

} // namespace

result<std::size_t> chunk_reader::read(std::string_view bytes) {
  std::size_t used = 0;
  while (state_ != state::done) {
    const auto rest = bytes.substr(used);
    if (state_ == state::data) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size()));
      body_ += rest.substr(0, n);
      used += n;
      left_ -= n;
      if (left_ > 0)
        return used;
      state_ = state::data_end;
      continue;
    }
    const auto end = rest.find('\n');
    if (state_ == state::data_end) {
      if (rest.substr(0, 2) != std::string_view{"\r\n"}.substr(0, rest.size()))
        return malformed_chunks("a chunk is longer than its size says");
      if (rest.size() < 2)
        return used;
      used += 2;
      state_ = state::size;
      continue;
    }
    if (std::min(end, rest.size()) + trailer_bytes_ >= line_max_)
      return malformed_chunks("a size or trailers of more than " + std::to_string(line_max_) + " bytes");
    if (end == rest.npos)
      return used;
    if (end == 0 || rest[end - 1] != '\r')
      return malformed_chunks("a line does not end with CR LF");
    const auto line = rest.substr(0, end - 1);
    used += end + 1;
    if (auto taken = state_ == state::size ? on_size(line) : on_trailer(line); !taken)
      return taken.err();
  }
  return used;
}

result<void> chunk_reader::on_size(std::string_view line) {
  const auto digits = line.substr(0, line.find_first_not_of("0123456789abcdefABCDEF"));
  const auto extension = trim_blanks(line.substr(digits.size()));
  if (digits.empty() || digits.size() > 15)
    return malformed_chunks("a size that is no number");
  if (!extension.empty() && (extension.front() != ';' || !is_field_value(extension)))
    return malformed_chunks("something other than an extension behind a size");
  std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (left_ > body_max_ - body_.size())
    return body_too_large(body_max_);
  state_ = left_ > 0 ? state::data : state::trailers;
  return {};
}

result<void> chunk_reader::on_trailer(std::string_view line) {
  trailer_bytes_ += line.size() + 2;
  if (line.empty()) {
    state_ = state::done;
    return {};
  }
  const auto colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon)) || !is_field_value(line.substr(colon + 1)))
    return malformed_chunks("a trailer is not: name, colon, value");
  if (alters_request(line.substr(0, colon)))
    return malformed_chunks("a trailer that would have changed the request");
  return {};
}

error body_too_large(std::uint64_t body_max) {
  return make_error(errc::body_too_large, "this operation takes at most " + std::to_string(body_max) + " bytes");
}

} // namespace sallyport::cloud
