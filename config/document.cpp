#include "config/document.hpp"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace sallyport::config {

namespace {

node convert(const toml::node& from) {
  node to;
  to.line = from.source().begin.line;
  if (const auto* table = from.as_table()) {
    to.what = node::kind::table;
    for (const auto& [key, child] : *table) {
      to.items.push_back(convert(child));
      to.items.back().key = key.str();
      if (!child.is_table())
        to.items.back().line = key.source().begin.line;
    }
    // toml++ sorts by name; people read by line.
    std::stable_sort(to.items.begin(), to.items.end(), [](const node& a, const node& b) { return a.line < b.line; });
  } else if (const auto* list = from.as_array()) {
    to.what = node::kind::list;
    for (const auto& item : *list)
      to.items.push_back(convert(item));
  } else if (const auto* text = from.as_string()) {
    to.what = node::kind::text;
    to.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    to.what = node::kind::integer;
    to.integer = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    to.what = node::kind::real;
    to.real = real->get();
  } else if (const auto* boolean = from.as_boolean()) {
    to.what = node::kind::boolean;
    to.boolean = boolean->get();
  } else {
    to.what = node::kind::date;
  }
  return to;
}

} // namespace

const node* node::find(std::string_view name) const {
  for (const auto& item : items)
    if (item.key == name)
      return &item;
  return nullptr;
}

const node* node::find_path(std::string_view path) const {
  const auto dot = path.find('.');
  const auto* next = find(path.substr(0, dot));
  return next == nullptr || dot == std::string_view::npos ? next : next->find_path(path.substr(dot + 1));
}

unsigned node::line_of(std::string_view path) const {
  const auto dot = path.find('.');
  const auto* next = find(path.substr(0, dot));
  if (next == nullptr)
    return line;
  return dot == std::string_view::npos ? next->line : next->line_of(path.substr(dot + 1));
}

std::string_view describe(node::kind what) {
  switch (what) {
    case node::kind::boolean: return "true or false";
    case node::kind::integer: return "a whole number";
    case node::kind::real: return "a number with a fraction";
    case node::kind::text: return "text";
    case node::kind::date: return "a date or time";
    case node::kind::list: return "a list";
    case node::kind::table: return "a table";
  }
  return "a value";
}

std::optional<node> parse_toml(std::string_view text, fault_list& faults) {
  try {
    auto root = convert(toml::parse(text, faults.file()));
    root.line = 0; // What is missing at the top is missing in the whole file.
    return root;
  } catch (const toml::parse_error& e) {
    const auto at = e.source().begin;
    faults.add(at.line, {}, "column " + std::to_string(at.column) + ": not valid TOML: " + std::string(e.description()),
               "put this right first: nothing behind it was read");
    return std::nullopt;
  }
}

std::optional<std::string> read_file(const std::string& path, fault_list& faults) {
  std::string content;
  if (std::FILE* in = std::fopen(path.c_str(), "rb")) {
    char buffer[16 << 10];
    while (const auto n = std::fread(buffer, 1, sizeof buffer, in))
      content.append(buffer, n);
    const bool failed = std::ferror(in) != 0;
    const int why = errno;
    std::fclose(in);
    if (!failed)
      return content;
    errno = why;
  }
  faults.add(0, {}, std::string("cannot be read: ") + std::strerror(errno));
  return std::nullopt;
}

std::string quote_toml(std::string_view text) {
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", c);
      out += escape;
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + '"';
}

} // namespace sallyport::config
