// Bytes of a client connection: heads, and bodies behind them. What the hub accepts is read a second time here, strictly and by other
// code (RFC 9112); both must agree where each request ends, because a proxy in front of the hub may read it like the second.
#include "cloud/hub/http_guard.hpp"
#include "cloud/hub/http_request.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace sallyport;
using cloud::request_reader;

constexpr std::size_t body_max = 4096;
constexpr std::size_t head_max = 1 << 16; // More than any input.

struct field {
  std::string name, value;
};

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c + 32);
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

std::vector<field> fields_of(std::string_view head) {
  std::vector<field> out;
  head.remove_prefix(head.find("\r\n") + 2);
  while (head != "\r\n") {
    const auto line = head.substr(0, head.find("\r\n"));
    const auto colon = line.find(':');
    out.push_back({lower(line.substr(0, colon)), std::string{trim(line.substr(colon + 1))}});
    head.remove_prefix(line.size() + 2);
  }
  return out;
}

std::vector<std::string> values_of(const std::vector<field>& fields, std::string_view name) {
  std::vector<std::string> out;
  for (const auto& f : fields)
    if (f.name == name)
      out.push_back(f.value);
  return out;
}

void agree_on_head(std::string_view head, const request_reader& read) {
  const auto line = head.substr(0, head.find("\r\n"));
  const auto first = line.find(' '), last = line.rfind(' ');
  const auto asked = read.asked();
  SALLYPORT_ASSERT(asked.method == line.substr(0, first));
  SALLYPORT_ASSERT(asked.target == line.substr(first + 1, last - first - 1));
  SALLYPORT_ASSERT(read.is_1_0() == (line.substr(last + 1) == "HTTP/1.0"));
  const auto fields = fields_of(head);
  const auto hosts = values_of(fields, "host"), lengths = values_of(fields, "content-length"),
             codings = values_of(fields, "transfer-encoding"), credentials = values_of(fields, "authorization"),
             types = values_of(fields, "content-type");
  SALLYPORT_ASSERT(hosts.size() == 1 || (hosts.empty() && read.is_1_0()));
  SALLYPORT_ASSERT(lengths.size() + codings.size() <= 1);
  SALLYPORT_ASSERT(read.is_chunked() == !codings.empty());
  SALLYPORT_ASSERT(codings.empty() || lower(codings.front()) == "chunked");
  SALLYPORT_ASSERT(read.content_length().has_value() == !lengths.empty());
  if (!lengths.empty()) {
    std::uint64_t n = 0;
    const auto& digits = lengths.front();
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    SALLYPORT_ASSERT(ec == std::errc{} && end == digits.data() + digits.size());
    SALLYPORT_ASSERT(n == *read.content_length());
  }
  SALLYPORT_ASSERT(asked.authorization == (credentials.empty() ? std::string{} : credentials.front()));
  SALLYPORT_ASSERT(asked.content_type == (types.empty() ? std::string{} : types.front()));
}

/// RFC 9112, 7.1, to the letter.
struct strict_chunks {
  enum class end : std::uint8_t { more, malformed, done } ended = end::more;
  std::string body;
  std::size_t used = 0;

  explicit strict_chunks(std::string_view in) {
    const auto line = [&](std::string_view& out) {
      const auto at = in.find('\n', used);
      if (at == in.npos)
        return false;
      out = in.substr(used, at - used);
      used = at + 1;
      if (out.empty() || out.back() != '\r') {
        ended = end::malformed;
        return false;
      }
      out.remove_suffix(1);
      if (out.find('\r') != out.npos)
        ended = end::malformed;
      return ended != end::malformed;
    };
    for (std::string_view text;;) {
      if (!line(text))
        return;
      std::uint64_t n = 0;
      const auto digits = text.substr(0, text.find_first_not_of("0123456789abcdefABCDEF"));
      const auto [at, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n, 16);
      const auto extension = text.substr(digits.size());
      const auto begin = extension.find_first_not_of(" \t");
      if (digits.empty() || ec != std::errc{} || (begin != extension.npos && extension[begin] != ';')) {
        ended = end::malformed;
        return;
      }
      if (n == 0)
        break;
      if (in.size() - used < n)
        return;
      body += in.substr(used, n);
      used += n;
      const auto tail = in.substr(used, 2);
      if (tail.size() < 2)
        return;
      if (tail != "\r\n") {
        ended = end::malformed;
        return;
      }
      used += 2;
    }
    for (std::string_view trailer; line(trailer);)
      if (trailer.empty()) {
        ended = end::done;
        return;
      } else if (const auto colon = trailer.find(':'); colon == trailer.npos || cloud::alters_request(trailer.substr(0, colon))) {
        ended = end::malformed;
        return;
      }
  }
};

struct chunk_reading {
  bool refused = false, done = false;
  std::string body;
  std::size_t used = 0;
  friend bool operator==(const chunk_reading&, const chunk_reading&) = default;
};

/// As a connection does it, whose peer sends `step` bytes at a time.
chunk_reading read_chunks(request_reader& request, std::string_view in, std::size_t step) {
  request.begin_chunks(body_max, head_max);
  chunk_reading out;
  for (std::size_t come = std::min(step, in.size());; come = std::min(come + step, in.size())) {
    const auto used = request.read_chunks(in.substr(out.used, come - out.used));
    if (!used) {
      out.refused = true;
      out.used = 0;
      return out;
    }
    out.used += *used;
    SALLYPORT_ASSERT(out.used <= come);
    if (request.is_done()) {
      out.done = true;
      out.body = request.take_body();
      SALLYPORT_ASSERT(out.body.size() <= body_max);
      return out;
    }
    if (come == in.size()) {
      out.used = 0; // How much of an unfinished chunk was taken depends on how it came.
      return out;
    }
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto in = fuzz::as_text(data, size);
  for (;;) { // Request after request, as on a connection that is kept open.
    const auto end = in.find("\r\n\r\n");
    if (end == in.npos)
      return 0;
    const std::string head{in.substr(0, end + 4)}; // Its own memory, so that a read beyond it is seen.
    in.remove_prefix(end + 4);
    request_reader request;
    if (!request.read_head(head))
      return 0;
    SALLYPORT_ASSERT(cloud::judge_head(head).ok());
    agree_on_head(head, request);
    if (!request.is_chunked()) {
      const auto length = request.content_length().value_or(0);
      if (length > in.size())
        return 0;
      in.remove_prefix(length);
      continue;
    }
    const auto whole = read_chunks(request, in, in.size() + 1);
    SALLYPORT_ASSERT(request.read_head(head).ok());
    SALLYPORT_ASSERT(whole == read_chunks(request, in, 1));
    SALLYPORT_ASSERT(request.read_head(head).ok());
    SALLYPORT_ASSERT(whole == read_chunks(request, in, 7));
    if (!whole.done)
      return 0;
    const strict_chunks second{in};
    SALLYPORT_ASSERT(second.ended == strict_chunks::end::done);
    SALLYPORT_ASSERT(second.used == whole.used);
    SALLYPORT_ASSERT(second.body == whole.body);
    in.remove_prefix(whole.used);
  }
}
