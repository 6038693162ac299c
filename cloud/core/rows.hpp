// The rows of the meta tree: little-endian fields behind a format byte, length-prefixed strings. Keys are big-endian so that they rise
// with the order of creation. Internal to cloud/core.
//
//   c <queue index>    connection: names, policy            g <agent index>   agent and its last session
//   m <message id>     message without its event
#pragma once

#include "cloud/store/port.hpp"
#include "protocol/ids.hpp"
#include "protocol/time.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace sallyport::cloud {

inline std::uint64_t read_be(std::string_view bytes) {
  std::uint64_t value = 0;
  for (unsigned char c : bytes)
    value = value << 8 | c;
  return value;
}
inline void write_be(char* to, std::uint64_t value, std::size_t bytes) {
  while (bytes-- != 0)
    to[bytes] = static_cast<char>(value), value >>= 8;
}
inline record_key message_key(char kind, message_id id) {
  char key[17] = {kind};
  write_be(key + 1, id.epoch, 8);
  write_be(key + 9, id.serial, 8);
  return std::string_view{key, sizeof key};
}
inline record_key index_key(char kind, std::uint32_t index) {
  char key[5] = {kind};
  write_be(key + 1, index, 4);
  return std::string_view{key, sizeof key};
}

/// Gathers in place, so that a row of usual length is one allocation.
class row_writer {
public:
  explicit row_writer(std::uint8_t format) { num(format); }
  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void num(T value) { std::memcpy(room(sizeof value), &value, sizeof value); }
  void text(std::string_view s) {
    num(static_cast<std::uint32_t>(s.size()));
    if (s.size() <= sizeof near_)
      std::copy(s.begin(), s.end(), room(s.size()));
    else
      spill(), far_ += s;
  }
  void pair(std::uint64_t a, std::uint64_t b) { num(a), num(b); }
  void time(wall_time t) { num(static_cast<std::int64_t>(t.time_since_epoch().count())); }
  void span(milliseconds d) { num(static_cast<std::int64_t>(d.count())); }
  std::string take() {
    if (far_.empty())
      return {near_, used_};
    spill();
    return std::move(far_);
  }

private:
  char* room(std::size_t bytes) {
    if (used_ + bytes > sizeof near_)
      spill();
    used_ += bytes;
    return near_ + used_ - bytes;
  }
  void spill() {
    far_.append(near_, used_);
    used_ = 0;
  }

  std::size_t used_ = 0;
  char near_[512];
  std::string far_; // What came before, once it has become too much.
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
