// The first line as the address of a hub, of a proxy and of an http adapter's service, and as a host; the others as entries of no_proxy.
#include "runtime/io/url.hpp"
#include "adapters/http/core/plan.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

using namespace sallyport;

bool same(const io::url& a, const io::url& b) {
  return a.scheme == b.scheme && a.host == b.host && a.port == b.port && a.path == b.path && a.is_address == b.is_address;
}

bool has_upper(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

template <class Parse>
void judge(std::string_view text, Parse parse) {
  const result<io::url> read = parse(text);
  if (!read) {
    SALLYPORT_ASSERT(read.err().code == errc::invalid_config && !read.err().detail.empty());
    // What stands before an '@' may be a password: then the text is not repeated.
    SALLYPORT_ASSERT(text.find('@') == text.npos || read.err().detail.rfind('"' + std::string{text}, 0) != 0);
    return;
  }
  SALLYPORT_ASSERT(read->scheme == "http" || read->scheme == "https");
  SALLYPORT_ASSERT(!read->host.empty() && !has_upper(read->host));
  SALLYPORT_ASSERT(read->port != 0);
  SALLYPORT_ASSERT(read->path.empty() || (read->path.front() == '/' && read->path.back() != '/'));
  // Both go into requests as they are.
  SALLYPORT_ASSERT(is_printable(read->authority()) && is_printable(read->host_header()) && is_printable(read->path));
  SALLYPORT_ASSERT(read->authority().find_first_of("@/?#\\") == std::string::npos);
  const auto again = parse(read->scheme + "://" + read->authority() + read->path);
  SALLYPORT_ASSERT(again.ok());
  SALLYPORT_ASSERT(same(*again, *read));
}

void judge_no_proxy(std::string_view host, std::string_view lines) {
  std::vector<std::string> entries;
  while (!lines.empty() && entries.size() < 16)
    entries.emplace_back(fuzz::take_line(lines));
  const auto list = io::no_proxy_list::parse(entries);
  if (!list)
    return;
  const bool matched = list->matches(host);
  std::string shouted{host};
  for (auto& c : shouted)
    if (c >= 'a' && c <= 'z')
      c = static_cast<char>(c - 32);
  SALLYPORT_ASSERT(list->matches(shouted) == matched);
  // A list matches what one of its entries does, and nothing else.
  bool any = false;
  for (const auto& entry : entries) {
    const auto alone = io::no_proxy_list::parse({entry});
    SALLYPORT_ASSERT(alone.ok());
    any |= alone->matches(host);
    if (entry == "*")
      SALLYPORT_ASSERT(matched);
  }
  SALLYPORT_ASSERT(any == matched);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto in = fuzz::as_text(data, size);
  const auto first = fuzz::take_line(in);
  judge(first, [](std::string_view text) {
    auto read = io::parse_hub_url(text);
    SALLYPORT_ASSERT(!read || read->scheme == "https" || read->is_loopback());
    return read;
  });
  judge(first, [](std::string_view text) {
    auto read = io::parse_proxy_url(text);
    SALLYPORT_ASSERT(!read || (read->scheme == "http" && read->path.empty()));
    return read;
  });
  if (const auto service = adapters::http::parse_url(first)) {
    SALLYPORT_ASSERT(is_printable(service->authority()) && is_printable(service->prefix) && is_printable(service->host_header));
    const auto again = adapters::http::parse_url(service->fingerprint());
    SALLYPORT_ASSERT(again.ok() && again->fingerprint() == service->fingerprint());
  }
  judge_no_proxy(first, in);
  return 0;
}
