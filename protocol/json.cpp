#include "protocol/json.hpp"

#include "protocol/assert.hpp"
#include "protocol/scan.hpp"
#include "protocol/utf8.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace sallyport {

namespace {

void append_escape(std::string& out, unsigned char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  constexpr auto hex = "0123456789abcdef";
  out += "\\u00";
  out += hex[c >> 4];
  out += hex[c & 15];
}

template <class Number>
void append_number(std::string& out, Number n) {
  std::array<char, 32> buffer;
  out.append(buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), n).ptr);
}

} // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  const char *p = text.data(), *end = p + text.size();
  for (const char* plain = p;; plain = p) { // From where nothing is copied yet.
    p = detail::plain_ascii_end(p, end);
    while (p != end && static_cast<unsigned char>(*p) >= 0x80) {
      const auto length = detail::utf8_length({p, static_cast<std::size_t>(end - p)});
      if (length == 0)
        break;
      p = detail::plain_ascii_end(p + length, end);
    }
    out.append(plain, p);
    if (p == end)
      break;
    if (const auto c = static_cast<unsigned char>(*p++); c < 0x80)
      append_escape(out, c);
    else
      out += "\xef\xbf\xbd";
  }
  out += '"';
}

void json_writer::separate() {
  if (needs_comma_)
    out_ += ',';
  needs_comma_ = true;
}

json_writer& json_writer::begin_object() {
  separate();
  out_ += '{';
  needs_comma_ = false;
  return *this;
}
json_writer& json_writer::end_object() {
  out_ += '}';
  needs_comma_ = true;
  return *this;
}
json_writer& json_writer::begin_array() {
  separate();
  out_ += '[';
  needs_comma_ = false;
  return *this;
}
json_writer& json_writer::end_array() {
  out_ += ']';
  needs_comma_ = true;
  return *this;
}
json_writer& json_writer::key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}
json_writer& json_writer::plain_key(std::string_view name) {
  separate();
  out_ += '"';
  out_ += name;
  out_ += "\":";
  needs_comma_ = false;
  return *this;
}
json_writer& json_writer::plain_string(std::string_view text) {
  separate();
  out_ += '"';
  out_ += text;
  out_ += '"';
  return *this;
}
json_writer& json_writer::string(std::string_view text) {
  separate();
  append_json_string(out_, text);
  return *this;
}
json_writer& json_writer::number(std::uint64_t n) {
  separate();
  append_number(out_, n);
  return *this;
}
json_writer& json_writer::number(std::int64_t n) {
  separate();
  append_number(out_, n);
  return *this;
}
json_writer& json_writer::number(double n) {
  SALLYPORT_ASSERT(std::isfinite(n));
  separate();
  append_number(out_, n);
  return *this;
}
json_writer& json_writer::boolean(bool b) {
  separate();
  out_ += b ? "true" : "false";
  return *this;
}
json_writer& json_writer::null() {
  separate();
  out_ += "null";
  return *this;
}
json_writer& json_writer::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

} // namespace sallyport
