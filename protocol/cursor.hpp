// A strict pull reader for JSON (RFC 8259): every byte it passes is checked, also those it is told to skip, so a slice it hands out is
// valid JSON and can be embedded as it is. Numbers are tokens of any range. Private to protocol/; one cursor belongs to one function
// call. Why not simdjson alone: docs/adr/0004-event-validation.md.
#pragma once

#include "protocol/errors.hpp"

#include <array>
#include <cstddef>
#include <list>
#include <string>
#include <string_view>

namespace sallyport::detail {

enum class json_type : std::uint8_t { none, object, array, string, number, boolean, null };

/// "an object", "a string", ...: for "expected a string, found an object".
[[nodiscard]] std::string_view with_article(json_type t);

enum class json_fault : std::uint8_t { none, malformed, invalid_utf8, duplicate_key, too_deep, too_many_members };

/// The keys of one object, told apart after unescaping: "id" and "\u0069d" are the same key.
class key_set {
public:
  static constexpr std::size_t limit = 64; // Of members; keeps the linear search short whatever is sent.

  enum class verdict : std::uint8_t { fresh, repeated, too_many };
  /// `key` must stay valid; keys that were unescaped are copied.
  verdict add(std::string_view& key, bool is_temporary);

private:
  struct span { // Not string_view, which would be zeroed 64 times for every object read.
    const char* data;
    std::size_t size;
  };
  std::array<span, limit> keys_;
  std::size_t size_ = 0;
  std::list<std::string> unescaped_;
};

class json_cursor {
public:
  static constexpr std::size_t depth_limit = 1000; // Beyond any setting: skipping recurses.

  /// Checks the whole text's UTF-8 first. `text` outlives the cursor and every view taken from it.
  json_cursor(std::string_view text, std::size_t depth_max);
  json_cursor(const json_cursor&) = delete;
  json_cursor& operator=(const json_cursor&) = delete;

  /// The type of the value that comes next; none if there is none (which is no fault yet).
  [[nodiscard]] json_type type();

  /// Where the next token begins, and the bytes from there to the end of the last one.
  [[nodiscard]] const char* position() {
    space();
    return p_;
  }
  [[nodiscard]] std::string_view since(const char* start) const { return {start, static_cast<std::size_t>(p_ - start)}; }

  // Each of these takes the next value, or returns false: then fault() says why, or the callback had refused.

  /// Calls f(key) for each member; f takes the value and returns false to stop. A key that comes twice is a fault.
  template <class F>
  bool members(F&& f);
  /// Calls f(index) for each element; f takes it and returns false to stop.
  template <class F>
  bool elements(F&& f);
  /// The text without quotes and escapes; valid until the next string or key is read.
  bool string(std::string_view& text);
  /// The token as it is written.
  bool number(std::string_view& token);
  bool boolean(bool& value);
  /// Any value; `slice` is exactly its bytes.
  bool raw(std::string_view& slice);
  bool skip();
  /// Nothing but white space may follow.
  bool finish();

  [[nodiscard]] json_fault fault() const;
  /// "at byte 17: expected a colon". Only after a fault.
  [[nodiscard]] std::string describe_fault() const;

private:
  bool fail(json_fault fault, const char* what, const char* at);
  bool malformed(const char* what);
  void space() {
    while (p_ != end_ && static_cast<unsigned char>(*p_) <= ' ' && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t'))
      ++p_;
  }
  bool open(char bracket, const char* what);
  /// After a value in a container: takes the comma (true) or the closing bracket (false with `closed`).
  bool comma(char closing, bool& closed);
  bool key(std::string_view& name, key_set& seen);
  bool colon();
  bool skip_string();
  bool skip_number();
  bool skip_word(std::string_view word);
  bool skip_container(char closing);
  bool escape(std::string* out);
  bool hex4(unsigned& code);

  const char* begin_;
  const char* end_;
  const char* p_;
  std::size_t depth_ = 0;
  std::size_t depth_max_;
  bool cut_at_bad_utf8_ = false; // end_ is where the first invalid sequence begins.
  json_fault fault_ = json_fault::none;
  const char* fault_what_ = "";
  const char* fault_at_ = nullptr;
  std::string fault_key_;
  std::string scratch_;
};

template <class F>
bool json_cursor::members(F&& f) {
  if (!open('{', "expected an object"))
    return false;
  key_set seen;
  space();
  bool closed = p_ != end_ && *p_ == '}';
  if (closed)
    ++p_;
  while (!closed) {
    std::string_view name;
    if (!key(name, seen) || !f(name) || (!comma('}', closed) && !closed))
      return false;
  }
  --depth_;
  return true;
}

template <class F>
bool json_cursor::elements(F&& f) {
  if (!open('[', "expected an array"))
    return false;
  space();
  bool closed = p_ != end_ && *p_ == ']';
  if (closed)
    ++p_;
  for (std::size_t index = 0; !closed; ++index)
    if (!f(index) || (!comma(']', closed) && !closed))
      return false;
  --depth_;
  return true;
}

} // namespace sallyport::detail
