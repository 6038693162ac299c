// Statement texts: what may be in them, and their named parameters turned into the positions the databases know. Pure functions.
#pragma once

#include "adapters/sql/settings.hpp"

namespace sallyport::adapters::sql {

struct compiled_statement {
  std::string name;
  std::string text;               // With $1, $2 ... (PostgreSQL) or ?1, ?2 ... (SQLite).
  std::vector<std::string> paths; // Where the value of each position is.
  result_kind result = result_kind::none;
  bool read_only = false;
};

/// Refuses what would break the one transaction that holds inbox row and effect (transaction control, DDL, several statements), and
/// parameters without a path. Errors: invalid_config.
[[nodiscard]] result<compiled_statement> compile(const std::string& name, const statement& s, backend_kind backend);

} // namespace sallyport::adapters::sql
