// A small JSON writer. (Reading is simdjson's work; see event.cpp and codec.cpp.) Appends to one string; commas are its own business.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport {

/// Appends text as a JSON string, quotes included. Invalid UTF-8 is replaced by U+FFFD, so that the output is always valid JSON.
void append_json_string(std::string& out, std::string_view text);

/// json_writer w; w.begin_object().field("a", 1).key("b").begin_array()...; w.take()
class json_writer {
public:
  json_writer& begin_object();
  json_writer& end_object();
  json_writer& begin_array();
  json_writer& end_array();
  json_writer& key(std::string_view name);
  json_writer& string(std::string_view text);
  /// Of text known to need no escapes: names in our tables, ids. Not looked at.
  json_writer& plain_key(std::string_view name);
  json_writer& plain_string(std::string_view text);
  json_writer& number(std::uint64_t n);
  json_writer& number(std::int64_t n);
  json_writer& number(double n); // Finite; written so that it reads back the same.
  json_writer& boolean(bool b);
  json_writer& null();
  json_writer& raw(std::string_view json); // Valid JSON, embedded as it is.

  json_writer& field(std::string_view name, std::string_view text) { return key(name).string(text); }
  json_writer& field(std::string_view name, const char* text) { return key(name).string(text); }
  json_writer& field(std::string_view name, bool b) { return key(name).boolean(b); }
  template <std::unsigned_integral T>
  json_writer& field(std::string_view name, T n) {
    return key(name).number(std::uint64_t{n});
  }
  template <std::signed_integral T>
  json_writer& field(std::string_view name, T n) {
    return key(name).number(std::int64_t{n});
  }

  void reserve(std::size_t bytes) { out_.reserve(bytes); }
  [[nodiscard]] std::string take() { return std::move(out_); }
  [[nodiscard]] const std::string& view() const { return out_; }

private:
  void separate();

  std::string out_;
  bool needs_comma_ = false;
};

} // namespace sallyport
