#include "protocol/codec.hpp"
#include "protocol/codec_tables.hpp"
#include "protocol/cursor.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <type_traits>

namespace sallyport::wire {

namespace {

using detail::json_cursor;
using detail::json_fault;
using detail::json_type;

// The cursor, and what was wrong where. A refusal travels up as `false`, and each level puts its step before the path.
struct reader {
  json_cursor in;
  std::string path, problem; // "connections[2].credit", "expected ..."

  explicit reader(std::string_view body) : in(body, json_cursor::depth_limit) {}

  bool refuse(std::string what) {
    problem = std::move(what);
    return false;
  }
  bool below(std::string_view step) {
    if (in.fault() == json_fault::none)
      path.insert(0, path.empty() || path.front() == '[' ? std::string{step} : std::string{step} + '.');
    return false;
  }
  bool wants(json_type t) {
    const auto found = in.type();
    return found == t || found == json_type::none // Then the cursor itself will say what is wrong.
           || refuse(std::string{"expected "}.append(with_article(t)).append(", found ").append(with_article(found)));
  }
  [[nodiscard]] error failure() const {
    switch (in.fault()) {
      case json_fault::none: return make_error(errc::invalid_request, path.empty() ? problem : path + ": " + problem);
      case json_fault::malformed: return make_error(errc::malformed_json, in.describe_fault());
      case json_fault::invalid_utf8: return make_error(errc::invalid_utf8, in.describe_fault());
      case json_fault::duplicate_key: return make_error(errc::duplicate_key, in.describe_fault());
      case json_fault::too_deep:
      case json_fault::too_many_members: break;
    }
    return make_error(errc::invalid_request, in.describe_fault());
  }
};

bool read(reader& r, bool& v, range) {
  return r.wants(json_type::boolean) && r.in.boolean(v);
}

bool read(reader& r, std::uint64_t& v, range allowed) {
  std::string_view token;
  constexpr auto expected = "expected a non-negative integer";
  if (const auto found = r.in.type(); found != json_type::number && found != json_type::none)
    return r.refuse(expected);
  if (!r.in.number(token))
    return false;
  auto [end, ec] = std::from_chars(token.data(), token.data() + token.size(), v);
  if (end != token.data() + token.size())
    return r.refuse(expected);
  if (ec != std::errc{} || v < allowed.min || v > allowed.max)
    return r.refuse("expected an integer from " + std::to_string(allowed.min) + " to " + std::to_string(allowed.max));
  return true;
}

bool read(reader& r, std::uint32_t& v, range allowed) {
  std::uint64_t wide = 0;
  if (!read(r, wide, range{allowed.min, std::min<std::uint64_t>(allowed.max, UINT32_MAX)}))
    return false;
  v = static_cast<std::uint32_t>(wide);
  return true;
}

bool read(reader& r, milliseconds& v, range allowed) {
  std::uint64_t ms = 0;
  if (!read(r, ms, range{allowed.min, std::min<std::uint64_t>(allowed.max, INT64_MAX)}))
    return false;
  v = milliseconds{static_cast<std::int64_t>(ms)};
  return true;
}

bool read(reader& r, epoch_number& v, range allowed) {
  return read(r, v.value, allowed);
}

bool read(reader& r, std::string& v, range allowed) {
  std::string_view text;
  if (!r.wants(json_type::string) || !r.in.string(text))
    return false;
  if (text.size() < allowed.min || text.size() > allowed.max)
    return r.refuse("expected " + std::to_string(allowed.min) + " to " + std::to_string(allowed.max) + " bytes");
  v = text;
  return true;
}

// A string that parse() turns into the value, or not.
template <class T, class Parse>
bool read_parsed(reader& r, T& v, Parse parse, const char* expected) {
  std::string_view text;
  if (!r.wants(json_type::string) || !r.in.string(text))
    return false;
  auto parsed = parse(text);
  if (!parsed)
    return r.refuse(std::string{"expected "} + expected);
  v = std::move(*parsed);
  return true;
}

bool read(reader& r, fence_token& v, range) {
  return read_parsed(r, v, parse_fence, "a fence");
}
bool read(reader& r, message_id& v, range) {
  return read_parsed(r, v, parse_message_id, "a message id");
}
bool read(reader& r, session_id& v, range) {
  return read_parsed(r, v, parse_session_id, "a session id");
}
bool read(reader& r, wall_time& v, range) {
  return read_parsed(r, v, parse_rfc3339, "a time as in RFC 3339");
}

// A code that only a newer hub knows is as good as none: the verdict itself says what to do.
bool read(reader& r, std::optional<errc>& v, range) {
  std::string_view text;
  if (!r.wants(json_type::string) || !r.in.string(text))
    return false;
  v = parse_errc(text);
  return true;
}

template <class Tag>
bool read(reader& r, name_of<Tag>& v, range) {
  constexpr auto accept = [](std::string_view text) {
    return is_acceptable<Tag>(text) ? std::optional{name_of<Tag>{std::string{text}}} : std::nullopt;
  };
  return read_parsed(r, v, accept, form_of_names<Tag>.data());
}

template <enumeration Enum>
bool read(reader& r, Enum& v, range) {
  std::string_view text;
  if (!r.wants(json_type::string) || !r.in.string(text))
    return false;
  const auto& known = words<Enum>;
  const auto it = std::find(known.begin(), known.end(), text);
  if (it == known.end()) {
    std::string expected = "expected one of";
    for (auto each : known)
      expected.append(" ").append(each);
    return r.refuse(std::move(expected));
  }
  v = static_cast<Enum>(it - known.begin());
  return true;
}

bool read_json(reader& r, std::string& v, range allowed) {
  std::string_view slice;
  if (!r.in.raw(slice))
    return false;
  if (slice.size() > allowed.max)
    return r.refuse("expected at most " + std::to_string(allowed.max) + " bytes");
  v = slice;
  return true;
}

bool read(reader& r, shared_bytes& v, range) {
  std::string_view slice;
  if (!r.wants(json_type::object) || !r.in.raw(slice))
    return false;
  v = std::make_shared<const std::string>(slice);
  return true;
}

bool read_hex(reader& r, std::uint64_t& v) {
  return read_parsed(
    r, v,
    [](std::string_view text) -> std::optional<std::uint64_t> {
      std::uint64_t n = 0;
      auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n, 16);
      return text.size() == 16 && ec == std::errc{} && end == text.data() + 16 ? std::optional{n} : std::nullopt;
    },
    "16 hexadecimal digits");
}

template <class T>
bool read(reader& r, std::vector<T>& v, range);
template <described Struct>
bool read(reader& r, Struct& v, range);

template <class T>
bool read(reader& r, std::optional<T>& v, range allowed) {
  return read(r, v.emplace(), allowed);
}

template <class T>
bool read(reader& r, std::vector<T>& v, range) {
  return r.wants(json_type::array) && r.in.elements([&](std::size_t index) {
    return read(r, v.emplace_back(), range{}) || r.below('[' + std::to_string(index) + ']');
  });
}

template <class Struct, form Form, class Member>
bool read_field(reader& r, Struct& v, const field<Form, Member>& f) {
  auto& value = std::invoke(f.member, v);
  const auto read_it = [&] {
    if constexpr (Form == form::hex)
      return read_hex(r, value);
    else if constexpr (Form == form::json)
      return read_json(r, value, f.allowed);
    else
      return read(r, value, f.allowed);
  };
  return read_it() || r.below(f.name);
}

template <described Struct>
bool read(reader& r, Struct& v, range) {
  std::uint64_t found = 0; // One bit per line of the table.
  const auto take = [&](std::string_view key) {
    return std::apply(
      [&](const auto&... f) {
        unsigned bit = 0;
        bool ok = true;
        const auto is_here = [&](const auto& each) {
          if (each.name != key)
            return ++bit, false;
          found |= std::uint64_t{1} << bit;
          ok = read_field(r, v, each);
          return true;
        };
        return (is_here(f) || ...) ? ok : r.in.skip();
      },
      fields<Struct>);
  };
  if (!r.wants(json_type::object) || !r.in.members(take))
    return false;
  return std::apply(
    [&](const auto&... f) {
      unsigned bit = 0;
      const auto is_there = [&](const auto& each) {
        const bool there = (found >> bit++ & 1) != 0 || !each.is_required;
        return there || (r.refuse("is missing"), r.below(each.name));
      };
      return (is_there(f) && ...);
    },
    fields<Struct>);
}

template <class T>
result<T> from_json(std::string_view body) {
  reader r{body};
  T v{};
  if (!read(r, v, range{}) || !r.in.finish())
    return r.failure();
  return v;
}

} // namespace

// One line each, to be read as a table.
// clang-format off
template <> result<enqueue_reply> decode(std::string_view body) { return from_json<enqueue_reply>(body); }
template <> result<open_session> decode(std::string_view body) { return from_json<open_session>(body); }
template <> result<session_opened> decode(std::string_view body) { return from_json<session_opened>(body); }
template <> result<heartbeat> decode(std::string_view body) { return from_json<heartbeat>(body); }
template <> result<heartbeat_reply> decode(std::string_view body) { return from_json<heartbeat_reply>(body); }
template <> result<session_closed> decode(std::string_view body) { return from_json<session_closed>(body); }
template <> result<claim> decode(std::string_view body) { return from_json<claim>(body); }
template <> result<claim_reply> decode(std::string_view body) { return from_json<claim_reply>(body); }
template <> result<settle> decode(std::string_view body) { return from_json<settle>(body); }
template <> result<settle_reply> decode(std::string_view body) { return from_json<settle_reply>(body); }
template <> result<extend> decode(std::string_view body) { return from_json<extend>(body); }
template <> result<extend_reply> decode(std::string_view body) { return from_json<extend_reply>(body); }
template <> result<message_view> decode(std::string_view body) { return from_json<message_view>(body); }
template <> result<cancel_reply> decode(std::string_view body) { return from_json<cancel_reply>(body); }
template <> result<call_reply> decode(std::string_view body) { return from_json<call_reply>(body); }
template <> result<policy_patch> decode(std::string_view body) { return from_json<policy_patch>(body); }
template <> result<connection_view> decode(std::string_view body) { return from_json<connection_view>(body); }
template <> result<group_view> decode(std::string_view body) { return from_json<group_view>(body); }
template <> result<groups_reply> decode(std::string_view body) { return from_json<groups_reply>(body); }
template <> result<queue_page> decode(std::string_view body) { return from_json<queue_page>(body); }
template <> result<redrive> decode(std::string_view body) { return from_json<redrive>(body); }
template <> result<count_reply> decode(std::string_view body) { return from_json<count_reply>(body); }
// clang-format on

namespace {

struct problem {
  std::string code, detail;
  std::uint32_t status = 0;
  std::optional<std::uint64_t> index;
  std::optional<std::uint32_t> retry_after_s;
};

} // namespace

// clang-format off
template <>
inline constexpr auto fields<problem> = std::tuple{
  required("code", &problem::code),
  required("status", &problem::status, range{400, 599}),
  optional("detail", &problem::detail),
  optional("index", &problem::index),
  optional("retry_after_s", &problem::retry_after_s)};
// clang-format on

error decode_problem(std::string_view body) {
  auto read_back = from_json<problem>(body);
  if (!read_back)
    return make_error(errc::protocol_violation, "the peer's error is no problem+json: " + read_back.err().detail);
  auto& p = *read_back;
  error e;
  if (auto known = parse_errc(p.code)) {
    e = make_error(*known, std::move(p.detail));
  } else {
    // A newer hub may know more kinds; its status still says whose fault it is and whether asking again makes sense.
    const auto code = p.status == 429 ? errc::too_many_requests : p.status < 500 ? errc::invalid_request : errc::internal;
    e = make_error(code, p.code + ": " + p.detail);
  }
  if (p.index)
    e.index = static_cast<std::size_t>(*p.index);
  e.retry_after_s = p.retry_after_s;
  return e;
}

} // namespace sallyport::wire
