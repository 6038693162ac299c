// One table per wire struct, read by encoder and decoder alike, so that they cannot disagree. A line gives a field's JSON name, its
// member and what is allowed. Optional fields are left out when they hold their default. Private to codec_*.cpp.
// The framed form (frames.hpp) knows a field by its line: tables of grants, settlements and verdicts grow at their end only, and so do the
// words of their enumerations.
#pragma once

#include "protocol/wire.hpp"

#include <array>
#include <tuple>
#include <type_traits>

namespace sallyport::wire {

/// Of a number: its value. Of a duration: its milliseconds. Of a string or raw JSON: its bytes.
struct range {
  std::uint64_t min = 0;
  std::uint64_t max = UINT64_MAX;
};

enum class form : std::uint8_t {
  plain,
  json, // A string that holds JSON: embedded as it is; empty means none.
  hex,  // A 64-bit number as 16 hex digits, for readers whose numbers are doubles.
};

template <form Form, class Member>
struct field {
  std::string_view name;
  Member member;
  bool is_required;
  range allowed;
};

template <form Form = form::plain, class Member>
constexpr auto required(std::string_view name, Member member, range allowed = {}) {
  return field<Form, Member>{name, member, true, allowed};
}
template <form Form = form::plain, class Member>
constexpr auto optional(std::string_view name, Member member, range allowed = {}) {
  return field<Form, Member>{name, member, false, allowed};
}

constexpr range at_least_one{1, UINT64_MAX};
constexpr range credits{0, 1'000'000};
constexpr range duration_ms{0, 366ull * 24 * 3'600'000};
constexpr range wait_ms{0, 50'000};
constexpr range word{1, 63};
constexpr range line{0, 1024};
constexpr range paragraph{0, 16 * 1024};
constexpr range result_bytes{0, 256 * 1024};

template <class Struct>
constexpr auto fields = std::tuple<>{};

/// What has a table below.
template <class T>
concept described = (std::tuple_size_v<std::remove_const_t<decltype(fields<T>)>> > 0);

template <class T>
concept enumeration = std::is_enum_v<T>;

template <class T>
bool is_default(const T& v, const T& fallback) {
  return v == fallback;
}
template <class T>
bool is_default(const std::vector<T>& v, const std::vector<T>&) {
  return v.empty();
}
template <class T>
bool is_default(const std::optional<T>& v, const std::optional<T>&) {
  return !v;
}

template <class Tag>
constexpr bool is_token = std::is_same_v<name_of<Tag>, agent_id> || std::is_same_v<name_of<Tag>, lane_id>;
template <class Tag>
constexpr std::string_view form_of_names =
  is_token<Tag> ? "1 to 64 of A-Z a-z 0-9 _ -" : "1 to 63 of a-z 0-9 . _ - beginning with a letter or digit";
template <class Tag>
bool is_acceptable(std::string_view text) {
  return is_token<Tag> ? is_valid_token_id(text) : is_valid_name(text);
}

/// The verdict's code, or the one that follows from its kind.
[[nodiscard]] std::optional<errc> code_of(const verdict& v);

// One line each, to be read as a table.
// clang-format off
// ---- enqueue -----------------------------------------------------------------------------------------------------------------

template <>
inline constexpr auto fields<enqueued_item> = std::tuple{
  required("message", &enqueued_item::message),
  required("source", &enqueued_item::source),
  required("id", &enqueued_item::id),
  required("duplicate", &enqueued_item::duplicate)};

template <>
inline constexpr auto fields<enqueue_reply> = std::tuple{
  required("messages", &enqueue_reply::messages)};

// ---- sessions ----------------------------------------------------------------------------------------------------------------

template <>
inline constexpr auto fields<announced_connection> = std::tuple{
  required("name", &announced_connection::name),
  required("adapter", &announced_connection::adapter, word),
  optional("effect", &announced_connection::effect),
  optional("fingerprint", &announced_connection::fingerprint, line),
  optional("state", &announced_connection::state),
  optional("detail", &announced_connection::detail, paragraph)};

template <>
inline constexpr auto fields<held_grant> = std::tuple{
  required("message", &held_grant::message),
  required("fence", &held_grant::fence)};

template <>
inline constexpr auto fields<open_session> = std::tuple{
  required("group", &open_session::group),
  required("agent", &open_session::agent),
  required("agent_id", &open_session::id),
  required("incarnation", [](auto& o) -> auto& { return o.life.process; }),
  required("opening", [](auto& o) -> auto& { return o.life.opening; }),
  optional("version", &open_session::version, line),
  optional("connections", &open_session::connections),
  optional("highest_epoch", &open_session::highest_epoch),
  optional("held", &open_session::held)};

template <>
inline constexpr auto fields<session_opened> = std::tuple{
  required("session", &session_opened::session),
  required("ttl_ms", &session_opened::ttl, duration_ms),
  required("heartbeat_ms", &session_opened::heartbeat, duration_ms),
  required("epoch", &session_opened::epoch),
  required("lost", &session_opened::lost)};

template <>
inline constexpr auto fields<connection_state> = std::tuple{
  required("name", &connection_state::name),
  required("state", &connection_state::state),
  optional("detail", &connection_state::detail, paragraph)};

template <>
inline constexpr auto fields<lane_position> = std::tuple{
  required("lane", &lane_position::lane),
  required("seq", &lane_position::seq)};

template <>
inline constexpr auto fields<held_list> = std::tuple{
  required("lanes", &held_list::lanes),
  required("held", &held_list::held)};

template <>
inline constexpr auto fields<heartbeat> = std::tuple{
  optional("connections", &heartbeat::connections),
  optional("held_count", &heartbeat::held_count),
  optional<form::hex>("held_hash", &heartbeat::held_hash),
  optional("list", &heartbeat::list)};

template <>
inline constexpr auto fields<heartbeat_reply> = std::tuple{
  required("ttl_ms", &heartbeat_reply::ttl, duration_ms),
  required("epoch", &heartbeat_reply::epoch),
  required("commands", &heartbeat_reply::commands),
  required("lost", &heartbeat_reply::lost)};

template <>
inline constexpr auto fields<session_closed> = std::tuple{
  required("returned", &session_closed::returned)};

// ---- claims ------------------------------------------------------------------------------------------------------------------

template <>
inline constexpr auto fields<connection_credit> = std::tuple{
  required("name", &connection_credit::name),
  required("credit", &connection_credit::credit, credits)};

template <>
inline constexpr auto fields<claim> = std::tuple{
  required("lane", &claim::lane),
  required("seq", &claim::seq, at_least_one),
  required("max_messages", &claim::max_messages, range{1, 1'000'000}),
  required("max_bytes", &claim::max_bytes, range{1, 1ull << 40}),
  optional("wait_ms", &claim::wait, wait_ms),
  required("connections", &claim::connections)};

template <>
inline constexpr auto fields<grant> = std::tuple{
  required("message", &grant::message),
  required("fence", &grant::fence),
  required("connection", &grant::connection),
  required("attempt", &grant::attempt, range{1, UINT32_MAX}),
  required("attempt_timeout_ms", &grant::attempt_timeout, duration_ms),
  optional("partition_key", &grant::partition_key),
  optional("call", &grant::call),
  required("event", &grant::event)};

template <>
inline constexpr auto fields<claim_reply> = std::tuple{
  required("grants", &claim_reply::grants)};

// ---- settlements -------------------------------------------------------------------------------------------------------------

template <>
inline constexpr auto fields<settlement> = std::tuple{
  required("message", &settlement::message),
  required("fence", &settlement::fence),
  required("outcome", &settlement::outcome),
  optional("scope", &settlement::scope),
  optional("retryable", &settlement::retryable),
  optional("effect", &settlement::effect),
  optional("error", &settlement::error),
  optional("delay_ms", &settlement::delay, duration_ms),
  optional("started", &settlement::started),
  optional<form::json>("result", &settlement::result, result_bytes)};

template <>
inline constexpr auto fields<settle> = std::tuple{
  optional("agent_id", &settle::agent),
  required("items", &settle::items)};

template <>
inline constexpr auto fields<verdict> = std::tuple{
  required("message", &verdict::message),
  required("fence", &verdict::fence),
  required("verdict", &verdict::kind),
  optional("state", &verdict::state),
  optional("outcome", &verdict::outcome),
  optional("code", &verdict::code)}; // The encoder adds status and detail.

template <>
inline constexpr auto fields<settle_reply> = std::tuple{
  required("items", &settle_reply::items)};

template <>
inline constexpr auto fields<extension> = std::tuple{
  required("message", &extension::message),
  required("fence", &extension::fence),
  required("more_ms", &extension::more, duration_ms)};

template <>
inline constexpr auto fields<extend> = std::tuple{
  required("items", &extend::items)};

template <>
inline constexpr auto fields<extend_reply> = std::tuple{
  required("items", &extend_reply::items)};

// ---- messages and calls --------------------------------------------------------------------------------------------------------

template <>
inline constexpr auto fields<history_entry> = std::tuple{
  required("at", &history_entry::at),
  required("what", &history_entry::what),
  optional("agent", &history_entry::agent),
  optional("session", &history_entry::session),
  optional("fence", &history_entry::fence),
  optional("detail", &history_entry::detail)};

template <>
inline constexpr auto fields<message_view> = std::tuple{
  required("message", &message_view::message),
  required("group", &message_view::group),
  required("connection", &message_view::connection),
  required("state", &message_view::state),
  required("source", &message_view::source),
  required("id", &message_view::id),
  required("attempts", &message_view::attempts),
  required("losses", &message_view::losses),
  required("maybe_started", &message_view::maybe_started),
  required("enqueued_at", &message_view::enqueued_at),
  optional("due_at", &message_view::due_at),
  optional("holder", &message_view::holder),
  optional("error", &message_view::error),
  optional<form::json>("result", &message_view::result),
  required("history", &message_view::history)};

template <>
inline constexpr auto fields<cancel_reply> = std::tuple{
  required("message", &cancel_reply::message),
  required("may_have_run", &cancel_reply::may_have_run)};

template <>
inline constexpr auto fields<call_reply> = std::tuple{
  required("message", &call_reply::message),
  optional<form::json>("result", &call_reply::result)};

// ---- operating -----------------------------------------------------------------------------------------------------------------

// The same names for the policy as it is (every field) and as a patch (those that change).
template <class Policy, bool Required>
constexpr auto policy_fields() {
  const auto line = [](std::string_view name, auto member, range allowed = {}) {
    return field<form::plain, decltype(member)>{name, member, Required, allowed};
  };
  return std::tuple{
    line("max_attempts", &Policy::max_attempts, range{1, 1'000'000}),
    line("backoff_min_ms", &Policy::backoff_min, duration_ms),
    line("backoff_max_ms", &Policy::backoff_max, duration_ms),
    line("attempt_timeout_ms", &Policy::attempt_timeout, range{1, duration_ms.max}),
    line("hold_limit_ms", &Policy::hold_limit, duration_ms),
    line("message_ttl_ms", &Policy::message_ttl, duration_ms),
    line("max_in_flight", &Policy::max_in_flight),
    line("max_messages", &Policy::max_messages),
    line("retention_ms", &Policy::retention, duration_ms),
    line("retention_count", &Policy::retention_count),
    line("paused", &Policy::paused),
    line("on_dead", &Policy::dead),
    line("on_unknown_effect", &Policy::unknown_effect),
    line("fingerprints", &Policy::fingerprints)};
}

template <>
inline constexpr auto fields<queue_policy> = policy_fields<queue_policy, true>();
template <>
inline constexpr auto fields<policy_patch> = policy_fields<policy_patch, false>();

template <>
inline constexpr auto fields<connection_view> = std::tuple{
  required("name", &connection_view::name),
  required("policy", &connection_view::policy),
  required("ready", &connection_view::ready),
  required("delayed", &connection_view::delayed),
  required("behind_key", &connection_view::behind_key),
  required("granted", &connection_view::granted),
  required("dead", &connection_view::dead),
  required("retained", &connection_view::retained),
  required("enqueued_total", &connection_view::enqueued_total),
  required("settled_total", &connection_view::settled_total),
  required("failed_total", &connection_view::failed_total),
  required("lost_total", &connection_view::lost_total),
  optional("oldest_age_ms", &connection_view::oldest_age),
  required("retention_now_ms", &connection_view::retention_now),
  required("target_state", &connection_view::target_state),
  optional("target_retry_at", &connection_view::target_retry_at),
  required("fingerprints_differ", &connection_view::fingerprints_differ),
  optional("adapter", &connection_view::adapter),
  optional("effect", &connection_view::effect)};

template <>
inline constexpr auto fields<agent_view> = std::tuple{
  required("name", &agent_view::name),
  optional("session", &agent_view::session),
  optional("version", &agent_view::version),
  required("live", &agent_view::live),
  required("held", &agent_view::held),
  required("granted_total", &agent_view::granted_total),
  required("settled_total", &agent_view::settled_total),
  required("lost_total", &agent_view::lost_total),
  required("connections", &agent_view::connections)};

template <>
inline constexpr auto fields<group_view> = std::tuple{
  required("name", &group_view::name),
  required("agents", &group_view::agents),
  required("connections", &group_view::connections)};

template <>
inline constexpr auto fields<groups_reply> = std::tuple{
  required("groups", &groups_reply::groups)};

template <>
inline constexpr auto fields<queued_view> = std::tuple{
  required("message", &queued_view::message),
  required("source", &queued_view::source),
  required("id", &queued_view::id),
  required("state", &queued_view::state),
  required("attempts", &queued_view::attempts),
  required("losses", &queued_view::losses),
  required("enqueued_at", &queued_view::enqueued_at),
  optional("error", &queued_view::error),
  optional<form::json>("event", &queued_view::event)};

template <>
inline constexpr auto fields<queue_page> = std::tuple{
  required("messages", &queue_page::messages),
  optional("next", &queue_page::next)};

template <>
inline constexpr auto fields<redrive> = std::tuple{
  optional("messages", &redrive::messages)};

template <>
inline constexpr auto fields<count_reply> = std::tuple{
  required("count", &count_reply::count)};

// ---- words ---------------------------------------------------------------------------------------------------------------------

template <class Enum>
constexpr auto words = std::array<std::string_view, 0>{};

template <>
inline constexpr auto words<reach> = std::array<std::string_view, 3>{"unknown", "up", "down"};
template <>
inline constexpr auto words<effect_promise> = std::array<std::string_view, 3>{"exactly_once", "idempotent", "at_least_once"};
template <>
inline constexpr auto words<session_command> = std::array<std::string_view, 2>{"list_held", "drain"};
template <>
inline constexpr auto words<outcome_kind> = std::array<std::string_view, 3>{"done", "failed", "release"};
template <>
inline constexpr auto words<failure_scope> = std::array<std::string_view, 2>{"message", "target"};
template <>
inline constexpr auto words<effect_state> = std::array<std::string_view, 2>{"none", "unknown"};
template <>
inline constexpr auto words<verdict_kind> = std::array<std::string_view, 5>{"settled", "already", "stale", "burnt", "unknown"};
template <>
inline constexpr auto words<on_dead> = std::array<std::string_view, 2>{"skip", "block"};
template <>
inline constexpr auto words<on_unknown_effect> = std::array<std::string_view, 2>{"retry", "dead_letter"};
template <>
inline constexpr auto words<fingerprint_policy> = std::array<std::string_view, 2>{"warn", "refuse"};
// clang-format on

} // namespace sallyport::wire
