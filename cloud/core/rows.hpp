// The rows of the meta tree: little-endian fields behind a format byte, length-prefixed strings. Keys are big-endian so that they rise
// with the order of creation. Internal to cloud/core.
//
//   c <queue index>    connection: names, policy            g <agent index>   agent and its last session
//   m <message id>     message without its event
#pragma once

#include "protocol/ids.hpp"
#include "protocol/time.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace sallyport::cloud {

inline void append_be(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift));
}
inline std::uint64_t read_be(std::string_view bytes) {
  std::uint64_t value = 0;
  for (unsigned char c : bytes)
    value = value << 8 | c;
  return value;
}
inline std::string message_key(char kind, message_id id) {
  std::string key;
  key.reserve(17);
  key.push_back(kind);
  append_be(key, id.epoch, 8);
  append_be(key, id.serial, 8);
  return key;
}
inline std::string index_key(char kind, std::uint32_t index) {
  std::string key(1, kind);
  append_be(key, index, 4);
  return key;
}

class row_writer {
public:
  explicit row_writer(std::uint8_t format) { num(format); }
  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void num(T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void text(std::string_view s) {
    num(static_cast<std::uint32_t>(s.size()));
    out_.append(s);
  }
  void pair(std::uint64_t a, std::uint64_t b) { num(a), num(b); }
  void time(wall_time t) { num(static_cast<std::int64_t>(t.time_since_epoch().count())); }
  void span(milliseconds d) { num(static_cast<std::int64_t>(d.count())); }
  std::string take() { return std::move(out_); }

private:
  std::string out_;
};

/// Reads what row_writer wrote. After a short read everything is zero and ok() is false.
class row_reader {
public:
  explicit row_reader(std::string_view in) : in_(in) {}
  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T> T num() {
    T value{};
    if (in_.size() < sizeof value)
      return ok_ = false, in_ = {}, value;
    std::memcpy(&value, in_.data(), sizeof value);
    in_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view text() {
    const auto size = num<std::uint32_t>();
    if (in_.size() < size)
      return ok_ = false, in_ = {}, std::string_view{};
    auto s = in_.substr(0, size);
    in_.remove_prefix(size);
    return s;
  }
  template <class Id>
  Id pair() {
    const auto a = num<std::uint64_t>();
    return {a, num<std::uint64_t>()};
  }
  wall_time time() { return wall_time{milliseconds{num<std::int64_t>()}}; }
  milliseconds span() { return milliseconds{num<std::int64_t>()}; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return ok_ && in_.empty(); }

private:
  std::string_view in_;
  bool ok_ = true;
};

} // namespace sallyport::cloud
