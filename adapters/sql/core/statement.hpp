// Statement texts: what may be in them, and their named parameters turned into the positions the databases know. Pure functions.
#pragma once

#include "adapters/sql/settings.hpp"

#include <optional>
#include <string_view>

namespace sallyport::adapters::sql {

/// An INSERT of plain parameters, cast at most, which one command can do for many messages.
struct bulk_insert {
  std::string head;  // "INSERT INTO t (a, b)"
  std::string table; // As it is written there.
  std::string row;   // "$1, $2::jsonb": the values.
  friend bool operator==(const bulk_insert&, const bulk_insert&) = default;
};

struct compiled_statement {
  std::string name;
  std::string text;               // With $1, $2 ... (PostgreSQL) or ?1, ?2 ... (SQLite).
  std::vector<std::string> paths; // Where the value of each position is.
  result_kind result = result_kind::none;
  bool read_only = false;
  std::optional<bulk_insert> bulk{}; // PostgreSQL only.
};

/// Refuses what would break the one transaction that holds inbox row and effect (transaction control, DDL, several statements), and
/// parameters without a path. Errors: invalid_config.
[[nodiscard]] result<compiled_statement> compile(const std::string& name, const statement& s, backend_kind backend);

/// The same insert with an array of texts for each parameter in the place of a value; `types` are the parameters' own. Rows are inserted
/// in the order of the arrays.
[[nodiscard]] std::string bulk_text(const bulk_insert& insert, const std::vector<std::string_view>& types);

} // namespace sallyport::adapters::sql
