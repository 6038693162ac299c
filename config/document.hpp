// A TOML file as a plain tree with line numbers. Keeps toml++ (a heavy header) in one .cpp file. Values; any thread.
#pragma once

#include "config/fault.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::config {

struct node {
  enum class kind : std::uint8_t { boolean, integer, real, text, date, list, table };

  kind what = kind::table;
  std::string key; // Its name in its table; empty in a list.
  unsigned line = 0;
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<node> items; // Of a list, or the members of a table, in the order of the file.

  [[nodiscard]] bool is(kind k) const { return what == k; }
  /// The member of a table; null when it has none of that name.
  [[nodiscard]] const node* find(std::string_view name) const;
  /// The same down a dotted path.
  [[nodiscard]] const node* find_path(std::string_view path) const;
  /// The line of what is at the path, or of the innermost table on the way to it: where a person would write it.
  [[nodiscard]] unsigned line_of(std::string_view path) const;
};

/// "a whole number", "text", ... for messages.
[[nodiscard]] std::string_view describe(node::kind what);

/// Nothing after a syntax error, which is added with its line and column (only the first: the parser cannot go on behind it).
[[nodiscard]] std::optional<node> parse_toml(std::string_view text, fault_list& faults);

/// All of a file; nothing, and a fault, when it cannot be read.
[[nodiscard]] std::optional<std::string> read_file(const std::string& path, fault_list& faults);

/// Text as a TOML string, quotes included.
[[nodiscard]] std::string quote_toml(std::string_view text);

} // namespace sallyport::config
