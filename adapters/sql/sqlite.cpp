// SQLite. SOCI opens and closes the session; statements run on its native handle, because SOCI 4.0 gives a column one type for all rows
// and 32 bits to an INTEGER, and SQLite gives every cell its own type and 64 bits (ADR 0008).
#include "adapters/sql/database.hpp"

#include "protocol/json.hpp"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

namespace sallyport::adapters::sql {
namespace {

using namespace sqlite_api;
using std::chrono::steady_clock;

struct finalizer {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using statement_ptr = std::unique_ptr<sqlite3_stmt, finalizer>;

/// Resets a statement on every way out: one left half-run would hold its lock on the database.
class running {
public:
  explicit running(sqlite3_stmt* s) : statement_(s) {}
  ~running() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;

private:
  sqlite3_stmt* statement_;
};

class sqlite_database final : public database {
public:
  sqlite_database(const settings& s, interrupter& stop) : settings_(s), stop_(stop) {}
  ~sqlite_database() override { close(); }

  bool connected() const override { return session_ != nullptr; }
  void disconnect() override { close(); }

  std::optional<sql_failure> connect() override {
    until_ = steady_clock::now() + settings_.connect_timeout;
    lock_until_ = until_;
    try {
      struct stat found {};
      if (!settings_.create && ::stat(settings_.path.c_str(), &found) != 0) // sqlite3_open would make an empty one.
        return unreachable(settings_.path + ": " + std::generic_category().message(errno));
      const auto plain = settings_.path.find('=') == std::string::npos;
      session_ = std::make_unique<soci::session>(soci::sqlite3, plain ? settings_.path : "db=\"" + settings_.path + '"');
      db_ = static_cast<soci::sqlite3_session_backend*>(session_->get_backend())->conn_;
      sqlite3_extended_result_codes(db_, 1);
      sqlite3_busy_handler(db_, &sqlite_database::on_busy, this);
      sqlite3_progress_handler(db_, 1000, &sqlite_database::on_progress, this);
      exec("SELECT count(*) FROM sqlite_master"); // Opening reads nothing: this notices a file that is no database.
      for (const auto& text : settings_.setup)
        exec(text);
      if (settings_.inbox && settings_.create_inbox)
        exec(inbox_ddl(settings_));
      return std::nullopt;
    } catch (const sql_failure& why) {
      close();
      return unreachable(why.what == sql_failure::kind::refused ? why.message + " (SQLite code " + why.code + ")"
                                                                : "it does not answer");
    } catch (const std::exception& e) {
      close();
      return unreachable(e.what());
    }
  }

  std::optional<sql_failure> ping(deadline until) override {
    until_ = lock_until_ = until;
    try {
      struct stat found {};
      if (::stat(settings_.path.c_str(), &found) != 0)
        return unreachable(settings_.path + ": " + std::generic_category().message(errno)); // We hold a deleted file.
      exec("SELECT count(*) FROM sqlite_master");
      return std::nullopt;
    } catch (const sql_failure& why) {
      // A long writer is no reason to call the database down.
      return why.what == sql_failure::kind::refused && (std::stoi(why.code) & 0xff) == SQLITE_BUSY ? std::nullopt
                                                                                                   : std::optional{why};
    }
  }

  execution execute(const transaction& t, deadline until) override {
    until_ = until;
    const auto left = left_until(until);
    const auto lock_wait = settings_.busy_timeout > milliseconds::zero() ? std::min(settings_.busy_timeout, left) : left / 2;
    lock_until_ = steady_clock::now() + lock_wait;
    execution how;
    how.results.resize(t.items.size());
    std::vector<bool> repeated(t.items.size());
    auto committing = false;
    try {
      for (const auto& s : t.steps) {
        if (stop_.raised())
          throw sql_failure{sql_failure::kind::interrupted, {}, {}};
        if (s.what != step::kind::begin
            && sqlite3_get_autocommit(db_)) // ON CONFLICT ROLLBACK and the like ended our transaction.
          throw sql_failure{sql_failure::kind::refused, "4", "the statement rolled back the transaction it ran in"};
        switch (s.what) {
          case step::kind::begin: exec(t.read_only ? "BEGIN" : "BEGIN IMMEDIATE"); break;
          case step::kind::claim_inbox: repeated[s.item] = !claim(t, t.items[s.item], how.results[s.item]); break;
          case step::kind::run:
            if (!repeated[s.item])
              how.results[s.item] = run(t.items[s.item]);
            break;
          case step::kind::keep_result:
            if (!repeated[s.item])
              keep(t, t.items[s.item], how.results[s.item]);
            break;
          case step::kind::commit:
            committing = true;
            exec("COMMIT");
            break;
        }
      }
      how.ended = execution::end::committed;
    } catch (const sql_failure& why) {
      how.why = why;
      // A commit that failed and left no transaction behind may be on disk or not.
      how.ended = committing && sqlite3_get_autocommit(db_) ? execution::end::unknown : execution::end::aborted;
      roll_back();
      if (how.ended == execution::end::unknown)
        how.why.what = sql_failure::kind::lost; // Asked again on a new connection, the inbox knows.
    }
    return how;
  }

private:
  static sql_failure unreachable(std::string why) { return {sql_failure::kind::unreachable, {}, std::move(why)}; }

  /// SQLite asks whether to try a lock again.
  static int on_busy(void* self, int tries) {
    const auto& me = *static_cast<sqlite_database*>(self);
    if (me.stop_.raised() || steady_clock::now() >= std::min(me.lock_until_, me.until_))
      return 0;
    std::this_thread::sleep_for(std::chrono::milliseconds{std::min(tries + 1, 10)});
    return 1;
  }
  /// SQLite asks, every thousand instructions, whether to stop.
  static int on_progress(void* self) {
    const auto& me = *static_cast<sqlite_database*>(self);
    return me.ending_ ? 0 : me.stop_.raised() || steady_clock::now() >= me.until_;
  }

  [[noreturn]] void fail() {
    const auto code = sqlite3_extended_errcode(db_);
    if ((code & 0xff) == SQLITE_INTERRUPT)
      throw sql_failure{stop_.raised() ? sql_failure::kind::interrupted : sql_failure::kind::out_of_time, {}, {}};
    if ((code & 0xff) == SQLITE_BUSY && stop_.raised())
      throw sql_failure{sql_failure::kind::interrupted, {}, {}};
    throw sql_failure{sql_failure::kind::refused, std::to_string(code), sqlite3_errmsg(db_)};
  }

  void exec(const std::string& text) {
    if (sqlite3_exec(db_, text.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
      fail();
  }

  void roll_back() {
    if (sqlite3_get_autocommit(db_))
      return;
    ending_ = true; // Nothing may interrupt the way out.
    if (sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr) != SQLITE_OK)
      close();
    ending_ = false;
  }

  void close() {
    prepared_.clear(); // Before the session: a connection with statements does not close.
    db_ = nullptr;
    session_.reset();
  }

  sqlite3_stmt* prepare(const std::string& text) {
    auto& kept = prepared_[text];
    if (!kept) {
      sqlite3_stmt* made = nullptr;
      if (sqlite3_prepare_v3(db_, text.data(), static_cast<int>(text.size()), SQLITE_PREPARE_PERSISTENT, &made, nullptr)
          != SQLITE_OK)
        fail();
      kept.reset(made);
    }
    return kept.get();
  }

  void bind(sqlite3_stmt* s, int position, std::string_view text) {
    // The bytes outlive the step; an empty view must still be '' and not NULL.
    check_bind(sqlite3_bind_text(s, position, text.empty() ? "" : text.data(), static_cast<int>(text.size()), nullptr));
  }
  void bind(sqlite3_stmt* s, int position, std::int64_t n) { check_bind(sqlite3_bind_int64(s, position, n)); }
  void bind(sqlite3_stmt* s, int position, const value& v) {
    if (const auto* text = std::get_if<std::string>(&v))
      bind(s, position, std::string_view{*text});
    else if (const auto* n = std::get_if<std::int64_t>(&v))
      bind(s, position, *n);
    else if (const auto* b = std::get_if<bool>(&v))
      bind(s, position, std::int64_t{*b});
    else if (const auto* d = std::get_if<decimal>(&v))
      check_bind(sqlite3_bind_double(s, position, std::strtod(d->token.c_str(), nullptr)));
    else
      check_bind(sqlite3_bind_null(s, position));
  }
  void check_bind(int code) {
    if (code != SQLITE_OK)
      fail();
  }

  /// True when there is a row.
  bool advance(sqlite3_stmt* s) {
    const auto code = sqlite3_step(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
      fail();
    return code == SQLITE_ROW;
  }

  /// False when the row was there already; then `result` is the first one.
  bool claim(const transaction& t, const work& w, std::string& result) {
    {
      auto* s = prepare(
        "INSERT INTO " + settings_.inbox_table
        + " (queue, source, id, message_epoch, message_serial, fence) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING");
      const running r{s};
      const auto fence = to_string(w.fence);
      bind_key(s, t, w);
      bind(s, 4, static_cast<std::int64_t>(w.message.epoch));
      bind(s, 5, static_cast<std::int64_t>(w.message.serial));
      bind(s, 6, std::string_view{fence});
      advance(s);
      if (sqlite3_changes(db_) == 1)
        return true;
    }
    auto* s = prepare("SELECT result FROM " + settings_.inbox_table + " WHERE queue = ?1 AND source = ?2 AND id = ?3");
    const running r{s};
    bind_key(s, t, w);
    if (advance(s) && sqlite3_column_type(s, 0) != SQLITE_NULL)
      result = column_text(s, 0);
    return false;
  }

  void keep(const transaction& t, const work& w, const std::string& result) {
    auto* s = prepare("UPDATE " + settings_.inbox_table + " SET result = ?4 WHERE queue = ?1 AND source = ?2 AND id = ?3");
    const running r{s};
    bind_key(s, t, w);
    bind(s, 4, std::string_view{result});
    advance(s);
  }

  void bind_key(sqlite3_stmt* s, const transaction& t, const work& w) {
    bind(s, 1, std::string_view{t.queue});
    bind(s, 2, std::string_view{w.source});
    bind(s, 3, std::string_view{w.id});
  }

  std::string run(const work& w) {
    auto* s = prepare(w.statement->text);
    if (w.statement->read_only && !sqlite3_stmt_readonly(s))
      throw sql_failure{sql_failure::kind::not_read_only, {}, {}};
    const running r{s};
    for (std::size_t i = 0; i < w.parameters.size(); ++i)
      bind(s, static_cast<int>(i + 1), w.parameters[i]);
    row_collector rows{w.statement->result};
    while (advance(s))
      if (w.statement->result != result_kind::none && !rows.add(row_json(s)))
        throw rows.fault();
    return rows.take();
  }

  static std::string_view column_text(sqlite3_stmt* s, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(s, column));
    return {text ? text : "", static_cast<std::size_t>(sqlite3_column_bytes(s, column))};
  }

  static std::string row_json(sqlite3_stmt* s) {
    json_writer w;
    w.begin_object();
    for (int i = 0; i < sqlite3_column_count(s); ++i) {
      w.key(sqlite3_column_name(s, i));
      switch (sqlite3_column_type(s, i)) {
        case SQLITE_INTEGER: w.number(std::int64_t{sqlite3_column_int64(s, i)}); break;
        case SQLITE_FLOAT:
          if (const auto d = sqlite3_column_double(s, i); std::isfinite(d))
            w.number(d);
          else
            w.null();
          break;
        case SQLITE_TEXT: w.string(column_text(s, i)); break;
        case SQLITE_BLOB: w.string(hex(s, i)); break;
        default: w.null();
      }
    }
    w.end_object();
    return w.take();
  }

  /// "\x00ff", as PostgreSQL writes its bytea.
  static std::string hex(sqlite3_stmt* s, int column) {
    constexpr auto digits = "0123456789abcdef";
    const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(s, column));
    const auto size = sqlite3_column_bytes(s, column);
    std::string out = "\\x";
    for (int i = 0; i < size; ++i) {
      out += digits[bytes[i] >> 4];
      out += digits[bytes[i] & 15];
    }
    return out;
  }

  const settings settings_;
  interrupter& stop_;
  std::unique_ptr<soci::session> session_;
  sqlite_api::sqlite3* db_ = nullptr;
  std::map<std::string, statement_ptr> prepared_;
  deadline until_{}, lock_until_{};
  bool ending_ = false;
};

} // namespace

std::unique_ptr<database> make_sqlite(const settings& s, interrupter& stop) {
  return std::make_unique<sqlite_database>(s, stop);
}

} // namespace sallyport::adapters::sql
