#include "cloud/hub/http_request.hpp"

#include "cloud/hub/http_chunks.hpp"
#include "cloud/hub/http_guard.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

namespace sallyport::cloud {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

std::string_view view(boost::beast::string_view s) {
  return {s.data(), s.size()};
}

} // namespace

struct request_reader::parts {
  http::request_parser<http::empty_body> parser; // Of the head alone.
  std::optional<chunk_reader> chunks;

  [[nodiscard]] std::string_view field(http::field name) const { return view(parser.get()[name]); }
};

request_reader::request_reader() = default;
request_reader::~request_reader() = default;

result<void> request_reader::read_head(std::string_view head) {
  if (auto judged = judge_head(head); !judged)
    return judged;
  parts_ = std::make_unique<parts>();
  auto& parser = parts_->parser;
  parser.header_limit(static_cast<std::uint32_t>(head.size() + 1));
  parser.body_limit(boost::none);
  error_code ec;
  parser.put(asio::buffer(head), ec);
  if ((ec && ec != http::error::need_more) || !parser.is_header_done())
    return {errc::malformed_http, ec ? ec.message() : "the head is not complete"};
  return {};
}

request_head request_reader::asked() const {
  const auto& message = parts_->parser.get();
  return {view(message.method_string()),
          view(message.target()),
          parts_->field(http::field::authorization),
          parts_->field(http::field::content_type),
          parts_->field(http::field::prefer),
          parts_->field(http::field::content_encoding),
          parts_->field(http::field::accept)};
}

bool request_reader::keep_alive() const {
  return parts_->parser.get().keep_alive();
}

bool request_reader::is_1_0() const {
  return parts_->parser.get().version() == 10;
}

bool request_reader::expects_continue() const {
  return !parts_->field(http::field::expect).empty();
}

bool request_reader::is_chunked() const {
  return parts_->parser.chunked();
}

std::optional<std::uint64_t> request_reader::content_length() const {
  const auto length = parts_->parser.content_length();
  return length ? std::optional<std::uint64_t>{*length} : std::nullopt;
}

void request_reader::begin_chunks(std::uint64_t body_max, std::size_t line_max) {
  parts_->chunks.emplace(body_max, line_max);
}

result<std::size_t> request_reader::read_chunks(std::string_view bytes) {
  return parts_->chunks->read(bytes);
}

bool request_reader::is_done() const {
  return parts_->chunks->is_done();
}

std::string request_reader::take_body() {
  return parts_->chunks->take_body();
}

void request_reader::reset() {
  parts_.reset();
}

} // namespace sallyport::cloud
