// The sql adapter's decisions. From jobs to whole transactions as data, which a session carries out on a database (and a simulator on a
// map); and from what the database said to outcomes. Pure: no database, no clock.
//
// A writing transaction is always these steps, in this order:
//
//   begin · claim_inbox (every item) · run (every item whose claim was new) · keep_result (those that have one) · commit
//
// An item whose inbox row was there already is not run: its outcome is the result that the row holds.
#pragma once

#include "adapters/sql/core/statement.hpp"

#include <variant>

namespace sallyport::adapters::sql {

/// A JSON number that is no 64-bit integer, as it was written: PostgreSQL's numeric takes it whole, SQLite as a double.
struct decimal {
  std::string token;
  friend bool operator==(const decimal&, const decimal&) = default;
};
using value = std::variant<std::monostate, bool, std::int64_t, decimal, std::string>; // monostate: NULL

/// One message of a transaction. Keeps a pointer into the catalog.
struct work {
  std::size_t job = 0; // Its index in the perform() call.
  const compiled_statement* statement = nullptr;
  std::vector<value> parameters;
  std::size_t event_bytes = 0;
  std::string source, id; // The inbox key, with the transaction's queue.
  message_id message;
  fence_token fence;
};

struct step {
  enum class kind : std::uint8_t { begin, claim_inbox, run, keep_result, commit };
  kind what = kind::begin;
  std::size_t item = 0; // Index into items; begin and commit have none.
  friend bool operator==(const step&, const step&) = default;
};

struct transaction {
  std::string queue; // "<group>/<connection>"
  bool read_only = false;
  std::vector<work> items;
  std::vector<step> steps;
  [[nodiscard]] bool has(step::kind what) const;
};

/// The statements of a connection, compiled.
class catalog {
public:
  /// Errors: invalid_config, with every fault.
  static result<catalog> make(const settings& s);

  /// The statement for an event type; null when there is none.
  [[nodiscard]] const compiled_statement* find(const std::string& type) const;
  [[nodiscard]] const std::map<std::string, compiled_statement>& all() const { return statements_; }

private:
  std::map<std::string, compiled_statement> statements_;
  std::map<std::string, std::string> by_type_;
  std::string default_;
};

[[nodiscard]] std::string queue_of(const job& j);

/// What to do for one job, or why it cannot be done.
[[nodiscard]] std::variant<work, failure> plan_work(const catalog& statements, const job& j, std::size_t index);

/// Writes in as few transactions as may be, in order; each read alone, after them. A (source, id) occurs at most once in a transaction:
/// the later message waits for the result of the earlier.
[[nodiscard]] std::vector<transaction> plan_transactions(std::vector<work> works, const std::string& queue, bool inbox,
                                                         std::size_t batch_max);
[[nodiscard]] transaction make_transaction(std::vector<work> items, const std::string& queue, bool inbox);

/// What went wrong in a transaction.
struct sql_failure {
  enum class kind : std::uint8_t {
    refused,          // By the database, with `code`.
    unreachable,      // No connection could be made.
    lost,             // The connection broke.
    interrupted,      // A job of the transaction was cancelled.
    out_of_time,      // The attempt's time ran out.
    result_too_large, // More than result_bytes_max.
    too_many_rows,    // More than one where the statement says `row`.
    bad_parameter,    // A value that the database's types cannot hold.
    not_read_only,    // The statement says it is, and writes.
  };
  kind what = kind::refused;
  std::string code;    // SQLSTATE, or SQLite's extended result code.
  std::string message; // What the database said.
};

/// How a transaction ended.
struct execution {
  enum class end : std::uint8_t {
    committed,
    aborted, // Nothing of it is there.
    unknown, // The commit was sent and not answered.
  };
  end ended = end::aborted;
  std::vector<std::string> results{}; // committed: one per item, raw JSON or empty.
  sql_failure why{};                  // Otherwise.
};

/// Is the database to blame, so that the same message may pass untouched once it is well? Locks and lost connections, not constraints.
[[nodiscard]] bool blames_target(backend_kind backend, const sql_failure& why);
/// Can another connection help at once? (A lost connection; a plan made before the schema changed.)
[[nodiscard]] bool cured_by_reconnect(backend_kind backend, const sql_failure& why);
/// Should the messages of an aborted batch be tried each alone?
[[nodiscard]] bool worth_trying_alone(backend_kind backend, const sql_failure& why);
/// `what` says what was attempted, for people.
[[nodiscard]] failure classify(backend_kind backend, const execution& how, const std::string& what);

} // namespace sallyport::adapters::sql
