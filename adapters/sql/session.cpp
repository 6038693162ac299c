#include "adapters/sql/settings.hpp"

#include "adapters/sql/database.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <system_error>

namespace sallyport::adapters::sql {
namespace {

using std::chrono::steady_clock;

bool is_identifier(std::string_view name) {
  bool begin = true, dot = false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (c == '.' && !begin && !dot)
      begin = dot = true;
    else if (letter || (!begin && c >= '0' && c <= '9'))
      begin = false;
    else
      return false;
  }
  return !begin && name.size() <= 63;
}

std::string target_of(const settings& s) {
  if (s.backend == backend_kind::sqlite)
    return "sqlite://" + s.path;
  return "postgresql://" + s.host + ':' + std::to_string(s.port) + '/' + s.database;
}

/// Raises the interrupter when one of the jobs is cancelled, as long as it lives.
class watch {
public:
  watch(const transaction& t, const std::vector<job>& jobs, interrupter& stop) {
    stop.reset();
    for (const auto& item : t.items)
      if (const auto& signal = jobs[item.job].cancel; signal && signals_.insert(signal.get()).second)
        signal->set_hook([&stop] { stop.raise(); });
  }
  ~watch() {
    for (auto* signal : signals_)
      signal->clear_hook();
  }
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;

private:
  std::set<cancel_signal*> signals_; // Jobs may share one.
};

class sql_adapter final : public adapter {
public:
  sql_adapter(const settings& s, std::shared_ptr<const catalog> statements)
    : settings_(s),
      statements_(std::move(statements)),
      target_(target_of(s)),
      database_(s.backend == backend_kind::sqlite ? make_sqlite(s, stop_) : make_postgresql(s, stop_)) {}

  probe_result probe() override {
    stop_.reset();
    // A connection that died while idle deserves a second one before we call the target down.
    std::optional<sql_failure> fault;
    for (int tries = 0; tries < 2; ++tries) {
      const auto fresh = !database_->connected();
      fault = fresh ? database_->connect() : std::nullopt;
      if (!fault)
        fault = database_->ping(steady_clock::now() + settings_.connect_timeout);
      if (!fault)
        return {wire::reach::up, {}};
      database_->disconnect();
      if (fresh)
        break;
    }
    return {wire::reach::down, failed(classify(settings_.backend, {.why = *fault}, "probe of " + target_)).error};
  }

  std::vector<outcome> perform(const std::vector<job>& jobs) override {
    const auto now = steady_clock::now();
    std::vector<outcome> outcomes(jobs.size());
    std::vector<work> works;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      auto planned = plan_work(*statements_, jobs[i], i);
      if (auto* f = std::get_if<failure>(&planned))
        outcomes[i] = failed(std::move(*f));
      else
        works.push_back(std::move(std::get<work>(planned)));
    }
    if (works.empty())
      return outcomes;
    for (auto& t : plan_transactions(std::move(works), queue_of(jobs.front()), settings_.inbox, settings_.batch_max))
      run(std::move(t), {jobs, now, outcomes});
    return outcomes;
  }

private:
  struct call {
    const std::vector<job>& jobs;
    deadline began;
    std::vector<outcome>& outcomes;
    [[nodiscard]] deadline until(const work& w) const { return began + jobs[w.job].time_left; }
  };

  /// Takes out what need not be begun, and says so in its outcome.
  void drop_stopped(transaction& t, const call& c) const {
    std::vector<work> kept;
    for (auto& item : t.items) {
      auto why = c.jobs[item.job].cancelled();
      if (why == cancel_reason::none && left_until(c.until(item)) <= milliseconds::zero())
        why = cancel_reason::attempt_timeout;
      if (why == cancel_reason::none)
        kept.push_back(std::move(item));
      else
        c.outcomes[item.job] = stopped(why, wire::effect_state::none);
    }
    t = make_transaction(std::move(kept), t.queue, settings_.inbox);
  }

  void run(transaction t, const call& c) {
    drop_stopped(t, c);
    if (t.items.empty())
      return;
    auto how = attempt(t, c);
    if (how.ended == execution::end::committed) {
      for (std::size_t i = 0; i < t.items.size(); ++i)
        c.outcomes[t.items[i].job] = done(std::move(how.results[i]));
      return;
    }
    if (t.items.size() > 1 && how.ended == execution::end::aborted && worth_trying_alone(settings_.backend, how.why)) {
      for (auto& item : t.items) {
        std::vector<work> alone;
        alone.push_back(std::move(item));
        run(make_transaction(std::move(alone), t.queue, settings_.inbox), c);
      }
      return;
    }
    for (const auto& item : t.items)
      c.outcomes[item.job] = judge(item, how, c);
  }

  outcome judge(const work& item, const execution& how, const call& c) const {
    const auto effect = how.ended == execution::end::unknown ? wire::effect_state::unknown : wire::effect_state::none;
    if (how.why.what == sql_failure::kind::interrupted)
      return stopped(c.jobs[item.job].cancelled(), effect);
    if (how.why.what == sql_failure::kind::out_of_time)
      return stopped(cancel_reason::attempt_timeout, effect);
    return failed(classify(settings_.backend, how, "statement '" + item.statement->name + "' on " + target_));
  }

  /// Runs it, on a second connection if the first one broke: a database that was restarted is no failure of the target. With the inbox
  /// this is safe even when the commit was on its way, and turns "unknown" into the answer that was lost.
  execution attempt(const transaction& t, const call& c) {
    auto until = deadline::max();
    for (const auto& item : t.items)
      until = std::min(until, c.until(item));
    const watch watching{t, c.jobs, stop_};
    execution how;
    bool maybe_committed = false;
    for (int tries = 0; tries < 2; ++tries) {
      auto fault = database_->connected() ? std::nullopt : database_->connect();
      if (fault && stop_.raised())
        fault = sql_failure{sql_failure::kind::interrupted, {}, {}};
      how = fault ? execution{.ended = execution::end::aborted, .why = *fault} : database_->execute(t, until);
      maybe_committed = maybe_committed || how.ended == execution::end::unknown;
      const auto repeatable = !maybe_committed || settings_.inbox || t.read_only;
      if (how.ended == execution::end::committed || !cured_by_reconnect(settings_.backend, how.why) || !repeatable)
        break;
      database_->disconnect();
      if (left_until(until) <= milliseconds::zero())
        break;
    }
    if (maybe_committed && how.ended == execution::end::aborted)
      how.ended = execution::end::unknown; // The second try could not tell either.
    return how;
  }

  settings settings_;
  std::shared_ptr<const catalog> statements_;
  std::string target_;
  interrupter stop_;
  std::unique_ptr<database> database_;
};

} // namespace

interrupter::interrupter() : descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (descriptor_ < 0)
    throw std::system_error(errno, std::generic_category(), "eventfd");
}
interrupter::~interrupter() {
  ::close(descriptor_);
}
void interrupter::raise() noexcept {
  raised_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  (void)!::write(descriptor_, &one, sizeof one);
}
void interrupter::reset() noexcept {
  raised_.store(false, std::memory_order_release);
  std::uint64_t sink = 0;
  (void)!::read(descriptor_, &sink, sizeof sink);
}

milliseconds left_until(deadline until) {
  return std::chrono::ceil<milliseconds>(until - steady_clock::now());
}

bool row_collector::add(std::string_view row_json) {
  ++count_;
  if (shape_ == result_kind::none)
    return true;
  if (shape_ == result_kind::row && count_ > 1)
    return false;
  too_large_ = rows_.size() + row_json.size() + 2 > result_bytes_max;
  if (too_large_)
    return false;
  if (!rows_.empty())
    rows_ += ',';
  rows_ += row_json;
  return true;
}

std::string row_collector::take() {
  switch (shape_) {
    case result_kind::none: return {};
    case result_kind::row: return rows_.empty() ? "null" : std::move(rows_);
    case result_kind::rows: return '[' + rows_ + ']';
  }
  return {};
}

sql_failure row_collector::fault() const {
  return {too_large_ ? sql_failure::kind::result_too_large : sql_failure::kind::too_many_rows, {}, {}};
}

std::string inbox_ddl(const settings& s) {
  // The id first, and by bytes: nearly every comparison of two keys ends there, and asks no locale.
  const std::string text = s.backend == backend_kind::sqlite ? "TEXT NOT NULL" : "text COLLATE \"C\" NOT NULL";
  const auto integer = s.backend == backend_kind::sqlite ? "INTEGER" : "bigint";
  const auto now =
    s.backend == backend_kind::sqlite ? "TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP" : "timestamptz NOT NULL DEFAULT now()";
  // clang-format off
  return "CREATE TABLE IF NOT EXISTS " + s.inbox_table +
         " (\n"
         "  queue " + text + ",\n"
         "  source " + text + ",\n"
         "  id " + text + ",\n"
         "  message_epoch " + integer + " NOT NULL,\n"
         "  message_serial " + integer + " NOT NULL,\n"
         "  fence TEXT NOT NULL,\n"
         "  result TEXT,\n"
         "  done_at " + now + ",\n"
         "  PRIMARY KEY (id, source, queue)\n)";
  // clang-format on
}

result<void> check(const settings& s) {
  std::string faults;
  const auto fault = [&faults](const std::string& text) { faults += text + '\n'; };
  if (s.backend == backend_kind::sqlite) {
    if (s.path.empty() || s.path.front() != '/')
      fault("path must be the absolute path of the SQLite database");
    else if (s.path.find('"') != std::string::npos || s.path.find('\0') != std::string::npos)
      fault("path must not contain a quote or a zero byte");
  } else {
    if (s.host.empty())
      fault("host is missing");
    if (s.port == 0)
      fault("port must be 1 to 65535");
    if (s.database.empty())
      fault("database is missing");
    if (s.user.empty())
      fault("user is missing");
    constexpr std::string_view modes[] = {"disable", "prefer", "require", "verify-ca", "verify-full"};
    if (std::find(std::begin(modes), std::end(modes), s.tls) == std::end(modes))
      fault("tls must be disable, prefer, require, verify-ca or verify-full");
    for (const auto* text : {&s.host, &s.database, &s.user, &s.password, &s.ca_file})
      if (text->find('\0') != std::string::npos)
        fault("host, database, user, password and ca_file must not contain a zero byte");
  }
  if (s.statements.empty())
    fault("statements is empty: the adapter would have nothing to do");
  else if (s.statement_by_type.empty() && s.default_statement.empty())
    fault("neither statement_by_type nor default_statement says which statement an event uses");
  if (auto made = catalog::make(s); !made)
    fault(made.err().detail);
  if (!is_identifier(s.inbox_table))
    fault("inbox_table must be a plain name, optionally with a schema before it");
  if (s.batch_max == 0 || s.batch_max > 1024)
    fault("batch_max must be 1 to 1024");
  if (s.workers == 0 || s.workers > 64)
    fault("workers must be 1 to 64");
  if (s.busy_timeout < milliseconds::zero())
    fault("busy_timeout must not be negative");
  if (s.connect_timeout < milliseconds{1000})
    fault("connect_timeout must be at least 1000 ms");
  return faults.empty() ? result<void>{} : result<void>{errc::invalid_config, faults.substr(0, faults.size() - 1)};
}

factory make_factory(const settings& s) {
  auto compiled = catalog::make(s);
  SALLYPORT_ASSERT(compiled.ok()); // check() comes first.
  auto statements = std::make_shared<const catalog>(std::move(*compiled));
  return {{.kind = "sql",
           .effect = s.inbox ? wire::effect_promise::exactly_once : wire::effect_promise::at_least_once,
           .fingerprint = target_of(s),
           .batch_max = s.batch_max,
           .workers = s.workers},
          [s, statements]() -> std::unique_ptr<adapter> { return std::make_unique<sql_adapter>(s, statements); }};
}

} // namespace sallyport::adapters::sql
