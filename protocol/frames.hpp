// The framed form of what agent and hub say most often: grants, settlements and their verdicts, in bytes that are read without a look at
// the events between them (docs/adr/0018). The same structs and the same tables as the JSON of codec.hpp; both forms say the same.
//
//   body   = struct                             and nothing behind it
//   struct = length field*                      length: 4 bytes, little-endian, of the fields
//   field  = tag value                          tag: one byte, 4 × (line of the table, from 1) + kind
//   kind 0 = a varint                           numbers, milliseconds, booleans, enumerations (by their place in the words)
//   kind 1 = two varints                        ids and fences
//   kind 2 = length bytes                       text, names, raw JSON; structs; one field for each element of a list
//
// A varint has seven bits a byte, the lowest first, the high bit set in all but the last (LEB128). Fields come in the order of the table,
// or not at all where they hold their default; a reader passes over tags it does not know. Pure functions; any thread.
#pragma once

#include "protocol/result.hpp"
#include "protocol/wire.hpp"

#include <string>
#include <string_view>

namespace sallyport::wire {

inline constexpr std::string_view frames_type = "application/vnd.sallyport.frames";

[[nodiscard]] std::string encode_frames(const claim_reply& v);
[[nodiscard]] std::string encode_frames(const settle& v);
[[nodiscard]] std::string encode_frames(const settle_reply& v);

/// Strict, as decode() is: types, ranges, fields that come twice, unknown enumerators. Errors: invalid_request (what was wrong, and where),
/// malformed_json and invalid_utf8 (of a result). Events are not looked into but for their braces: the hub has validated them.
template <class T>
[[nodiscard]] result<T> decode_frames(std::string_view body) = delete;

template <>
result<claim_reply> decode_frames(std::string_view body);
template <>
result<settle> decode_frames(std::string_view body);
template <>
result<settle_reply> decode_frames(std::string_view body);

} // namespace sallyport::wire
