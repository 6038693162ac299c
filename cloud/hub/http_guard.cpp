#include "cloud/hub/http_guard.hpp"

#include <algorithm>
#include <array>

namespace sallyport::cloud {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool is_visible(char c) {
  return c > 0x20 && c < 0x7f;
}

error malformed(std::string what) {
  return make_error(errc::malformed_http, std::move(what));
}

/// Fields that may come once at most: which of two counts is a matter of opinion.
constexpr std::array<std::string_view, 6> single{"host",          "content-length", "transfer-encoding",
                                                 "authorization", "content-type",   "expect"};

} // namespace

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool is_token(std::string_view text) { // RFC 9110, 5.6.2
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || marks.find(c) != marks.npos;
  });
}

bool is_field_value(std::string_view text) { // Printable, blank, or not ASCII; no NUL, no CR or LF of its own.
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || c == ' ' || is_visible(c) || (c & 0x80) != 0; });
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

result<void> judge_head(std::string_view head, const head_limits& limits) {
  auto next_line = [&](std::string_view& line) {
    auto end = head.find('\n');
    if (end == head.npos || end == 0 || head[end - 1] != '\r')
      return false;
    line = head.substr(0, end - 1);
    head.remove_prefix(end + 1);
    return line.find('\r') == line.npos;
  };

  std::string_view line;
  if (!next_line(line))
    return malformed("the request line does not end with CR LF");
  const auto first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == last || !is_token(line.substr(0, first)))
    return malformed("the request line is not: method, target, version");
  const auto target = line.substr(first + 1, last - first - 1), version = line.substr(last + 1);
  const bool is_1_0 = version == "HTTP/1.0";
  if (!is_1_0 && version != "HTTP/1.1")
    return malformed("the version is neither HTTP/1.1 nor HTTP/1.0");
  if (target.empty() || target.front() != '/' || target.find('#') != target.npos
      || !std::all_of(target.begin(), target.end(), is_visible))
    return malformed("the target is not a path with an optional query");

  std::array<unsigned, single.size()> seen{};
  std::size_t fields = 0;
  bool chunked = false;
  for (;;) {
    if (!next_line(line))
      return malformed("a header line does not end with CR LF");
    if (line.empty())
      break;
    if (++fields > limits.fields)
      return {errc::header_too_large, "more than " + std::to_string(limits.fields) + " header fields"};
    if (line.front() == ' ' || line.front() == '\t')
      return malformed("a header field is folded over lines");
    const auto colon = line.find(':');
    if (colon == line.npos || !is_token(line.substr(0, colon)))
      return malformed("a header line is not: name, colon, value");
    const auto name = line.substr(0, colon), value = trim_blanks(line.substr(colon + 1));
    if (!is_field_value(value))
      return malformed("a header field has a control character in its value");
    const auto known = std::find_if(single.begin(), single.end(), [&](std::string_view s) { return same_word(s, name); });
    if (known == single.end())
      continue;
    if (++seen[static_cast<std::size_t>(known - single.begin())] > 1)
      return malformed("more than one " + std::string{*known} + " field");
    if (*known == "transfer-encoding") {
      if (!same_word(value, "chunked"))
        return malformed("a transfer-encoding other than chunked");
      chunked = true;
    } else if (*known == "content-length") {
      if (value.empty() || value.size() > 15
          || !std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return malformed("a content-length that is no number");
    } else if (*known == "host") {
      if (value.find_first_of(" \t,/@?#\\") != value.npos)
        return malformed("a host that is no host");
    } else if (*known == "expect" && !same_word(value, "100-continue")) {
      return malformed("an expectation other than 100-continue");
    }
  }
  if (!head.empty())
    return malformed("bytes after the empty line");
  if (chunked && seen[1] > 0)
    return malformed("both content-length and transfer-encoding");
  if (chunked && is_1_0)
    return malformed("transfer-encoding in HTTP/1.0");
  if (!is_1_0 && seen[0] != 1)
    return malformed("no host field");
  return {};
}

bool alters_request(std::string_view trailer_name) {
  constexpr std::array<std::string_view, 17> altering{"host",
                                                      "content-length",
                                                      "transfer-encoding",
                                                      "authorization",
                                                      "content-type",
                                                      "content-encoding",
                                                      "content-range",
                                                      "expect",
                                                      "accept",
                                                      "prefer",
                                                      "connection",
                                                      "keep-alive",
                                                      "proxy-authorization",
                                                      "te",
                                                      "trailer",
                                                      "upgrade",
                                                      "cookie"};
  return std::any_of(altering.begin(), altering.end(), [&](std::string_view name) { return same_word(name, trailer_name); });
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() <= scheme.size() || !same_word(authorization.substr(0, scheme.size()), scheme))
    return std::nullopt;
  return trim_blanks(authorization.substr(scheme.size()));
}

} // namespace sallyport::cloud
