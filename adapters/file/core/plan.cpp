#include "adapters/file/core/plan.hpp"

#include "adapters/api/event_reader.hpp"
#include "adapters/api/text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

namespace sallyport::adapters::file {
namespace {

constexpr std::array<std::string_view, 5> words{"write", "read", "list", "move", "delete"};

failure refuse(std::string why) {
  return {.error = std::move(why), .retryable = false, .effect = wire::effect_state::none};
}

/// One part of a path out of a text from outside: anything that is not plain is %XX, so that it is one part, and not a hidden one.
std::string as_part(std::string_view text) {
  constexpr auto digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'
                       || (c == '.' && !out.empty());
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

/// The path that a template makes for an event, or the placeholder that has no value.
std::variant<std::string, failure> expand(const std::string& pattern, const job& j, const event_reader& event) {
  std::string path;
  for (std::size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '{') {
      path += pattern[at++];
      continue;
    }
    const auto end = pattern.find('}', at);
    const auto name = pattern.substr(at + 1, end - at - 1);
    const auto part = as_part(name == "message" ? to_string(j.message) : event.at(name).text());
    if (part.empty())
      return refuse("the event has no " + name + ", which write_path needs");
    path += part;
    at = end + 1;
  }
  return path;
}

bool flag(const event_reader& event, std::string_view path) {
  return event.at(path).raw == "true";
}

std::variant<std::string, failure> content_of(const event_reader& event, std::string_view text, std::string_view base64) {
  if (const auto plain = event.at(text); !plain.is_missing())
    return plain.text();
  const auto encoded = event.at(base64);
  if (encoded.is_missing())
    return refuse("the event has neither " + std::string{text} + " nor " + std::string{base64} + " to write");
  if (auto bytes = base64_decode(encoded.text()))
    return std::move(*bytes);
  return refuse(std::string{base64} + " is not base64");
}

} // namespace

std::string fault_of_path(std::string_view path, bool may_be_root) {
  if (path.empty())
    return may_be_root ? "" : "is missing or empty";
  if (path.size() > 4000)
    return "is longer than 4000 bytes";
  if (path.front() == '/')
    return "must be relative to the root";
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..")
      return "has an empty part, or '.' or '..' as one";
    if (part.size() > 255)
      return "has a part longer than 255 bytes";
    if (part.substr(0, temporary_prefix.size()) == temporary_prefix)
      return "has a part that begins like a temporary file of ours";
    at = end + 1;
  }
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return std::any_of(path.begin(), path.end(), control) ? "has a control character" : "";
}

std::variant<command, failure> plan(const settings& s, const job& j) {
  const event_reader event{j.event ? std::string_view{*j.event} : std::string_view{}};
  command c;
  c.temporary = std::string{temporary_prefix} + to_string(j.message) + '-' + to_string(j.fence)
                + ".tmp"; // The fence: a lost holder may still write.
  std::variant<std::string, failure> content = std::string{};
  if (!s.write_path.empty()) {
    auto path = expand(s.write_path, j, event);
    if (auto* f = std::get_if<failure>(&path))
      return *f;
    c.path = std::move(std::get<std::string>(path));
    content = content_of(event, "data", "data_base64");
  } else {
    const auto op = event.at("data.op").text();
    const auto word = std::find(words.begin(), words.end(), op);
    if (word == words.end())
      return refuse("data.op must be write, read, list, move or delete" + (op.empty() ? "" : ", not '" + op.substr(0, 40) + "'"));
    if (std::find(s.operations.begin(), s.operations.end(), op) == s.operations.end())
      return refuse("the settings of this connection do not allow " + op);
    c.what = static_cast<operation>(word - words.begin());
    c.path = event.at("data.path").text();
    switch (c.what) {
      case operation::write:
        content = content_of(event, "data.content", "data.content_base64");
        c.if_absent = flag(event, "data.if_absent");
        break;
      case operation::read: c.base64 = event.at("data.encoding").text() == "base64"; break;
      case operation::list:
        c.after = event.at("data.after").text();
        if (const auto limit = event.at("data.limit").text(); !limit.empty()) {
          const auto [p, ec] = std::from_chars(limit.data(), limit.data() + limit.size(), c.limit);
          if (ec != std::errc{} || p != limit.data() + limit.size() || c.limit == 0 || c.limit > 1000)
            return refuse("data.limit must be 1 to 1000");
        }
        break;
      case operation::move:
        c.to = event.at("data.to").text();
        c.overwrite = flag(event, "data.overwrite");
        if (auto fault = fault_of_path(c.to); !fault.empty())
          return refuse("data.to " + fault);
        break;
      case operation::remove: break;
    }
  }
  if (auto fault = fault_of_path(c.path, c.what == operation::list); !fault.empty())
    return refuse((s.write_path.empty() ? "data.path " : "the path made by write_path ") + fault);
  if (auto* f = std::get_if<failure>(&content))
    return *f;
  c.content = std::move(std::get<std::string>(content));
  if (c.content.size() > s.bytes_max)
    return refuse("the content is larger than the " + std::to_string(s.bytes_max)
                  + " bytes that the settings of this connection allow");
  return c;
}

std::optional<unsigned> parse_mode(std::string_view text) {
  unsigned mode = 0;
  const auto end = text.data() + text.size();
  const auto [p, ec] = std::from_chars(text.data(), end, mode, 8);
  if (ec != std::errc{} || p != end || mode > 0777)
    return std::nullopt;
  return mode;
}

std::string describe(const command& c) {
  auto text = std::string{words[static_cast<std::size_t>(c.what)]} + " '" + c.path + '\'';
  return c.what == operation::move ? text + " to '" + c.to + '\'' : text;
}

failure classify(const command& c, int code, wire::effect_state effect) {
  failure f{.error = describe(c) + ": ", .effect = effect};
  switch (code) {
    case EXDEV:
    case ELOOP:
      f.error += "the path leads out of the root or through a symbolic link";
      f.retryable = false;
      return f;
    // The disk or its mount is unwell, not the message.
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EROFS:
    case ESTALE:
    case ENODEV:
    case ENXIO:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOTCONN:
    case EHOSTDOWN:
    case ETIMEDOUT:
    case ENOSYS: f.scope = wire::failure_scope::target; break;
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ENOTEMPTY:
    case ENAMETOOLONG:
    case EINVAL: f.retryable = false; break;
    default: break; // Permissions and what else a person may mend: again, but not for ever.
  }
  f.error += std::generic_category().message(code);
  return f;
}

} // namespace sallyport::adapters::file
