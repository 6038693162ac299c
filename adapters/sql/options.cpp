#include "adapters/sql/options.hpp"

namespace sallyport::adapters::sql {

using namespace std::chrono_literals;

namespace {

const config::options_of<statement>& statement_options() {
  using s = statement;
  static const config::options_of<statement> table(
    "connection.sql.statement.*",
    {
      config::section<s>("connection.sql.statement.*",
                         "A statement that events can run. What an event cannot name cannot be run."),
      config::option(&s::text, "connection.sql.statement.*.text", "One statement of SQL with :name parameters.",
                     {.required = true, .example = "\"INSERT INTO orders (id, sku) VALUES (:id, :sku)\""}),
      config::option(
        &s::parameters, "connection.sql.statement.*.parameters",
        "Where each parameter's value is: an attribute or a path into the event (\"id\", \"data.lines.0.sku\"), or \"$message\", "
        "\"$fence\", \"$attempt\", \"$queue\". What is not there is NULL.",
        {.example = "{ id = \"data.id\", sku = \"data.lines.0.sku\" }", .usual = true}),
      config::option(&s::result, "connection.sql.statement.*.result",
                     "What the statement answers: nothing, one row as an object, or a list of them.",
                     {.words = {{"none", result_kind::none}, {"row", result_kind::row}, {"rows", result_kind::rows}}}),
      config::option(&s::read_only, "connection.sql.statement.*.read_only",
                     "The statement only reads: it runs in a transaction that cannot write, and leaves no inbox row."),
    });
  return table;
}

} // namespace

const config::options_of<settings>& options() {
  using s = settings;
  static const config::options_of<settings> table(
    "connection.sql",
    {
      config::section<s>(
        "connection.sql",
        "Runs named statements on SQLite or PostgreSQL. The effect happens exactly once: the row that says a message "
        "was done commits together with what it did."),
      config::option(&s::backend, "connection.sql.backend", "The database.",
                     {.words = {{"sqlite", backend_kind::sqlite}, {"postgresql", backend_kind::postgresql}}, .usual = true}),
      config::option(&s::path, "connection.sql.path", "sqlite: absolute path of the database.",
                     {.example = "\"/var/lib/erp/erp.db\"", .usual = true}),
      config::option(&s::create, "connection.sql.create", "sqlite: make the database when it is missing."),
      config::option(&s::host, "connection.sql.host", "postgresql: a name, an address, or the directory of a Unix socket."),
      config::option(&s::port, "connection.sql.port", "postgresql: its port.", {.min = std::uint16_t{1}}),
      config::option(&s::database, "connection.sql.database", "postgresql: name of the database.", {.example = "\"erp\""}),
      config::option(&s::user, "connection.sql.user", "postgresql: who logs in.", {.example = "\"sallyport\""}),
      config::option(&s::password, "connection.sql.password", "postgresql: the password of that user.",
                     {.secret = true, .example = "\"credential:erp-password\""}),
      config::option(&s::tls, "connection.sql.tls", "postgresql: disable, prefer, require, verify-ca or verify-full."),
      config::option(&s::ca_file, "connection.sql.ca_file", "postgresql: authorities for verify-ca and verify-full, PEM.",
                     {.check = config::check_readable}),
      config::option(&s::default_statement, "connection.sql.default_statement",
                     "The statement for events whose type is not in statement_by_type.",
                     {.example = "\"example\"", .usual = true}),
      config::option(&s::statement_by_type, "connection.sql.statement_by_type", "The statement for each type of event.",
                     {.example = "{ \"order.created\" = \"add_order\" }"}),
      config::option(&s::setup, "connection.sql.setup",
                     "Run on every new connection, outside transactions; must be safe to repeat."),
      config::option(
        &s::inbox, "connection.sql.inbox",
        "Whether a message leaves a row that keeps it from being done twice. Off only for tests: effects then repeat."),
      config::option(&s::inbox_table, "connection.sql.inbox_table", "Where those rows are."),
      config::option(&s::create_inbox, "connection.sql.create_inbox",
                     "Make that table when it is missing; its user must be allowed to."),
      config::option(&s::batch_max, "connection.sql.batch_max", "Messages of one transaction.",
                     {.min = std::size_t{1}, .max = std::size_t{1024}}),
      config::option(&s::workers, "connection.sql.workers",
                     "Database connections at work at once. SQLite has one writer at a time anyway.",
                     {.min = std::size_t{1}, .max = std::size_t{64}}),
      config::option(&s::busy_timeout, "connection.sql.busy_timeout_ms",
                     "How long to wait for a lock; 0 means half of what is left of the attempt.", {.max = 24h}),
      config::option(&s::connect_timeout, "connection.sql.connect_timeout_ms", "postgresql: how long connecting may take.",
                     {.min = 1s, .max = 10min}),
      config::tables<s, statement>([](s& in, const std::string& name) -> statement& { return in.statements[name]; },
                                   statement_options()),
    });
  return table;
}

} // namespace sallyport::adapters::sql
