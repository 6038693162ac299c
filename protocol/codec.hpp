// JSON for the wire structs. encode() never fails; decode() reads strictly (types, ranges, duplicate keys, unknown enum words) and says
// which field was wrong, but ignores fields it does not know, so that old and new versions of agent and hub work side by side.
// Pure functions; any thread.
#pragma once

#include "protocol/event.hpp"
#include "protocol/wire.hpp"

namespace sallyport::wire {

// One pair for each request and reply. decode<T> is specialised in codec.cpp for exactly the T below.
[[nodiscard]] std::string encode(const enqueue_reply& v);
[[nodiscard]] std::string encode(const open_session& v);
[[nodiscard]] std::string encode(const session_opened& v);
[[nodiscard]] std::string encode(const heartbeat& v);
[[nodiscard]] std::string encode(const heartbeat_reply& v);
[[nodiscard]] std::string encode(const session_closed& v);
[[nodiscard]] std::string encode(const claim& v);
[[nodiscard]] std::string encode(const claim_reply& v); // Events are embedded as the raw bytes they are.
[[nodiscard]] std::string encode(const settle& v);
[[nodiscard]] std::string encode(const settle_reply& v);
[[nodiscard]] std::string encode(const extend& v);
[[nodiscard]] std::string encode(const extend_reply& v);
[[nodiscard]] std::string encode(const message_view& v);
[[nodiscard]] std::string encode(const cancel_reply& v);
[[nodiscard]] std::string encode(const call_reply& v);
[[nodiscard]] std::string encode(const policy_patch& v);
[[nodiscard]] std::string encode(const connection_view& v);
[[nodiscard]] std::string encode(const group_view& v);
[[nodiscard]] std::string encode(const groups_reply& v);
[[nodiscard]] std::string encode(const queue_page& v);
[[nodiscard]] std::string encode(const redrive& v);
[[nodiscard]] std::string encode(const count_reply& v);
/// application/problem+json (RFC 9457): type, title, status, detail, code; index or retry_after_s where known; of a call that ran out
/// of time also its outcome.
[[nodiscard]] std::string encode(const error& v);

template <class T>
[[nodiscard]] result<T> decode(std::string_view body) = delete;

// One line each, to be read as a table.
// clang-format off
template <> result<enqueue_reply> decode(std::string_view body);
template <> result<open_session> decode(std::string_view body);
template <> result<session_opened> decode(std::string_view body);
template <> result<heartbeat> decode(std::string_view body);
template <> result<heartbeat_reply> decode(std::string_view body);
template <> result<session_closed> decode(std::string_view body);
template <> result<claim> decode(std::string_view body);
template <> result<claim_reply> decode(std::string_view body);
template <> result<settle> decode(std::string_view body);
template <> result<settle_reply> decode(std::string_view body);
template <> result<extend> decode(std::string_view body);
template <> result<extend_reply> decode(std::string_view body);
template <> result<message_view> decode(std::string_view body);
template <> result<cancel_reply> decode(std::string_view body);
template <> result<call_reply> decode(std::string_view body);
template <> result<policy_patch> decode(std::string_view body);
template <> result<connection_view> decode(std::string_view body);
template <> result<group_view> decode(std::string_view body);
template <> result<groups_reply> decode(std::string_view body);
template <> result<queue_page> decode(std::string_view body);
template <> result<redrive> decode(std::string_view body);
template <> result<count_reply> decode(std::string_view body);
// clang-format on

/// A problem+json body as the error it was; protocol_violation when it is not one. (`error` is the payload here, so no result<error>.)
[[nodiscard]] error decode_problem(std::string_view body);

} // namespace sallyport::wire
