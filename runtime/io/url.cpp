#include "runtime/io/url.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace sallyport::io {
namespace {

using address_bytes = std::array<std::uint8_t, 16>;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Lower case and without the dot that ends a fully qualified name.
std::string canonical_host(std::string_view host) {
  std::string out(host);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  if (out.size() > 1 && out.back() == '.')
    out.pop_back();
  return out;
}

std::optional<address_bytes> parse_address(const std::string& text) {
  if (text.find('\0') != std::string::npos)
    return std::nullopt; // inet_pton would stop there, and the rest go into requests unseen.
  address_bytes out{};
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    out[10] = out[11] = 0xff;
    std::memcpy(out.data() + 12, &v4, 4);
    return out;
  }
  if (inet_pton(AF_INET6, text.c_str(), out.data()) == 1)
    return out;
  return std::nullopt;
}

bool is_v4(const address_bytes& a) {
  static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(a.data(), mapped, sizeof mapped) == 0;
}

bool in_block(const address_bytes& a, const address_bytes& block, unsigned bits) {
  const unsigned whole = bits / 8, rest = bits % 8;
  if (!std::equal(a.begin(), a.begin() + whole, block.begin()))
    return false;
  return rest == 0 || ((a[whole] ^ block[whole]) >> (8 - rest)) == 0;
}

std::optional<unsigned> parse_number(std::string_view text, unsigned max) {
  unsigned n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty() || n > max)
    return std::nullopt;
  return n;
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && text.front() != '.' && text.find("..") == std::string_view::npos
         && std::all_of(text.begin(), text.end(), is_name_char);
}

/// What differs between a hub's and a proxy's address.
struct flavour {
  std::string_view example;
  std::string_view where_users_go;
  std::uint16_t http_port;
};
constexpr flavour for_hub{"https://hub.example:8443", "the token has a setting of its own", 80};
constexpr flavour for_proxy{"http://proxy.example:3128", "give them as proxy.user and proxy.password", 3128};

error bad(std::string_view text, std::string_view why) {
  // Something before an '@' may be a password.
  const std::string shown =
    text.find('@') == std::string_view::npos ? "\"" + std::string(text) + "\"" : "an address with a user name";
  return make_error(errc::invalid_config, shown + " is not usable: " + std::string(why));
}

result<url> parse_url(std::string_view text, const flavour& wanted) {
  url out;
  const auto colon = text.find("://");
  if (colon == std::string_view::npos)
    return bad(text, "it does not begin with a scheme; write it like " + std::string(wanted.example));
  out.scheme = canonical_host(text.substr(0, colon));
  if (out.scheme != "http" && out.scheme != "https")
    return bad(text, "its scheme is neither https nor http");

  std::string_view rest = text.substr(colon + 3);
  const auto end_of_authority = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, end_of_authority);
  const std::string_view path = end_of_authority == std::string_view::npos ? "" : rest.substr(end_of_authority);
  if (authority.find('@') != std::string_view::npos)
    return bad(text, "user names and passwords do not belong into addresses; " + std::string(wanted.where_users_go));
  if (path.find_first_of("?#") != std::string_view::npos)
    return bad(text, "it must end with its path, without '?' or '#'");
  if (std::any_of(path.begin(), path.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return bad(text, "its path has a character that must be percent-encoded");
  out.path = path;
  while (!out.path.empty() && out.path.back() == '/')
    out.path.pop_back();

  std::string_view host = authority, port;
  if (!authority.empty() && authority.front() == '[') {
    const auto close = authority.find(']');
    if (close == std::string_view::npos)
      return bad(text, "the bracket of its IPv6 address is not closed");
    host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    const auto address = parse_address(std::string(host));
    if (!address || host.find(':') == std::string_view::npos)
      return bad(text, "what stands in brackets is not an IPv6 address");
  } else {
    const auto p = authority.find(':');
    host = authority.substr(0, p);
    port = p == std::string_view::npos ? "" : authority.substr(p);
    if (port.find(':', 1) != std::string_view::npos)
      return bad(text, "an IPv6 address must stand in brackets, like https://[2001:db8::1]:8443");
    if (host.empty())
      return bad(text, "it has no host");
    if (std::any_of(host.begin(), host.end(), [](unsigned char c) { return c >= 0x80; }))
      return bad(text, "its host has letters outside ASCII; write it in its xn-- form");
    if (!is_name(host))
      return bad(text, "its host is not a host name");
  }
  out.host = canonical_host(host);
  out.is_address = parse_address(out.host).has_value();
  if (port.empty()) {
    out.port = out.scheme == "https" ? 443 : wanted.http_port;
  } else {
    const auto n = port.front() == ':' ? parse_number(port.substr(1), 65535) : std::nullopt;
    if (!n || *n == 0)
      return bad(text, "its port is not a number from 1 to 65535");
    out.port = static_cast<std::uint16_t>(*n);
  }
  return out;
}

} // namespace

std::string url::authority() const {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string url::host_header() const {
  std::string out = authority();
  if ((scheme == "https" && port == 443) || (scheme == "http" && port == 80))
    out.resize(out.rfind(':'));
  return out;
}

bool url::is_loopback() const {
  if (!is_address)
    return host == "localhost";
  const auto a = parse_address(host);
  return a && ((is_v4(*a) && (*a)[12] == 127) || *a == address_bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
}

result<url> parse_hub_url(std::string_view text) {
  auto out = parse_url(text, for_hub);
  if (out && out->scheme == "http" && !out->is_loopback())
    return bad(text, "plain http would show the token to the network; use https, or a loopback host");
  return out;
}

result<url> parse_proxy_url(std::string_view text) {
  auto out = parse_url(text, for_proxy);
  if (out && out->scheme != "http")
    return bad(
      text, "a proxy is spoken to in plain http (what goes through it is encrypted end to end); write it like http://host:3128");
  if (out && !out->path.empty())
    return bad(text, "a proxy's address has no path");
  return out;
}

result<no_proxy_list> no_proxy_list::parse(const std::vector<std::string>& entries) {
  no_proxy_list out;
  for (const auto& entry : entries) {
    const auto refuse = [&entry](std::string_view why) {
      return make_error(errc::invalid_config, "no_proxy entry \"" + entry + "\" " + std::string(why));
    };
    if (entry == "*") {
      out.everything_ = true;
      continue;
    }
    std::string text = entry;
    if (text.size() > 2 && text.front() == '[' && text.back() == ']')
      text = text.substr(1, text.size() - 2);
    const auto slash = text.find('/');
    if (const auto address = parse_address(text.substr(0, slash))) {
      const unsigned base = is_v4(*address) ? 96 : 0;
      unsigned bits = 128;
      if (slash != std::string::npos) {
        const auto n = parse_number(std::string_view(text).substr(slash + 1), 128 - base);
        if (!n)
          return refuse("has a prefix length that is not a number from 0 to " + std::to_string(128 - base));
        bits = base + *n;
      }
      out.blocks_.push_back({*address, bits});
      continue;
    }
    if (slash != std::string::npos)
      return refuse("is not a CIDR block like 10.0.0.0/8, nor a host name");
    if (text.find(':') != std::string::npos)
      return refuse("has a port or is not an IPv6 address; write the host alone, it stands for all ports");
    const bool suffix = !text.empty() && text.front() == '.';
    const auto name = canonical_host(suffix ? std::string_view(text).substr(1) : std::string_view(text));
    if (!is_name(name))
      return refuse("is neither a host name, a \".suffix\", an address, a CIDR block nor \"*\"");
    if (suffix)
      out.suffixes_.push_back("." + name);
    else
      out.names_.push_back(name);
  }
  return out;
}

bool no_proxy_list::matches(std::string_view host) const {
  if (everything_)
    return true;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const auto name = canonical_host(host);
  if (const auto address = parse_address(name))
    return std::any_of(blocks_.begin(), blocks_.end(),
                       [&address](const block& b) { return in_block(*address, b.address, b.bits); });
  if (std::find(names_.begin(), names_.end(), name) != names_.end())
    return true;
  const auto dotted = "." + name;
  return std::any_of(suffixes_.begin(), suffixes_.end(), [&dotted](const std::string& s) {
    return dotted.size() >= s.size() && dotted.compare(dotted.size() - s.size(), s.size(), s) == 0;
  });
}

} // namespace sallyport::io
