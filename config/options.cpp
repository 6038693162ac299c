#include "config/options.hpp"

#include "config/secret.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace sallyport::config {

namespace {

std::string join(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

std::string_view last_part(std::string_view key) {
  const auto dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

std::string table_part(std::string_view key) {
  const auto dot = key.rfind('.');
  return std::string(dot == std::string_view::npos ? std::string_view{} : key.substr(0, dot));
}

// The key of an entry of any sort; named tables go by their path without the star.
std::string key_of(const entry& e) {
  if (e.section)
    return e.section->path;
  return e.tables ? table_part(e.tables->list.path()) : e.doc.key;
}

// What may stand in the table `pattern`: its options and the first parts of deeper ones.
std::vector<std::string> members_of(const std::vector<entry>& entries, const std::string& pattern) {
  std::vector<std::string> names;
  for (const auto& e : entries) {
    auto key = key_of(e);
    if (!pattern.empty()) {
      if (!key.starts_with(pattern + "."))
        continue;
      key = key.substr(pattern.size() + 1);
    }
    names.push_back(key.substr(0, key.find('.')));
  }
  return names;
}

// "did you mean ..." or where the key belongs, if that can be told.
std::string advice_for(const std::vector<entry>& entries, const node& item, const std::string& pattern,
                       const std::vector<std::string>& leave) {
  for (const auto& e : entries)
    if (!e.section && !e.tables && last_part(e.doc.key) == item.key)
      return "it belongs in [" + table_part(e.doc.key) + "]";
  auto known = members_of(entries, pattern);
  known.insert(known.end(), leave.begin(), leave.end());
  if (const auto near = nearest(item.key, known); !near.empty())
    return "did you mean " + near + "?";
  return "`sallyport config reference` lists what there is";
}

} // namespace

bool expect(node::kind kind, const node& value, const std::string& shown, fault_list& faults) {
  if (value.is(kind))
    return true;
  faults.add(value.line, shown, "must be " + std::string(describe(kind)) + ", and is " + std::string(describe(value.what)));
  return false;
}

std::optional<std::int64_t> read_integer(const node& value, std::int64_t min, std::int64_t max, const std::string& shown,
                                         fault_list& faults) {
  if (value.is(node::kind::text) && shown.ends_with("_ms")) {
    faults.add(value.line, shown, "must be a whole number of milliseconds, and is text", "write 10000 for ten seconds");
    return std::nullopt;
  }
  if (!expect(node::kind::integer, value, shown, faults))
    return std::nullopt;
  if (value.integer >= min && value.integer <= max)
    return value.integer;
  faults.add(value.line, shown, std::to_string(value.integer) + " is out of range",
             max == std::numeric_limits<std::int64_t>::max() ? "write " + std::to_string(min) + " or more"
                                                             : "write " + std::to_string(min) + " to " + std::to_string(max));
  return std::nullopt;
}

std::optional<std::string> read_secret(const node& value, const std::string& shown, fault_list& faults) {
  if (!expect(node::kind::text, value, shown, faults))
    return std::nullopt;
  auto secret = resolve_secret(value.text);
  if (!secret) {
    faults.add(value.line, shown, secret.err().detail);
    return std::nullopt;
  }
  if (!secret->warning.empty())
    faults.warn(value.line, shown, secret->warning);
  return std::move(secret->value);
}

std::optional<std::vector<std::string>> read_texts(const node& value, const std::string& shown, fault_list& faults) {
  if (!value.is(node::kind::list)) {
    faults.add(value.line, shown, "must be a list of texts, and is " + std::string(describe(value.what)), "write [\"a\", \"b\"]");
    return std::nullopt;
  }
  std::vector<std::string> out;
  for (const auto& item : value.items)
    if (expect(node::kind::text, item, shown, faults))
      out.push_back(item.text);
  return out.size() == value.items.size() ? std::optional(std::move(out)) : std::nullopt;
}

std::optional<text_map> read_text_map(const node& value, bool secret, const std::string& shown, fault_list& faults) {
  if (!expect(node::kind::table, value, shown, faults))
    return std::nullopt;
  text_map out;
  for (const auto& item : value.items) {
    const auto key = shown + "." + quote_toml(item.key);
    if (secret) {
      if (auto resolved = read_secret(item, key, faults))
        out.emplace(item.key, std::move(*resolved));
    } else if (item.is(node::kind::table)) {
      // What quotes would have kept whole: com.example.order = "x" is three tables in TOML.
      faults.add(item.line, key, "must be text, and is a table", "put a name with dots in quotes: \"a.b\" = ...");
    } else if (expect(node::kind::text, item, key, faults)) {
      out.emplace(item.key, item.text);
    }
  }
  return out.size() == value.items.size() ? std::optional(std::move(out)) : std::nullopt;
}

void add_unknown_word(const node& value, const std::vector<std::string>& known, const std::string& shown, fault_list& faults) {
  std::string words;
  for (const auto& w : known)
    words += (words.empty() ? "" : ", ") + w;
  faults.add(value.line, shown, "\"" + value.text + "\" is not one of its values", "write one of: " + words);
}

void option_list::read(void* settings, const node& table, fault_list& faults, const std::vector<std::string>& leave) const {
  read_at(settings, table, path_, faults, leave);
}

void option_list::read_at(void* settings, const node& table, const std::string& shown, fault_list& faults,
                          const std::vector<std::string>& leave) const {
  read_table(settings, table, path_, shown, faults, leave);
  for (const auto& e : entries_) {
    if (!e.doc.required)
      continue;
    const auto below = path_.empty() ? e.doc.key : e.doc.key.substr(path_.size() + 1);
    if (table.find_path(below) == nullptr)
      faults.add(table.line_of(below), join(shown, below), "is missing",
                 "write " + std::string(last_part(below)) + " = " + (e.doc.example.empty() ? "..." : e.doc.example));
  }
}

void option_list::read_table(void* settings, const node& table, const std::string& pattern, const std::string& shown,
                             fault_list& faults, const std::vector<std::string>& leave) const {
  for (const auto& item : table.items) {
    if (std::find(leave.begin(), leave.end(), item.key) != leave.end())
      continue;
    const auto key = join(pattern, item.key), shown_key = join(shown, item.key);
    const auto same =
      std::find_if(entries_.begin(), entries_.end(), [&key](const entry& e) { return !e.section && key_of(e) == key; });
    if (same != entries_.end() && !same->tables) {
      same->assign(settings, item, shown_key, faults);
    } else if (same != entries_.end()) {
      if (!expect(node::kind::table, item, shown_key, faults))
        continue;
      for (const auto& child : item.items) {
        const auto child_key = join(shown_key, child.key);
        if (!child.is(node::kind::table))
          faults.add(child.line, child_key, "must be a table", "write [" + shown_key + ".NAME]");
        else
          same->tables->list.read_at(same->tables->make(settings, child.key), child, child_key, faults);
      }
    } else if (std::any_of(entries_.begin(), entries_.end(),
                           [&key](const entry& e) { return key_of(e) == key || key_of(e).starts_with(key + "."); })) {
      if (item.is(node::kind::table))
        read_table(settings, item, key, shown_key, faults, {});
      else
        faults.add(item.line, shown_key, "must be a table", "write [" + shown_key + "]");
    } else {
      faults.add(item.line, shown_key, item.is(node::kind::table) ? "there is no such table" : "there is no such setting",
                 advice_for(entries_, item, pattern, leave));
    }
  }
}

// ---- checks ----------------------------------------------------------------

namespace {

struct address {
  std::string_view host, port;
};

// host:port, [v6]:port; a port may be left out.
std::optional<address> split_address(std::string_view text) {
  address out;
  std::string_view rest;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos)
      return std::nullopt;
    out.host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    const auto colon = text.find(':');
    out.host = text.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
  }
  if (out.host.empty() || out.host.find_first_of(" \t/@?#") != std::string_view::npos)
    return std::nullopt;
  if (rest.empty())
    return out;
  if (!rest.starts_with(':'))
    return std::nullopt;
  out.port = rest.substr(1);
  if (out.port.empty() || out.port.size() > 5 || out.port.find_first_not_of("0123456789") != std::string_view::npos
      || std::stoi(std::string(out.port)) > 65'535)
    return std::nullopt;
  return out;
}

// A name that begins like an address ("127.0.0.1.example") is a name.
bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1"
         || (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

std::string_view without_slash(std::string_view text) {
  return text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
}

} // namespace

std::string check_listen(const std::string& text) {
  const auto at = split_address(text);
  if (!at || at->port.empty())
    return "\"" + text + "\" is not host:port; write for instance 0.0.0.0:8443";
  return {};
}

std::string check_hub_url(const std::string& url) {
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://"))
    return "\"" + url + "\" is not the address of a hub; write https://host:port";
  auto rest = std::string_view(url).substr(tls ? 8 : 7);
  const auto at = split_address(rest.substr(0, rest.find('/'))); // A path is put before that of every request.
  // A user and password would end up in logs, and are not repeated here either.
  if (!at || rest.find_first_of("@?#") != std::string_view::npos)
    return "is not the address of a hub; write https://host:port";
  if (!tls && !is_loopback(at->host))
    return "\"" + url + "\" would send the token in clear over the network; write https://";
  return {};
}

std::string check_hub_urls(const std::vector<std::string>& urls) {
  if (urls.empty())
    return "names no hub; write [\"https://host:port\"]";
  for (const auto& url : urls)
    if (auto wrong = check_hub_url(url); !wrong.empty())
      return wrong;
  return {};
}

std::string check_proxy_url(const std::string& url) {
  if (url.empty())
    return {};
  const auto at = url.starts_with("http://") ? split_address(without_slash(std::string_view(url).substr(7))) : std::nullopt;
  // What does not parse may hold a password, so it is not repeated.
  if (!at)
    return "is not the address of a proxy; write http://host:port, and user and password as settings of their own";
  return {};
}

std::string check_readable(const std::string& path) {
  if (path.empty() || ::access(path.c_str(), R_OK) == 0)
    return {};
  return "cannot read " + path + ": " + std::strerror(errno);
}

// ---- what people read ----------------------------------------------------------------

namespace {

std::string comment(const std::string& text) {
  constexpr std::size_t width = 100;
  std::string out, line = "#";
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    if (line.size() + 1 + end - at > width) {
      out += line + "\n";
      line = "#";
    }
    line += " " + text.substr(at, end - at);
    at = end + 1;
  }
  return out + line + "\n";
}

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return text;
}

std::string replace_star(std::string path, const std::string& name) {
  const auto star = path.find('*');
  return star == std::string::npos ? path : path.replace(star, 1, name);
}

std::string heading(const section_doc& s, const std::string& name) {
  const auto path = replace_star(s.path, name);
  return s.repeated ? "[[" + path + "]]" : "[" + path + "]";
}

} // namespace

std::string example_of(const option_list& list) {
  const auto& entries = list.entries();
  // A heading over nothing but comments would be a table that is there and empty, which is not the same as none.
  const auto is_written = [&entries](const section_doc& s) {
    return s.repeated || std::any_of(entries.begin(), entries.end(), [&s](const entry& e) {
             return e.doc.usual && table_part(e.doc.key) == s.path;
           });
  };
  std::string out;
  for (const auto& e : entries) {
    if (e.section) {
      out += (out.empty() ? "" : "\n") + comment(e.section->text) + (is_written(*e.section) ? "" : "# ")
             + heading(*e.section, "example") + "\n";
    } else if (e.tables) {
      out += "\n" + example_of(e.tables->list);
    } else {
      const auto value = !e.doc.example.empty() ? e.doc.example : !e.doc.fallback.empty() ? e.doc.fallback : "\"\"";
      out += comment(e.doc.text + (e.doc.allowed.empty() ? "" : " (" + e.doc.allowed + ")"));
      out += (e.doc.usual ? "" : "# ") + std::string(last_part(e.doc.key)) + " = " + value + "\n";
    }
  }
  return out;
}

std::string reference_of(const option_list& list) {
  std::string out;
  for (const auto& e : list.entries()) {
    if (e.section) {
      out += (out.empty() ? "### `" : "\n### `") + heading(*e.section, "NAME") + "`\n\n" + e.section->text + "\n\n";
      out += "| setting | type | default | meaning |\n|---|---|---|---|\n";
    } else if (e.tables) {
      out += "\n" + reference_of(e.tables->list);
    } else {
      const auto type = e.doc.type + (e.doc.allowed.empty() ? "" : ": " + e.doc.allowed);
      const auto fallback = e.doc.required ? "**required**" : e.doc.fallback.empty() ? "none" : "`" + e.doc.fallback + "`";
      out += "| `" + std::string(last_part(e.doc.key)) + "` | " + cell(type) + " | " + cell(fallback) + " | " + cell(e.doc.text)
             + " |\n";
    }
  }
  return out;
}

} // namespace sallyport::config
