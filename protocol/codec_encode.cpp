#include "protocol/codec.hpp"
#include "protocol/codec_tables.hpp"
#include "protocol/json.hpp"

#include <functional>
#include <type_traits>

namespace sallyport::wire {

namespace {

// One line each, to be read as a table.
// clang-format off
void write(json_writer& w, bool v) { w.boolean(v); }
void write(json_writer& w, std::uint32_t v) { w.number(std::uint64_t{v}); }
void write(json_writer& w, std::uint64_t v) { w.number(v); }
void write(json_writer& w, milliseconds v) { w.number(std::int64_t{v.count()}); }
void write(json_writer& w, wall_time v) { w.string(to_rfc3339(v)); }
void write(json_writer& w, epoch_number v) { w.number(v.value); }
void write(json_writer& w, fence_token v) { w.plain_string(id_text{v}.view()); }
void write(json_writer& w, message_id v) { w.plain_string(id_text{v}.view()); }
void write(json_writer& w, session_id v) { w.plain_string(id_text{v}.view()); }
void write(json_writer& w, errc v) { w.plain_string(to_string(v)); }
void write(json_writer& w, const std::string& v) { w.string(v); }
void write(json_writer& w, const shared_bytes& v) { w.raw(*v); }
template <class Tag>
void write(json_writer& w, const name_of<Tag>& v) { w.string(v.value); }
template <enumeration Enum>
void write(json_writer& w, Enum v) { w.plain_string(to_string(v)); }
template <class T>
void write(json_writer& w, const std::vector<T>& v);
template <described Struct>
void write(json_writer& w, const Struct& v);
template <class T>
void write(json_writer& w, const std::optional<T>& v) { write(w, *v); }
// clang-format on

void write_hex(json_writer& w, std::uint64_t v) {
  std::string digits(16, '0');
  for (std::size_t i = 16; v != 0; v >>= 4)
    digits[--i] = "0123456789abcdef"[v & 15];
  w.string(digits);
}

template <class Struct, form Form, class Member>
void write_field(json_writer& w, const Struct& v, const field<Form, Member>& f) {
  static const Struct defaults{};
  const auto& value = std::invoke(f.member, v);
  if (!f.is_required && is_default(value, std::invoke(f.member, defaults)))
    return;
  w.plain_key(f.name);
  if constexpr (Form == form::hex)
    write_hex(w, value);
  else if constexpr (Form == form::json)
    w.raw(value);
  else
    write(w, value);
}

// RFC 9457 for one item of a list: the fields of a problem that say something here.
void write_more(json_writer& w, const verdict& v) {
  if (!v.code)
    return;
  w.field("status", std::int64_t{http_status(*v.code)});
  w.field("detail", sentence(*v.code));
}
template <class Struct>
void write_more(json_writer&, const Struct&) {}

verdict with_code(verdict v) {
  v.code = code_of(v);
  return v;
}
template <class Struct>
const Struct& with_code(const Struct& v) {
  return v;
}

template <class T>
void write(json_writer& w, const std::vector<T>& v) {
  w.begin_array();
  for (const auto& element : v)
    write(w, element);
  w.end_array();
}

template <described Struct>
void write(json_writer& w, const Struct& given) {
  const auto& v = with_code(given);
  w.begin_object();
  std::apply([&](const auto&... f) { (write_field(w, v, f), ...); }, fields<Struct>);
  write_more(w, v);
  w.end_object();
}

template <class T>
std::string to_json(const T& v, std::size_t bytes = 256) {
  json_writer w;
  w.reserve(bytes);
  write(w, v);
  return w.take();
}

} // namespace

std::optional<errc> code_of(const verdict& v) {
  if (!v.code)
    switch (v.kind) {
      case verdict_kind::stale: return errc::stale_fence;
      case verdict_kind::burnt: return errc::burnt_fence;
      case verdict_kind::unknown: return errc::unknown_fence;
      case verdict_kind::settled:
      case verdict_kind::already: break;
    }
  return v.code;
}

std::string encode(const claim_reply& v) {
  // One allocation for the whole reply: everything about a grant but its event and names fits into 256 bytes, and no character of
  // a partition key takes more than six.
  std::size_t bytes = 32;
  for (const auto& g : v.grants)
    bytes += 256 + g.event->size() + g.connection.value.size() + 6 * g.partition_key.size();
  return to_json(v, bytes);
}

std::string encode(const settle& v) {
  std::size_t bytes = 128;
  for (const auto& item : v.items)
    bytes += 192 + item.error.size() + item.result.size();
  return to_json(v, bytes);
}

// One line each, to be read as a table.
// clang-format off
std::string encode(const enqueue_reply& v) { return to_json(v, 32 + 128 * v.messages.size()); }
std::string encode(const open_session& v) { return to_json(v); }
std::string encode(const session_opened& v) { return to_json(v); }
std::string encode(const heartbeat& v) { return to_json(v); }
std::string encode(const heartbeat_reply& v) { return to_json(v); }
std::string encode(const session_closed& v) { return to_json(v); }
std::string encode(const claim& v) { return to_json(v); }
std::string encode(const settle_reply& v) { return to_json(v, 32 + 128 * v.items.size()); }
std::string encode(const extend& v) { return to_json(v); }
std::string encode(const extend_reply& v) { return to_json(v); }
std::string encode(const message_view& v) { return to_json(v, 1024 + v.result.size()); }
std::string encode(const cancel_reply& v) { return to_json(v); }
std::string encode(const call_reply& v) { return to_json(v, 64 + v.result.size()); }
std::string encode(const policy_patch& v) { return to_json(v); }
std::string encode(const connection_view& v) { return to_json(v, 1024); }
std::string encode(const group_view& v) { return to_json(v, 4096); }
std::string encode(const groups_reply& v) { return to_json(v, 4096); }
std::string encode(const queue_page& v) { return to_json(v, 4096); }
std::string encode(const redrive& v) { return to_json(v); }
std::string encode(const count_reply& v) { return to_json(v); }
// clang-format on

std::string encode(const error& e) {
  const auto code = to_string(e.code);
  json_writer w;
  w.begin_object();
  w.field("type", std::string{"urn:sallyport:error:"}.append(code));
  w.field("title", sentence(e.code));
  w.field("status", std::int64_t{http_status(e.code)});
  if (!e.detail.empty())
    w.field("detail", e.detail);
  w.field("code", code);
  if (e.index)
    w.field("index", std::uint64_t{*e.index});
  if (e.retry_after_s)
    w.field("retry_after_s", std::uint64_t{*e.retry_after_s});
  if (e.code == errc::call_not_started || e.code == errc::call_outcome_unknown)
    w.field("outcome", e.code == errc::call_not_started ? "not_started" : "unknown");
  w.end_object();
  return w.take();
}

// One line each, to be read as a table.
// clang-format off
std::string_view to_string(reach v) { return words<reach>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(effect_promise v) { return words<effect_promise>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(session_command v) { return words<session_command>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(outcome_kind v) { return words<outcome_kind>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(failure_scope v) { return words<failure_scope>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(effect_state v) { return words<effect_state>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(verdict_kind v) { return words<verdict_kind>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(on_dead v) { return words<on_dead>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(on_unknown_effect v) { return words<on_unknown_effect>.at(static_cast<std::size_t>(v)); }
std::string_view to_string(fingerprint_policy v) { return words<fingerprint_policy>.at(static_cast<std::size_t>(v)); }
// clang-format on

} // namespace sallyport::wire
