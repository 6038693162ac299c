#include "protocol/cursor.hpp"

#include "protocol/assert.hpp"
#include "protocol/scan.hpp"
#include "protocol/utf8.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstring>

namespace sallyport::detail {

namespace {

// Only run on text that simdjson has refused, to say where.
std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (auto length = utf8_length(text.substr(at)))
    at += length;
  return at;
}

void append_utf8(std::string& out, unsigned code) {
  const auto put = [&](unsigned byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6), put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18), put(0x80 | (code >> 12 & 0x3f)), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  }
}

} // namespace

std::string_view with_article(json_type t) {
  switch (t) {
    case json_type::object: return "an object";
    case json_type::array: return "an array";
    case json_type::string: return "a string";
    case json_type::number: return "a number";
    case json_type::boolean: return "a boolean";
    case json_type::null: return "null";
    case json_type::none: break;
  }
  return "nothing";
}

key_set::verdict key_set::add(std::string_view& key, bool is_temporary) {
  for (std::size_t i = 0; i < size_; ++i)
    if (keys_[i].size == key.size() && std::memcmp(keys_[i].data, key.data(), key.size()) == 0)
      return verdict::repeated;
  if (size_ == limit)
    return verdict::too_many;
  if (is_temporary)
    key = unescaped_.emplace_back(key);
  keys_[size_++] = {key.data(), key.size()};
  return verdict::fresh;
}

json_cursor::json_cursor(std::string_view text, std::size_t depth_max)
  : begin_(text.data()),
    end_(begin_ + text.size()),
    p_(begin_),
    depth_max_(std::min(depth_max, depth_limit)) {
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    // Reading goes on up to the bad byte, so that a fault before it is reported first and a batch knows which event is at fault.
    cut_at_bad_utf8_ = true;
    end_ = begin_ + first_invalid_utf8(text);
  }
}

json_fault json_cursor::fault() const {
  return fault_ == json_fault::malformed && cut_at_bad_utf8_ && fault_at_ == end_ ? json_fault::invalid_utf8 : fault_;
}

std::string json_cursor::describe_fault() const {
  auto where = "at byte " + std::to_string(fault_at_ - begin_) + ": ";
  if (fault() == json_fault::invalid_utf8)
    return where + "not UTF-8";
  if (fault_ == json_fault::duplicate_key)
    return where + "the key \"" + fault_key_ + "\" comes twice";
  return where + fault_what_;
}

bool json_cursor::fail(json_fault fault, const char* what, const char* at) {
  fault_ = fault;
  fault_what_ = what;
  fault_at_ = at;
  return false;
}

bool json_cursor::malformed(const char* what) {
  if (begin_ == end_)
    what = "the body is empty";
  else if (p_ == begin_ && end_ - p_ >= 3 && std::memcmp(p_, "\xef\xbb\xbf", 3) == 0)
    what = "a byte order mark is not JSON";
  return fail(json_fault::malformed, what, p_);
}

json_type json_cursor::type() {
  space();
  if (p_ == end_)
    return json_type::none;
  switch (*p_) {
    case '{': return json_type::object;
    case '[': return json_type::array;
    case '"': return json_type::string;
    case 't':
    case 'f': return json_type::boolean;
    case 'n': return json_type::null;
    default: return *p_ == '-' || (*p_ >= '0' && *p_ <= '9') ? json_type::number : json_type::none;
  }
}

bool json_cursor::open(char bracket, const char* what) {
  space();
  if (p_ == end_ || *p_ != bracket)
    return malformed(what);
  if (depth_ == depth_max_)
    return fail(json_fault::too_deep, "objects and arrays are nested too deeply", p_);
  ++depth_;
  ++p_;
  return true;
}

bool json_cursor::comma(char closing, bool& closed) {
  space();
  if (p_ != end_ && *p_ == closing) {
    ++p_;
    closed = true;
    return false;
  }
  if (p_ == end_ || *p_ != ',')
    return malformed(closing == '}' ? "expected a comma or a closing brace" : "expected a comma or a closing bracket");
  ++p_;
  return true;
}

bool json_cursor::key(std::string_view& name, key_set& seen) {
  space();
  const auto* at = p_;
  if (p_ == end_ || *p_ != '"')
    return malformed("expected a key");
  if (!string(name))
    return false;
  const bool is_temporary = name.data() == scratch_.data();
  switch (seen.add(name, is_temporary)) {
    case key_set::verdict::fresh: return colon();
    case key_set::verdict::repeated: fault_key_ = name; return fail(json_fault::duplicate_key, "", at);
    case key_set::verdict::too_many: break;
  }
  return fail(json_fault::too_many_members, "an object has more than 64 members", at);
}

bool json_cursor::colon() {
  space();
  if (p_ == end_ || *p_ != ':')
    return malformed("expected a colon");
  ++p_;
  return true;
}

bool json_cursor::string(std::string_view& text) {
  space();
  if (p_ == end_ || *p_ != '"')
    return malformed("expected a string");
  const auto* start = ++p_;
  p_ = plain_end(p_, end_);
  if (p_ != end_ && *p_ == '"') {
    text = {start, static_cast<std::size_t>(p_ - start)};
    ++p_;
    return true;
  }
  scratch_.assign(start, p_);
  while (p_ != end_ && *p_ == '\\') {
    if (!escape(&scratch_))
      return false;
    start = p_;
    p_ = plain_end(p_, end_);
    scratch_.append(start, p_);
  }
  if (p_ == end_)
    return malformed("a string does not end");
  if (*p_ != '"')
    return malformed("a control character in a string must be escaped");
  ++p_;
  text = scratch_;
  return true;
}

bool json_cursor::skip_string() {
  ++p_;
  for (;;) {
    p_ = plain_end(p_, end_);
    if (p_ == end_)
      return malformed("a string does not end");
    if (*p_ == '"')
      return ++p_, true;
    if (*p_ != '\\')
      return malformed("a control character in a string must be escaped");
    if (!escape(nullptr))
      return false;
  }
}

bool json_cursor::escape(std::string* out) {
  const auto* at = p_++;
  if (p_ == end_)
    return malformed("a string does not end");
  unsigned code = 0;
  switch (*p_++) {
    case '"': code = '"'; break;
    case '\\': code = '\\'; break;
    case '/': code = '/'; break;
    case 'b': code = '\b'; break;
    case 'f': code = '\f'; break;
    case 'n': code = '\n'; break;
    case 'r': code = '\r'; break;
    case 't': code = '\t'; break;
    case 'u':
      if (!hex4(code))
        return false;
      if (code >= 0xdc00 && code < 0xe000)
        return fail(json_fault::malformed, "a low surrogate without its high one", at);
      if (code >= 0xd800 && code < 0xdc00) {
        unsigned low = 0;
        if (end_ - p_ < 2 || p_[0] != '\\' || p_[1] != 'u')
          return fail(json_fault::malformed, "a high surrogate without its low one", at);
        p_ += 2;
        if (!hex4(low))
          return false;
        if (low < 0xdc00 || low >= 0xe000)
          return fail(json_fault::malformed, "a high surrogate without its low one", at);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      }
      break;
    default: return fail(json_fault::malformed, "there is no such escape", at);
  }
  if (out)
    append_utf8(*out, code);
  return true;
}

bool json_cursor::hex4(unsigned& code) {
  code = 0;
  for (int i = 0; i < 4; ++i, ++p_) {
    if (p_ == end_)
      return malformed("a string does not end");
    const auto c = *p_;
    const auto digit = c >= '0' && c <= '9'   ? c - '0'
                       : c >= 'a' && c <= 'f' ? c - 'a' + 10
                       : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                              : -1;
    if (digit < 0)
      return malformed("expected four hexadecimal digits");
    code = code << 4 | static_cast<unsigned>(digit);
  }
  return true;
}

bool json_cursor::skip_number() {
  const auto digits = [this] {
    const auto* start = p_;
    while (p_ != end_ && *p_ >= '0' && *p_ <= '9')
      ++p_;
    return p_ != start;
  };
  if (*p_ == '-')
    ++p_;
  if (p_ != end_ && *p_ == '0')
    ++p_; // Nothing but a point or an exponent may follow; another digit fails where a comma is expected.
  else if (!digits())
    return malformed("expected a digit");
  if (p_ != end_ && *p_ == '.' && (++p_, !digits()))
    return malformed("expected a digit after the decimal point");
  if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
    ++p_;
    if (p_ != end_ && (*p_ == '+' || *p_ == '-'))
      ++p_;
    if (!digits())
      return malformed("expected a digit in the exponent");
  }
  return true;
}

bool json_cursor::skip_word(std::string_view word) {
  for (auto c : word) {
    if (p_ == end_ || *p_ != c)
      return malformed("expected true, false or null");
    ++p_;
  }
  return true;
}

bool json_cursor::skip_container(char closing) {
  if (!open(*p_, "expected a value"))
    return false;
  space();
  bool closed = p_ != end_ && *p_ == closing;
  if (closed)
    ++p_;
  while (!closed) {
    if (closing == '}') {
      space();
      if (p_ == end_ || *p_ != '"')
        return malformed("expected a key");
      if (!skip_string() || !colon())
        return false;
    }
    if (!skip() || (!comma(closing, closed) && !closed))
      return false;
  }
  --depth_;
  return true;
}

bool json_cursor::skip() {
  switch (type()) {
    case json_type::object: return skip_container('}');
    case json_type::array: return skip_container(']');
    case json_type::string: return skip_string();
    case json_type::number: return skip_number();
    case json_type::boolean: return skip_word(*p_ == 't' ? "true" : "false");
    case json_type::null: return skip_word("null");
    case json_type::none: break;
  }
  return malformed("expected a value");
}

bool json_cursor::number(std::string_view& token) {
  if (type() != json_type::number)
    return malformed("expected a number");
  return raw(token);
}

bool json_cursor::boolean(bool& value) {
  if (type() != json_type::boolean)
    return malformed("expected true or false");
  value = *p_ == 't';
  return skip();
}

bool json_cursor::raw(std::string_view& slice) {
  space();
  const auto* start = p_;
  if (!skip())
    return false;
  slice = {start, static_cast<std::size_t>(p_ - start)};
  return true;
}

bool json_cursor::finish() {
  SALLYPORT_ASSERT(depth_ == 0);
  space();
  if (p_ != end_ || cut_at_bad_utf8_)
    return malformed("something follows the end of the document");
  return true;
}

} // namespace sallyport::detail
