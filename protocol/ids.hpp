// Strong ids: a mixed-up pair of integers compiles; a mixed-up pair of these does not.
// Values only; no owner, any thread.
#pragma once

#include "protocol/result.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport {

/// The hub's life number: rises at every open of the store, over crashes and restored backups.
struct epoch_number {
  std::uint64_t value = 0;
  friend auto operator<=>(const epoch_number&, const epoch_number&) = default;
};

/// The fence of a grant: (epoch, counter), only ever rising. Wire form "<epoch>-<counter>", opaque to everybody but the hub.
struct fence_token {
  std::uint64_t epoch = 0;
  std::uint64_t counter = 0;
  friend auto operator<=>(const fence_token&, const fence_token&) = default;
  [[nodiscard]] bool is_none() const { return epoch == 0 && counter == 0; }
};

/// A message's id, with the epoch of its birth. Wire form "m<epoch>-<serial>". Ids rise in the order of enqueueing.
struct message_id {
  std::uint64_t epoch = 0;
  std::uint64_t serial = 0;
  friend auto operator<=>(const message_id&, const message_id&) = default;
};

/// A session's id. Wire form "s<epoch>-<serial>".
struct session_id {
  std::uint64_t epoch = 0;
  std::uint64_t serial = 0;
  friend auto operator<=>(const session_id&, const session_id&) = default;
  [[nodiscard]] bool is_none() const { return epoch == 0 && serial == 0; }
};

[[nodiscard]] std::string to_string(fence_token fence);
[[nodiscard]] std::string to_string(message_id id);
[[nodiscard]] std::string to_string(session_id id);
[[nodiscard]] std::optional<fence_token> parse_fence(std::string_view text);
[[nodiscard]] std::optional<message_id> parse_message_id(std::string_view text);
[[nodiscard]] std::optional<session_id> parse_session_id(std::string_view text);

/// A string that knows what it names. Compared and hashed like the string.
template <class Tag>
struct name_of {
  std::string value;
  friend auto operator<=>(const name_of&, const name_of&) = default;
  [[nodiscard]] const std::string& str() const { return value; }
  [[nodiscard]] bool empty() const { return value.empty(); }
};

using group_name = name_of<struct group_tag>;
using connection_name = name_of<struct connection_tag>;
using agent_name = name_of<struct agent_tag>;
/// Random, made once per state directory: tells an agent from an impostor of the same name.
using agent_id = name_of<struct agent_id_tag>;
/// Random, chosen by the agent: one of its at most eight claim lanes.
using lane_id = name_of<struct lane_tag>;

/// A group, connection or agent name: 1 to 63 of [a-z 0-9 . _ -], beginning with a letter or digit.
[[nodiscard]] bool is_valid_name(std::string_view text);
/// An agent id or lane id: 1 to 64 of [A-Z a-z 0-9 _ -].
[[nodiscard]] bool is_valid_token_id(std::string_view text);

/// A process life of an agent (raised and fsynced at every start), and a session wanted within it. Compared as a pair.
struct incarnation {
  std::uint64_t process = 0;
  std::uint64_t opening = 0;
  friend auto operator<=>(const incarnation&, const incarnation&) = default;
};

/// 128 bits of a hash.
struct digest128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const digest128&, const digest128&) = default;
};

/// XXH3-128: tells whether an id that comes again comes with the same bytes. Fast, the same on every machine, and not cryptographic: who
/// makes two events collide only has his own second one taken for a duplicate (ADR 0014).
[[nodiscard]] digest128 content_digest(std::string_view bytes);

/// First 16 bytes of SHA-256 over the parts, each preceded by its length, so that ("ab","c") and ("a","bc") differ.
[[nodiscard]] digest128 hash_parts(std::initializer_list<std::string_view> parts);

/// The wire form of an id or fence, in place: for where thousands are written.
class id_text {
public:
  explicit id_text(fence_token f) : id_text(0, f.epoch, f.counter) {}
  explicit id_text(message_id m) : id_text('m', m.epoch, m.serial) {}
  explicit id_text(session_id s) : id_text('s', s.epoch, s.serial) {}
  [[nodiscard]] std::string_view view() const { return {text_.data(), size_}; }

private:
  id_text(char prefix, std::uint64_t first, std::uint64_t second);

  std::array<char, 42> text_;
  std::uint8_t size_ = 0;
};

/// Order-free summary of the fences an agent holds: XOR of the first 8 bytes (big endian) of SHA-256 of each fence's wire form.
/// Sent with a heartbeat so that the hub notices a disagreement without a list.
class held_summary {
public:
  void add(fence_token fence) { toggle(fence), ++count_; }
  void remove(fence_token fence) { toggle(fence), --count_; } // The fence must be in.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  friend bool operator==(const held_summary&, const held_summary&) = default;

private:
  void toggle(fence_token fence);

  std::uint64_t count_ = 0;
  std::uint64_t hash_ = 0;
};

} // namespace sallyport

template <class Tag>
struct std::hash<sallyport::name_of<Tag>> {
  std::size_t operator()(const sallyport::name_of<Tag>& name) const noexcept { return std::hash<std::string>{}(name.value); }
};
template <>
struct std::hash<sallyport::message_id> {
  std::size_t operator()(sallyport::message_id id) const noexcept { return id.serial * 0x9e3779b97f4a7c15u ^ id.epoch; }
};
template <>
struct std::hash<sallyport::session_id> {
  std::size_t operator()(sallyport::session_id id) const noexcept { return id.serial * 0x9e3779b97f4a7c15u ^ id.epoch; }
};
template <>
struct std::hash<sallyport::fence_token> {
  std::size_t operator()(sallyport::fence_token f) const noexcept { return f.counter * 0x9e3779b97f4a7c15u ^ f.epoch; }
};
template <>
struct std::hash<sallyport::digest128> {
  std::size_t operator()(const sallyport::digest128& d) const noexcept { return d.low; }
};
