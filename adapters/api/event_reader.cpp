#include "adapters/api/event_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <tuple>

namespace sallyport::adapters {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::size_t skip_space(std::string_view s, std::size_t at) {
  while (at < s.size() && is_space(s[at]))
    ++at;
  return at;
}

/// Past the closing quote of the string that begins at `at`: the first quote with no backslash, or a whole number of pairs, before it.
/// Most of an event is text, so this is what reading one costs; find() goes through it many bytes at once.
std::size_t skip_string(std::string_view s, std::size_t at) {
  const auto begin = at + 1;
  for (auto quote = s.find('"', begin); quote != std::string_view::npos; quote = s.find('"', quote + 1)) {
    auto escape = quote;
    while (escape > begin && s[escape - 1] == '\\')
      --escape;
    if ((quote - escape) % 2 == 0)
      return quote + 1;
  }
  return s.size();
}

/// Past the value that begins at `at`. Without recursion: depth costs no stack.
std::size_t skip_value(std::string_view s, std::size_t at) {
  std::size_t depth = 0;
  while (at < s.size()) {
    switch (s[at]) {
      case '"': at = skip_string(s, at); break;
      case '{':
      case '[': ++depth, ++at; break;
      case '}':
      case ']':
        if (depth == 0)
          return at; // The end of what holds this value.
        --depth, ++at;
        break;
      case ',':
        if (depth == 0)
          return at;
        ++at;
        break;
      default:
        ++at;
        while (depth == 0 && at < s.size() && s[at] != ',' && s[at] != '}' && s[at] != ']' && !is_space(s[at]))
          ++at; // A number or a literal ends where its token ends.
    }
    if (depth == 0)
      return std::min(at, s.size());
  }
  return s.size();
}

/// `raw` is one value and nothing else.
event_value value_of(std::string_view raw) {
  using kind = event_value::kind;
  switch (raw.front()) {
    case '"': return {kind::string, raw};
    case '{': return {kind::object, raw};
    case '[': return {kind::array, raw};
    case 't':
    case 'f': return {kind::boolean, raw};
    case 'n': return {kind::null, raw};
    default: return {kind::number, raw};
  }
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

std::uint32_t hex4(std::string_view s, std::size_t at) {
  std::uint32_t code = 0xfffd;
  if (at + 4 <= s.size())
    std::from_chars(s.data() + at, s.data() + at + 4, code, 16);
  return code;
}

/// `s` is a string literal with its quotes. A surrogate without its other half becomes U+FFFD.
std::string decode_string(std::string_view s) {
  if (s.size() < 2)
    return {};
  s = s.substr(1, s.size() - 2);
  std::string out;
  out.reserve(s.size());
  for (std::size_t at = 0; at < s.size(); ++at) {
    if (s[at] != '\\' || at + 1 == s.size()) {
      out += s[at];
      continue;
    }
    switch (s[++at]) {
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        auto code = hex4(s, at + 1);
        at += 4;
        if (code >= 0xd800 && code < 0xdc00 && s.substr(std::min(at + 1, s.size()), 2) == "\\u") {
          if (auto low = hex4(s, at + 3); low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
          }
        }
        append_utf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
        break;
      }
      default: out += s[at];
    }
  }
  return out;
}

/// Calls visit(key literal or empty, value) for every member or item; the value is that and nothing else, and not empty.
template <class Visitor>
void walk(std::string_view json, char open, Visitor&& visit) {
  auto at = skip_space(json, 0);
  if (at == json.size() || json[at] != open)
    return;
  const auto close = open == '{' ? '}' : ']';
  at = skip_space(json, at + 1);
  while (at < json.size() && json[at] != close) {
    std::string_view key;
    if (open == '{') {
      if (json[at] != '"')
        return;
      const auto key_end = skip_string(json, at);
      key = json.substr(at, key_end - at);
      at = skip_space(json, key_end);
      if (at == json.size() || json[at] != ':')
        return;
      at = skip_space(json, at + 1);
    }
    const auto end = skip_value(json, at);
    if (end == at)
      return;
    if (!visit(key, json.substr(at, end - at)))
      return;
    at = skip_space(json, end);
    if (at < json.size() && json[at] == ',')
      at = skip_space(json, at + 1);
    else
      return;
  }
}

bool same_key(std::string_view literal, std::string_view name) {
  if (literal.size() < 2)
    return false;
  const auto inner = literal.substr(1, literal.size() - 2);
  return inner.find('\\') == std::string_view::npos ? inner == name : decode_string(literal) == name;
}

event_value member_at(std::string_view json, std::string_view name) {
  event_value found;
  walk(json, '{', [&](std::string_view key, std::string_view value) {
    if (!same_key(key, name))
      return true;
    found = value_of(value);
    return false;
  });
  return found;
}

event_value item_at(std::string_view json, std::string_view position) {
  std::size_t index = 0;
  const auto end = position.data() + position.size();
  if (auto [p, ec] = std::from_chars(position.data(), end, index); ec != std::errc{} || p != end)
    return {};
  event_value found;
  walk(json, '[', [&](std::string_view, std::string_view value) {
    if (index-- != 0)
      return true;
    found = value_of(value);
    return false;
  });
  return found;
}

std::pair<std::string_view, std::string_view> split(std::string_view path) {
  const auto dot = path.find('.');
  return dot == std::string_view::npos ? std::pair{path, std::string_view{}}
                                       : std::pair{path.substr(0, dot), path.substr(dot + 1)};
}

event_value find(const std::vector<std::pair<std::string, event_value>>& members, std::string_view name) {
  for (const auto& [key, value] : members)
    if (key == name)
      return value;
  return {};
}

} // namespace

std::string event_value::text() const {
  return what == kind::string ? decode_string(raw) : std::string{raw};
}

event_value read_value(std::string_view json) {
  const auto at = skip_space(json, 0);
  const auto raw = json.substr(at, skip_value(json, at) - at);
  return raw.empty() ? event_value{} : value_of(raw);
}

std::vector<std::pair<std::string, event_value>> members_of(std::string_view json) {
  std::vector<std::pair<std::string, event_value>> members;
  walk(json, '{', [&](std::string_view key, std::string_view value) {
    members.emplace_back(decode_string(key), value_of(value));
    return true;
  });
  return members;
}

std::vector<event_value> items_of(std::string_view json) {
  std::vector<event_value> items;
  walk(json, '[', [&](std::string_view, std::string_view value) {
    items.push_back(value_of(value));
    return true;
  });
  return items;
}

event_reader::event_reader(std::string_view event) : attributes_(members_of(event)) {
  if (auto data = find(attributes_, "data"); data.what == event_value::kind::object)
    data_ = members_of(data.raw);
}

event_value event_reader::at(std::string_view path) const {
  auto [name, rest] = split(path);
  auto value = find(attributes_, name);
  if (name == "data" && !rest.empty() && value.what == event_value::kind::object) {
    std::tie(name, rest) = split(rest);
    value = find(data_, name);
  }
  while (!rest.empty() && !value.is_missing()) {
    std::tie(name, rest) = split(rest);
    value = value.what == event_value::kind::array ? item_at(value.raw, name) : member_at(value.raw, name);
  }
  return value;
}

} // namespace sallyport::adapters
