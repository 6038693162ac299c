// The sql adapter: named statements of the agent's configuration, run on SQLite or PostgreSQL with parameters from the event. What a
// message does and the inbox row that says it was done commit together, so that the effect happens once (docs/adapters.md has the
// conditions). Secrets are resolved before they get here.
#pragma once

#include "adapters/api/adapter.hpp"

#include <map>

namespace sallyport::adapters::sql {

enum class backend_kind : std::uint8_t { sqlite, postgresql };
/// What a statement answers: nothing; one row as an object (null when there is none, an error when there are more); an array of objects.
enum class result_kind : std::uint8_t { none, row, rows };

struct statement {
  std::string text; // One SELECT, INSERT, UPDATE, DELETE, REPLACE, MERGE, WITH, VALUES or CALL with :name parameters.
  result_kind result = result_kind::none;
  bool read_only = false; // No inbox row; runs in a transaction of its own that cannot write.
  /// Name → where its value is: "id", "type", "data", "data.lines.0.sku", or "$message", "$fence", "$attempt", "$queue". What is not
  /// there is NULL; objects and arrays are their JSON text.
  std::map<std::string, std::string> parameters;
};

struct settings {
  backend_kind backend = backend_kind::sqlite;

  std::string path;    // sqlite: absolute.
  bool create = false; // sqlite: make the database file when it is missing.

  std::string host = "localhost"; // postgresql: a name, an address, or the directory of a Unix socket.
  std::uint16_t port = 5432;
  std::string database;
  std::string user;
  std::string password;
  std::string tls = "prefer"; // disable, prefer, require, verify-ca, verify-full
  std::string ca_file;        // PEM; empty: libpq's default.

  std::map<std::string, statement> statements;
  std::map<std::string, std::string> statement_by_type; // Event type → statement.
  std::string default_statement;                        // For every other type; empty: those fail.
  std::vector<std::string> setup; // Run on every new connection, outside transactions; must be safe to repeat.

  bool inbox = true; // Off is for tests only: then a repeated message repeats its effect.
  std::string inbox_table = "sallyport_inbox";
  bool create_inbox = true; // Off: a person made the table, and the user need not be allowed to.

  std::size_t batch_max = 64;   // Messages of one transaction.
  std::size_t workers = 1;      // Connections; SQLite has one writer at a time anyway.
  milliseconds busy_timeout{0}; // How long to wait for a lock; 0: half of what is left of the attempt.
  milliseconds connect_timeout{5000};
};

/// Every fault at once, one per line of the detail. Errors: invalid_config.
[[nodiscard]] result<void> check(const settings& s);
/// The settings must pass check().
[[nodiscard]] factory make_factory(const settings& s);

/// The inbox table as this version makes it, for people who make it themselves (create_inbox = false).
[[nodiscard]] std::string inbox_ddl(const settings& s);

} // namespace sallyport::adapters::sql
