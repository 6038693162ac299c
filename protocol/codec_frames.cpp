#include "protocol/codec_tables.hpp"
#include "protocol/cursor.hpp"
#include "protocol/frames.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>

namespace sallyport::wire {

namespace {

enum class kind : std::uint8_t { number, pair, bytes };

constexpr std::size_t varint_bytes = 10, length_bytes = 4;
constexpr std::size_t elements_foreseen = 1024; // Of a list, at most: more of them make their room as they come.

template <class T>
constexpr bool is_list = false;
template <class T>
constexpr bool is_list<std::vector<T>> = true;

// ---- writing -----------------------------------------------------------------------------------------------------------------

// Gathers what is short beside the string and appends it in one piece: a grant is some thirty bytes besides its event, and to ask a string
// for each of them costs more than they do. What is long goes into the string at once, which has room and is never filled with zeros.
class frame_writer {
public:
  explicit frame_writer(std::size_t bytes) { out_.reserve(bytes); }

  void number(std::uint64_t v) {
    need(varint_bytes);
    put(v);
  }
  void pair(std::uint64_t first, std::uint64_t second) {
    need(2 * varint_bytes);
    put(first);
    put(second);
  }
  void tag(std::size_t line, kind k) {
    need(1);
    near_[used_++] = static_cast<char>(4 * (line + 1) + static_cast<std::size_t>(k));
  }
  void bytes(std::string_view v) {
    need(length_bytes);
    put_length(near_ + used_, v.size());
    used_ += length_bytes;
    if (v.size() > short_bytes) {
      spill();
      out_ += v;
      return;
    }
    need(v.size());
    std::memcpy(near_ + used_, v.data(), v.size());
    used_ += v.size();
  }
  /// A struct: its length is known when its fields are written.
  template <class F>
  void nested(F fields_of) {
    need(length_bytes);
    const auto begins = size();
    used_ += length_bytes;
    fields_of();
    auto* const length = begins < out_.size() ? out_.data() + begins : near_ + (begins - out_.size());
    put_length(length, size() - begins - length_bytes);
  }
  [[nodiscard]] std::string take() {
    spill();
    return std::move(out_);
  }

private:
  static constexpr std::size_t near_bytes = 512, short_bytes = 128;

  [[nodiscard]] std::size_t size() const { return out_.size() + used_; }
  void need(std::size_t bytes) {
    if (sizeof near_ - used_ < bytes) [[unlikely]]
      spill();
  }
  void spill() {
    out_.append(near_, used_);
    used_ = 0;
  }
  void put(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7)
      near_[used_++] = static_cast<char>(v | 0x80);
    near_[used_++] = static_cast<char>(v);
  }
  static void put_length(char* at, std::size_t v) {
    SALLYPORT_ASSERT(v <= UINT32_MAX); // Bodies are bounded far below.
    for (std::size_t i = 0; i < length_bytes; ++i)
      at[i] = static_cast<char>(v >> 8 * i);
  }

  std::string out_;
  std::size_t used_ = 0; // Of near_: what follows out_.
  char near_[near_bytes];
};

struct written {
  frame_writer& out;
  std::size_t line;

  void number(std::uint64_t v) const { out.tag(line, kind::number), out.number(v); }
  void pair(std::uint64_t a, std::uint64_t b) const { out.tag(line, kind::pair), out.pair(a, b); }
  void bytes(std::string_view v) const { out.tag(line, kind::bytes), out.bytes(v); }
};

// One line each, to be read as a table.
// clang-format off
void write(written w, bool v) { w.number(v ? 1 : 0); }
void write(written w, std::uint32_t v) { w.number(v); }
void write(written w, milliseconds v) { w.number(static_cast<std::uint64_t>(v.count())); }
void write(written w, message_id v) { w.pair(v.epoch, v.serial); }
void write(written w, fence_token v) { w.pair(v.epoch, v.counter); }
void write(written w, errc v) { w.bytes(to_string(v)); }
void write(written w, const std::string& v) { w.bytes(v); }
void write(written w, const shared_bytes& v) { w.bytes(*v); }
template <class Tag>
void write(written w, const name_of<Tag>& v) { w.bytes(v.value); }
template <enumeration Enum>
void write(written w, Enum v) { w.number(static_cast<std::uint64_t>(v)); }
template <described Struct>
void write(written w, const Struct& v);
template <class T>
void write(written w, const std::vector<T>& v) { for (const auto& element : v) write(w, element); }
template <class T>
void write(written w, const std::optional<T>& v) { write(w, *v); }
// clang-format on

// A code that follows from the verdict is written too: both forms say the same.
template <class Struct, class Value>
const Value& said(const Struct&, const Value& value) {
  return value;
}
std::optional<errc> said(const verdict& v, const std::optional<errc>&) {
  return code_of(v);
}

template <class Struct, class Field>
void write_field(frame_writer& w, std::size_t line, const Struct& v, const Field& f) {
  static const Struct defaults{};
  const auto& value = said(v, std::invoke(f.member, v));
  if (f.is_required || !is_default(value, std::invoke(f.member, defaults)))
    write(written{w, line}, value);
}

template <described Struct>
void write_struct(frame_writer& w, const Struct& v) {
  w.nested([&] {
    std::size_t line = 0;
    std::apply([&](const auto&... f) { (write_field(w, line++, v, f), ...); }, fields<Struct>);
  });
}

template <described Struct>
void write(written w, const Struct& v) {
  w.out.tag(w.line, kind::bytes);
  write_struct(w.out, v);
}

template <class Struct>
std::string to_frames(const Struct& v, std::size_t bytes) {
  frame_writer w{bytes};
  write_struct(w, v);
  return w.take();
}

// ---- reading -----------------------------------------------------------------------------------------------------------------

// Bytes, and what was wrong where. A refusal travels up as `false`, and each level puts its step before the path.
struct frame_reader {
  std::string_view in;
  std::string path, problem;
  errc code = errc::invalid_request;

  bool refuse(std::string what) {
    problem = std::move(what);
    return false;
  }
  bool below(std::string_view step) {
    path.insert(0, path.empty() || path.front() == '[' ? std::string{step} : std::string{step} + '.');
    return false;
  }
  [[nodiscard]] error failure() const { return make_error(code, path.empty() ? problem : path + ": " + problem); }

  bool varint(std::uint64_t& v) {
    v = 0;
    for (std::size_t i = 0; i < in.size() && i < varint_bytes; ++i) {
      const auto byte = static_cast<std::uint8_t>(in[i]);
      v |= std::uint64_t{byte & 0x7fu} << 7 * i;
      if (byte < 0x80) {
        const bool is_shortest = byte != 0 || i == 0; // One written form per value.
        const bool fits = i + 1 < varint_bytes || byte == 1;
        if (!is_shortest || !fits)
          return refuse("a varint is not the shortest, or more than 64 bits");
        in.remove_prefix(i + 1);
        return true;
      }
    }
    return refuse("a varint has no end");
  }
  bool bytes(std::string_view& v) {
    if (in.size() < length_bytes)
      return refuse("a length is cut off");
    std::size_t length = 0;
    for (std::size_t i = 0; i < length_bytes; ++i)
      length |= std::size_t{static_cast<std::uint8_t>(in[i])} << 8 * i;
    in.remove_prefix(length_bytes);
    if (length > in.size())
      return refuse(std::to_string(length) + " bytes are announced, " + std::to_string(in.size()) + " are there");
    v = in.substr(0, length);
    in.remove_prefix(length);
    return true;
  }
  bool skip(kind k) {
    std::uint64_t ignored = 0;
    std::string_view slice;
    switch (k) {
      case kind::number: return varint(ignored);
      case kind::pair: return varint(ignored) && varint(ignored);
      case kind::bytes: return bytes(slice);
    }
    return refuse("a tag is of no known kind");
  }
};

struct source {
  frame_reader& r;
  kind found;

  bool wants(kind k) const { return found == k || r.refuse("its tag is of another kind"); }
  bool number(std::uint64_t& v, range allowed) const {
    if (!wants(kind::number) || !r.varint(v))
      return false;
    return (v >= allowed.min && v <= allowed.max)
           || r.refuse("expected an integer from " + std::to_string(allowed.min) + " to " + std::to_string(allowed.max));
  }
  bool pair(std::uint64_t& first, std::uint64_t& second) const {
    return wants(kind::pair) && r.varint(first) && r.varint(second);
  }
  bool bytes(std::string_view& v) const { return wants(kind::bytes) && r.bytes(v); }
};

bool read(source s, bool& v, range) {
  std::uint64_t n = 0;
  if (!s.number(n, {0, 1}))
    return false;
  v = n != 0;
  return true;
}

bool read(source s, std::uint32_t& v, range allowed) {
  std::uint64_t n = 0;
  if (!s.number(n, {allowed.min, std::min<std::uint64_t>(allowed.max, UINT32_MAX)}))
    return false;
  v = static_cast<std::uint32_t>(n);
  return true;
}

bool read(source s, milliseconds& v, range allowed) {
  std::uint64_t n = 0;
  if (!s.number(n, {allowed.min, std::min<std::uint64_t>(allowed.max, INT64_MAX)}))
    return false;
  v = milliseconds{static_cast<std::int64_t>(n)};
  return true;
}

bool read(source s, message_id& v, range) {
  return s.pair(v.epoch, v.serial);
}
bool read(source s, fence_token& v, range) {
  return s.pair(v.epoch, v.counter);
}

template <enumeration Enum>
bool read(source s, Enum& v, range) {
  std::uint64_t n = 0;
  if (!s.number(n, {0, words<Enum>.size() - 1}))
    return false;
  v = static_cast<Enum>(n);
  return true;
}

// A code that only a newer hub knows is as good as none: the verdict itself says what to do.
bool read(source s, std::optional<errc>& v, range) {
  std::string_view text;
  if (!s.bytes(text))
    return false;
  v = parse_errc(text);
  return true;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool read(source s, std::string& v, range allowed) {
  std::string_view text;
  if (!s.bytes(text))
    return false;
  if (text.size() < allowed.min || text.size() > allowed.max)
    return s.r.refuse("expected " + std::to_string(allowed.min) + " to " + std::to_string(allowed.max) + " bytes");
  if (!is_ascii(text) && !simdjson::validate_utf8(text)) {
    s.r.code = errc::invalid_utf8;
    return s.r.refuse("is not valid UTF-8");
  }
  v = text;
  return true;
}

template <class Tag>
bool read(source s, name_of<Tag>& v, range) {
  std::string_view text;
  if (!s.bytes(text))
    return false;
  if (!is_acceptable<Tag>(text))
    return s.r.refuse(std::string{"expected "}.append(form_of_names<Tag>));
  v.value = text;
  return true;
}

bool read(source s, shared_bytes& v, range) {
  std::string_view event;
  if (!s.bytes(event))
    return false;
  if (event.size() < 2 || event.front() != '{' || event.back() != '}')
    return s.r.refuse("expected an object");
  v = std::make_shared<const std::string>(event);
  return true;
}

bool read_json(source s, std::string& v, range allowed) {
  std::string_view json;
  if (!s.bytes(json))
    return false;
  if (json.size() > allowed.max)
    return s.r.refuse("expected at most " + std::to_string(allowed.max) + " bytes");
  detail::json_cursor in{json, detail::json_cursor::depth_limit};
  std::string_view slice;
  if (!in.raw(slice) || !in.finish()) {
    s.r.code = in.fault() == detail::json_fault::invalid_utf8 ? errc::invalid_utf8 : errc::malformed_json;
    return s.r.refuse(in.describe_fault());
  }
  v = slice;
  return true;
}

template <described Struct>
bool read_struct(frame_reader& r, Struct& v);

template <described Struct>
bool read(source s, Struct& v, range) {
  return s.wants(kind::bytes) && read_struct(s.r, v);
}

template <class T>
bool read(source s, std::optional<T>& v, range allowed) {
  return read(s, v.emplace(), allowed);
}

template <class T>
bool read(source s, std::vector<T>& v, range) {
  const auto before = s.r.in.size();
  if (!read(s, v.emplace_back(), range{}))
    return s.r.below('[' + std::to_string(v.size() - 1) + ']');
  if (v.size() == 1) // The others will be about as long.
    v.reserve(std::min(elements_foreseen, 1 + s.r.in.size() / (before - s.r.in.size())));
  return true;
}

template <class Struct, form Form, class Member>
bool read_field(source s, Struct& v, const field<Form, Member>& f) {
  static_assert(Form != form::hex);
  auto& value = std::invoke(f.member, v);
  const auto read_it = [&] {
    if constexpr (Form == form::json)
      return read_json(s, value, f.allowed);
    else
      return read(s, value, f.allowed);
  };
  return read_it() || s.r.below(f.name);
}

// The fields in `in`, from the first to the last byte.
template <described Struct>
bool read_fields(frame_reader& r, Struct& v) {
  std::uint64_t found = 0; // One bit per line of the table.
  while (!r.in.empty()) {
    const auto tag = static_cast<std::uint8_t>(r.in.front());
    const auto wanted = tag / 4u - 1; // A tag of no line at all is that of one far beyond the table, and passed over.
    const auto k = static_cast<kind>(tag % 4u);
    r.in.remove_prefix(1);
    unsigned line = 0;
    bool ok = true;
    const auto take = [&](const auto& f) {
      if (line++ != wanted)
        return false;
      using value = std::remove_reference_t<decltype(std::invoke(f.member, v))>;
      const auto bit = std::uint64_t{1} << wanted;
      if (!is_list<value> && (found & bit) != 0)
        ok = r.refuse("comes twice") || r.below(f.name);
      else
        ok = read_field(source{r, k}, v, f);
      found |= bit;
      return true;
    };
    const bool is_known = std::apply([&](const auto&... f) { return (take(f) || ...); }, fields<Struct>);
    if (!ok || (!is_known && !r.skip(k)))
      return false;
  }
  unsigned line = 0;
  const auto is_there = [&](const auto& f) {
    using value = std::remove_reference_t<decltype(std::invoke(f.member, v))>;
    const bool there = (found >> line++ & 1) != 0 || !f.is_required || is_list<value>; // An empty list is no field.
    return there || (r.refuse("is missing"), r.below(f.name));
  };
  return std::apply([&](const auto&... f) { return (is_there(f) && ...); }, fields<Struct>);
}

template <described Struct>
bool read_struct(frame_reader& r, Struct& v) {
  std::string_view own;
  if (!r.bytes(own))
    return false;
  const auto behind = std::exchange(r.in, own);
  if (!read_fields(r, v))
    return false;
  r.in = behind;
  return true;
}

template <class Struct>
result<Struct> from_frames(std::string_view body) {
  frame_reader r{body, {}, {}};
  Struct v{};
  if (!read_struct(r, v))
    return r.failure();
  if (!r.in.empty())
    return {errc::invalid_request, std::to_string(r.in.size()) + " bytes follow the body's end"};
  return v;
}

} // namespace

std::string encode_frames(const claim_reply& v) {
  std::size_t bytes = 16;
  for (const auto& g : v.grants)
    bytes += 96 + g.event->size() + g.connection.value.size() + g.partition_key.size();
  return to_frames(v, bytes);
}

std::string encode_frames(const settle& v) {
  std::size_t bytes = 96;
  for (const auto& item : v.items)
    bytes += 96 + item.error.size() + item.result.size();
  return to_frames(v, bytes);
}

std::string encode_frames(const settle_reply& v) {
  return to_frames(v, 16 + 96 * v.items.size());
}

// One line each, to be read as a table.
// clang-format off
template <> result<claim_reply> decode_frames(std::string_view body) { return from_frames<claim_reply>(body); }
template <> result<settle> decode_frames(std::string_view body) { return from_frames<settle>(body); }
template <> result<settle_reply> decode_frames(std::string_view body) { return from_frames<settle_reply>(body); }
// clang-format on

} // namespace sallyport::wire
