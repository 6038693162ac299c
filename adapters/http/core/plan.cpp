#include "adapters/http/core/plan.hpp"

#include "adapters/api/event_reader.hpp"
#include "adapters/api/text.hpp"
#include "protocol/json.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace sallyport::adapters::http {
namespace {

failure refuse(std::string why) {
  return {.error = std::move(why), .retryable = false, .effect = wire::effect_state::none};
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

bool same_name(std::string_view a, std::string_view b) {
  return lower(a) == lower(b);
}

const std::string* find_header(const header_list& headers, std::string_view name) {
  const auto found = std::find_if(headers.begin(), headers.end(), [name](const auto& h) { return same_name(h.first, name); });
  return found == headers.end() ? nullptr : &found->second;
}

/// Fills in the request's body and says of what type it is; false when the event has none.
std::variant<bool, failure> take_body(const event_value& body, const event_value& base64, request& r, std::string& type) {
  if (!base64.is_missing()) {
    auto bytes = base64_decode(base64.text());
    if (!bytes)
      return refuse("the base64 of the body is not valid");
    r.body = std::move(*bytes);
    type = "application/octet-stream";
    return true;
  }
  if (body.is_missing())
    return false;
  r.body = body.text();
  type = body.what == event_value::kind::string ? "text/plain; charset=utf-8" : "application/json";
  return true;
}

/// Nothing for a day or time that the calendar has not.
std::optional<wall_time> to_time(unsigned year, std::string_view month, unsigned day, unsigned h, unsigned m, unsigned s) {
  constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto found = std::find(months.begin(), months.end(), month);
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)},
                                         std::chrono::month{static_cast<unsigned>(found - months.begin()) + 1},
                                         std::chrono::day{day}};
  if (found == months.end() || !date.ok() || h > 23 || m > 59 || s > 60)
    return std::nullopt;
  return std::chrono::sys_days{date} + std::chrono::hours{h} + std::chrono::minutes{m} + seconds{s};
}

std::optional<unsigned> number(std::string_view text) {
  unsigned n = 0;
  const auto end = text.data() + text.size();
  const auto [p, ec] = std::from_chars(text.data(), end, n);
  return !text.empty() && ec == std::errc{} && p == end ? std::optional{n} : std::nullopt;
}

/// "Sun, 06 Nov 1994 08:49:37 GMT", the one form of HTTP dates that may still be sent (RFC 9110 section 5.6.7).
std::optional<wall_time> parse_http_date(std::string_view t) {
  if (t.size() != 29 || t.substr(3, 2) != ", " || t.substr(25) != " GMT" || t[7] != ' ' || t[11] != ' ' || t[16] != ' '
      || t[19] != ':' || t[22] != ':')
    return std::nullopt;
  const auto day = number(t.substr(5, 2)), year = number(t.substr(12, 4)), h = number(t.substr(17, 2)),
             m = number(t.substr(20, 2)), s = number(t.substr(23, 2));
  if (!day || !year || !h || !m || !s)
    return std::nullopt;
  return to_time(*year, t.substr(8, 3), *day, *h, *m, *s);
}

std::string result_of(const settings& s, const reply& r) {
  json_writer w;
  w.begin_object().field("status", r.status).key("headers").begin_object();
  const auto keeps = [&s](const std::string& header) {
    return std::any_of(s.result_headers.begin(), s.result_headers.end(),
                       [&header](const auto& kept) { return lower(kept) == header; });
  };
  for (const auto& header : r.headers)
    if (keeps(header.first))
      w.field(header.first, header.second);
  w.end_object();
  const auto* type = find_header(r.headers, "content-type");
  if (r.body_left_out) // It was too large; the effect is there all the same.
    w.field("body_left_out", true);
  else if (!r.body.empty() && type && lower(*type).find("json") != std::string::npos && is_json(r.body))
    w.key("body").raw(r.body);
  else if (!r.body.empty() && is_utf8(r.body))
    w.field("body", r.body);
  else if (!r.body.empty())
    w.field("body_base64", base64_encode(r.body));
  w.end_object();
  return w.take();
}

} // namespace

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string address::authority() const {
  return (host.find(':') == std::string::npos ? host : '[' + host + ']') + ':' + std::to_string(port);
}
std::string address::fingerprint() const {
  return (tls ? "https://" : "http://") + authority() + prefix;
}

result<address> parse_url(std::string_view text) {
  const auto refuse_url = [](const std::string& why) { return make_error(errc::invalid_config, "url " + why); };
  address a;
  if (lower(text.substr(0, 8)) == "https://")
    a.tls = true, text.remove_prefix(8);
  else if (lower(text.substr(0, 7)) == "http://")
    text.remove_prefix(7);
  else
    return refuse_url("must begin with https:// or http://");
  const auto slash = std::min(text.find('/'), text.size());
  auto authority = text.substr(0, slash);
  a.prefix = text.substr(slash);
  while (!a.prefix.empty() && a.prefix.back() == '/')
    a.prefix.pop_back();
  if (authority.find('@') != std::string_view::npos)
    return refuse_url("must not hold a user or password; they have settings of their own");
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const auto end = authority.find(']');
    if (end == std::string_view::npos)
      return refuse_url("has a '[' without its ']'");
    a.host = lower(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
  } else {
    const auto colon = std::min(authority.find(':'), authority.size());
    a.host = lower(authority.substr(0, colon));
    port = authority.substr(colon);
  }
  const auto plain = [&a](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'
           || (c == ':' && a.host.size() > 2);
  };
  if (a.host.empty() || !std::all_of(a.host.begin(), a.host.end(), plain))
    return refuse_url("has no host that can be understood");
  a.port = a.tls ? 443 : 80;
  if (!port.empty()) {
    const auto n = port.front() == ':' ? number(port.substr(1)) : std::nullopt;
    if (!n || *n == 0 || *n > 65535)
      return refuse_url("has a port that is not 1 to 65535");
    a.port = static_cast<std::uint16_t>(*n);
  }
  if (!a.prefix.empty()) {
    if (auto fault = fault_of_path(a.prefix); !fault.empty() || a.prefix.find('?') != std::string::npos)
      return refuse_url("has a path that " + (fault.empty() ? "holds a query" : fault));
  }
  a.host_header = a.port == (a.tls ? 443 : 80) ? a.authority().substr(0, a.authority().rfind(':')) : a.authority();
  return a;
}

std::string fault_of_path(std::string_view path) {
  if (path.empty() || path.front() != '/')
    return "must begin with '/'";
  if (path.size() > 8000)
    return "is longer than 8000 bytes";
  const auto query = std::min(path.find('?'), path.size());
  constexpr std::string_view allowed = "-._~!$&'()*+,;=:@/%";
  for (std::size_t at = 0; at < path.size(); ++at) {
    const auto c = path[at];
    const auto plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                       || allowed.find(c) != std::string_view::npos || (at >= query && c == '?');
    if (!plain)
      return "has a character that must be percent-encoded";
    if (c != '%')
      continue;
    const auto high = at + 2 < path.size() ? hex_digit(path[at + 1]) : -1,
               low = at + 2 < path.size() ? hex_digit(path[at + 2]) : -1;
    if (high < 0 || low < 0)
      return "has a '%' that encodes nothing";
    const auto code = high * 16 + low;
    // Somebody behind us may decode once more, or before they split.
    if (at < query
        && (code < 0x20 || code == 0x7f || code == '.' || code == '/' || code == '\\' || code == '%' || code == ';' || code == '?'
            || code == '#'))
      return "has an encoded character that may change which path it is";
    if (at >= query && (code < 0x20 || code == 0x7f))
      return "has an encoded control character";
  }
  const auto segments = path.substr(0, query);
  for (std::size_t at = 1; at <= segments.size();) {
    const auto end = std::min(segments.find('/', at), segments.size());
    const auto segment = segments.substr(at, end - at);
    const auto name = segment.substr(0, segment.find(';')); // "..;x" is ".." to some.
    if (name == "." || name == "..")
      return "has '.' or '..' as a segment";
    if (segment.empty() && end != segments.size()) // Only the last may be: "/orders/".
      return "has an empty segment";
    if (name.empty() && !segment.empty())
      return "has an empty segment";
    at = end + 1;
  }
  return {};
}

bool is_below(std::string_view path, const std::vector<std::string>& prefixes) {
  path = path.substr(0, path.find('?'));
  return std::any_of(prefixes.begin(), prefixes.end(), [path](std::string_view prefix) {
    if (path.substr(0, prefix.size()) != prefix)
      return false;
    return path.size() == prefix.size() || prefix.back() == '/' || path[prefix.size()] == '/';
  });
}

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [marks](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || marks.find(c) != std::string_view::npos;
  });
}

bool is_header_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t'; });
}

bool is_reserved_header(std::string_view name) {
  constexpr std::string_view reserved[] = {"connection",
                                           "keep-alive",
                                           "proxy-connection",
                                           "proxy-authenticate",
                                           "proxy-authorization",
                                           "te",
                                           "trailer",
                                           "transfer-encoding",
                                           "upgrade",
                                           "host",
                                           "content-length",
                                           "expect",
                                           "idempotency-key",
                                           "traceparent",
                                           "http2-settings"};
  return std::find(std::begin(reserved), std::end(reserved), name) != std::end(reserved);
}

std::variant<request, failure> plan(const settings& s, const job& j) {
  const event_reader event{j.event ? std::string_view{*j.event} : std::string_view{}};
  request r;
  std::string type;
  std::variant<bool, failure> body = false;
  if (!s.path.empty()) {
    r.method = s.method;
    r.path = s.path;
    body = take_body(event.at("data"), event.at("data_base64"), r, type);
    if (const auto declared = event.at("datacontenttype").text(); !declared.empty() && is_header_value(declared))
      type = declared;
  } else {
    r.method = event.at("data.method").text();
    r.path = event.at("data.path").text();
    body = take_body(event.at("data.body"), event.at("data.body_base64"), r, type);
    if (!contains(s.methods, r.method))
      return refuse(r.method.empty() ? "data.method is missing"
                                     : "the settings of this connection do not allow the method of data.method");
    if (auto fault = fault_of_path(r.path); !fault.empty())
      return refuse("data.path " + fault);
    if (!is_below(r.path, s.path_prefixes))
      return refuse("the settings of this connection do not allow the path of data.path");
    const auto headers = event.at("data.headers");
    if (!headers.is_missing() && headers.what != event_value::kind::object)
      return refuse("data.headers must be an object");
    for (const auto& [name, value] : members_of(headers.raw)) {
      const auto key = lower(name);
      const auto allowed =
        std::any_of(s.request_headers.begin(), s.request_headers.end(), [&key](const std::string& a) { return lower(a) == key; });
      if (!is_token(name) || is_reserved_header(key) || !allowed)
        return refuse("the settings of this connection do not allow the header '" + name.substr(0, 80) + "'");
      if (value.what != event_value::kind::string || !is_header_value(value.text()))
        return refuse("the header '" + name + "' must be a text of one line");
      if (find_header(r.headers, key))
        return refuse("the header '" + name + "' is there twice");
      r.headers.emplace_back(name, value.text());
    }
  }
  if (auto* f = std::get_if<failure>(&body))
    return *f;
  r.has_body = std::get<bool>(body);
  if (r.has_body && !find_header(r.headers, "content-type"))
    r.headers.emplace_back("Content-Type", type);
  for (const auto& [name, value] : s.headers)
    if (!find_header(r.headers, name))
      r.headers.emplace_back(name, value);
  if (!s.bearer_token.empty())
    r.headers.emplace_back("Authorization", "Bearer " + s.bearer_token);
  else if (!s.user.empty())
    r.headers.emplace_back("Authorization", "Basic " + base64_encode(s.user + ':' + s.password));
  // The same for every attempt: by it the service can tell that it has seen the message before.
  r.headers.emplace_back("Idempotency-Key", to_string(j.message));
  if (!j.attributes.trace_parent.empty())
    r.headers.emplace_back("traceparent", j.attributes.trace_parent);
  return r;
}

std::optional<milliseconds> parse_retry_after(std::string_view text, wall_time now) {
  constexpr milliseconds most = std::chrono::hours{24};
  if (const auto n = number(text))
    return std::min<milliseconds>(seconds{*n}, most);
  if (const auto at = parse_http_date(text))
    return std::clamp<milliseconds>(*at - now, milliseconds::zero(), most);
  return std::nullopt;
}

outcome classify(const settings& s, const reply& r, const std::string& what, wall_time now) {
  if (r.status >= 200 && r.status < 300) {
    auto result = result_of(s, r);
    if (result.size() > result_bytes_max) { // Escapes made it larger than the body was.
      auto smaller = r;
      smaller.body_left_out = true;
      result = result_of(s, smaller);
    }
    return done(std::move(result));
  }
  failure f{.error = what + ": answered " + std::to_string(r.status), .retryable = false, .effect = wire::effect_state::none};
  if (const auto* after = find_header(r.headers, "retry-after"))
    f.retry_after = parse_retry_after(*after, now);
  switch (r.status) {
    case 429:
    case 503: // The service, not the message, has had enough: the group waits, and no attempt is burnt.
      f.scope = wire::failure_scope::target;
      f.retryable = true;
      break;
    case 408:
    case 425: f.retryable = true; break;
    default:
      if (r.status >= 500) {
        f.retryable = true;
        f.effect = wire::effect_state::unknown;
      } else if (r.status >= 300 && r.status < 400) {
        f.error += " (redirects are not followed)";
      }
  }
  // The beginning of what it said helps a person more than the number; a body is data of the service, so not more than that.
  if (!r.body.empty() && !r.body_left_out && is_utf8(r.body))
    f.error += ": " + r.body.substr(0, 200);
  return failed(std::move(f));
}

} // namespace sallyport::adapters::http
