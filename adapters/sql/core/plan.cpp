#include "adapters/sql/core/plan.hpp"

#include "adapters/api/event_reader.hpp"
#include "protocol/probe.hpp"

#include <algorithm>
#include <charconv>
#include <set>

namespace sallyport::adapters::sql {
namespace {

value to_value(const event_value& v) {
  using kind = event_value::kind;
  switch (v.what) {
    case kind::missing:
    case kind::null: return std::monostate{};
    case kind::boolean: return v.raw == "true";
    case kind::number: {
      std::int64_t n = 0;
      const auto end = v.raw.data() + v.raw.size();
      if (auto [p, ec] = std::from_chars(v.raw.data(), end, n); ec == std::errc{} && p == end)
        return n;
      return decimal{std::string{v.raw}};
    }
    default: return v.text();
  }
}

value to_value(const job& j, const event_reader& event, const std::string& path) {
  if (path == "$message")
    return to_string(j.message);
  if (path == "$fence")
    return to_string(j.fence);
  if (path == "$attempt")
    return std::int64_t{j.attempt};
  if (path == "$queue")
    return queue_of(j);
  return to_value(event.at(path));
}

bool has_prefix(const std::string& code, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&code](std::string_view p) { return code.compare(0, p.size(), p) == 0; });
}

/// SQLite's primary result code: the low byte of the extended one.
int primary(const std::string& code) {
  int n = 0;
  std::from_chars(code.data(), code.data() + code.size(), n);
  return n & 0xff;
}

bool is_lock(backend_kind backend, const std::string& code) {
  if (backend == backend_kind::sqlite)
    return primary(code) == 5 || primary(code) == 6; // SQLITE_BUSY, SQLITE_LOCKED
  return has_prefix(code, {"55P03", "40001", "40P01", "55006"});
}

/// Refusals by which the database says that it is unwell, not that the message is.
bool is_unwell(backend_kind backend, const std::string& code) {
  if (backend == backend_kind::sqlite) {
    switch (primary(code)) {
      case 3:  // PERM
      case 7:  // NOMEM
      case 8:  // READONLY
      case 10: // IOERR
      case 11: // CORRUPT
      case 13: // FULL
      case 14: // CANTOPEN
      case 15: // PROTOCOL
      case 26: // NOTADB
        return true;
      default: return false;
    }
  }
  // Connections, authorisation, no such database, read-only (a standby after a fail-over), idle timeout, resources, shutdown, system.
  return has_prefix(code, {"08", "28", "3D", "25006", "25P03", "53", "57P", "58"});
}

/// Refusals that the same message will meet again, whatever happens to the rest of the database. The rest is retried: a foreign key may
/// find its row, a table its migration.
bool is_hopeless(backend_kind backend, const std::string& code) {
  if (backend == backend_kind::sqlite) {
    int extended = 0;
    std::from_chars(code.data(), code.data() + code.size(), extended);
    constexpr int foreign_key = 787;
    const auto p = primary(code);
    return (p == 19 && extended != foreign_key) || p == 18 || p == 20 || p == 25; // CONSTRAINT, TOOBIG, MISMATCH, RANGE
  }
  return has_prefix(code, {"22", "23", "44", "54", "2D", "0A"}) && code != "23503";
}

} // namespace

bool transaction::has(step::kind what) const {
  return std::any_of(steps.begin(), steps.end(), [what](const step& s) { return s.what == what; });
}

result<catalog> catalog::make(const settings& s) {
  catalog made;
  std::string faults;
  for (const auto& [name, statement] : s.statements) {
    if (auto compiled = compile(name, statement, s.backend))
      made.statements_.emplace(name, std::move(*compiled));
    else
      faults += compiled.err().detail + '\n';
  }
  const auto known = [&s](const std::string& name) { return s.statements.find(name) != s.statements.end(); };
  for (const auto& [type, name] : s.statement_by_type)
    if (!known(name))
      faults += "events of type '" + type + "' use statement '" + name + "', which does not exist\n";
  if (!s.default_statement.empty() && !known(s.default_statement))
    faults += "default_statement '" + s.default_statement + "' does not exist\n";
  if (!faults.empty())
    return make_error(errc::invalid_config, faults.substr(0, faults.size() - 1));
  made.by_type_ = s.statement_by_type;
  made.default_ = s.default_statement;
  return made;
}

const compiled_statement* catalog::find(const std::string& type) const {
  const auto mapped = by_type_.find(type);
  const auto found = statements_.find(mapped == by_type_.end() ? default_ : mapped->second);
  return found == statements_.end() ? nullptr : &found->second;
}

std::string queue_of(const job& j) {
  return j.group.str() + '/' + j.connection.str();
}

std::variant<work, failure> plan_work(const catalog& statements, const job& j, std::size_t index) {
  const auto* statement = statements.find(j.attributes.type);
  if (!statement)
    return failure{.error = "no statement is configured for events of type '" + j.attributes.type + "'",
                   .retryable = false,
                   .effect = wire::effect_state::none};
  work w;
  w.job = index;
  w.statement = statement;
  w.source = j.attributes.source;
  w.id = j.attributes.id;
  w.message = j.message;
  w.fence = j.fence;
  w.event_bytes = j.event ? j.event->size() : 0;
  w.parameters.reserve(statement->paths.size());
  if (!statement->paths.empty()) {
    const event_reader event{j.event ? std::string_view{*j.event} : std::string_view{}};
    for (const auto& path : statement->paths)
      w.parameters.push_back(to_value(j, event, path));
  }
  return w;
}

transaction make_transaction(std::vector<work> items, const std::string& queue, bool inbox) {
  transaction t;
  t.queue = queue;
  t.items = std::move(items);
  t.read_only = std::all_of(t.items.begin(), t.items.end(), [](const work& w) { return w.statement->read_only; });
  const auto each = [&t](step::kind what, auto&& wanted) {
    for (std::size_t i = 0; i < t.items.size(); ++i)
      if (wanted(t.items[i]))
        t.steps.push_back({what, i});
  };
  const auto any = [](const work&) { return true; };
  const auto has_result = [](const work& w) { return w.statement->result != result_kind::none; };
  t.steps.push_back({step::kind::begin});
  const bool late = SALLYPORT_MUTANT(inbox_last) || SALLYPORT_MUTANT(inbox_outside);
  if (inbox && !t.read_only && !late)
    each(step::kind::claim_inbox, any);
  each(step::kind::run, any);
  if (SALLYPORT_MUTANT(inbox_last))
    each(step::kind::claim_inbox, any);
  if (inbox && !t.read_only)
    each(step::kind::keep_result, has_result);
  t.steps.push_back({step::kind::commit});
  if (SALLYPORT_MUTANT(inbox_outside))
    each(step::kind::claim_inbox, any);
  return t;
}

std::vector<transaction> plan_transactions(std::vector<work> works, const std::string& queue, bool inbox, std::size_t batch_max) {
  std::vector<std::vector<work>> writes;
  std::vector<std::set<std::pair<std::string, std::string>>> keys;
  std::vector<work> reads;
  std::size_t first_open = 0; // Writes before it are full.
  for (auto& w : works) {
    if (w.statement->read_only) {
      reads.push_back(std::move(w));
      continue;
    }
    while (first_open < writes.size() && writes[first_open].size() >= batch_max)
      ++first_open;
    auto at = first_open;
    while (at < writes.size() && (writes[at].size() >= batch_max || keys[at].count({w.source, w.id}) > 0))
      ++at;
    if (at == writes.size()) {
      writes.emplace_back();
      keys.emplace_back();
    }
    keys[at].emplace(w.source, w.id);
    writes[at].push_back(std::move(w));
  }
  std::vector<transaction> transactions;
  for (auto& items : writes)
    transactions.push_back(make_transaction(std::move(items), queue, inbox));
  for (auto& w : reads) {
    std::vector<work> alone;
    alone.push_back(std::move(w));
    transactions.push_back(make_transaction(std::move(alone), queue, inbox));
  }
  return transactions;
}

bool blames_target(backend_kind backend, const sql_failure& why) {
  switch (why.what) {
    case sql_failure::kind::unreachable:
    case sql_failure::kind::lost: return true;
    case sql_failure::kind::refused: return is_lock(backend, why.code) || is_unwell(backend, why.code);
    default: return false;
  }
}

bool cured_by_reconnect(backend_kind backend, const sql_failure& why) {
  if (why.what == sql_failure::kind::lost)
    return true;
  // Administrator's command or crash; statement gone; "cached plan must not change result type" after an ALTER TABLE.
  return backend == backend_kind::postgresql && why.what == sql_failure::kind::refused
         && has_prefix(why.code, {"08", "57P01", "57P02", "25P03", "26000", "0A000"});
}

bool worth_trying_alone(backend_kind backend, const sql_failure& why) {
  // A lock is held on some row: the messages for other rows need not wait for it. A database that is unwell is so for all of them.
  return !blames_target(backend, why) || (why.what == sql_failure::kind::refused && is_lock(backend, why.code));
}

failure classify(backend_kind backend, const execution& how, const std::string& what) {
  using kind = sql_failure::kind;
  const auto& why = how.why;
  failure f;
  f.effect = how.ended == execution::end::unknown ? wire::effect_state::unknown : wire::effect_state::none;
  f.scope = blames_target(backend, why) ? wire::failure_scope::target : wire::failure_scope::message;
  f.error = what + ": ";
  switch (why.what) {
    case kind::refused: {
      f.retryable = f.scope == wire::failure_scope::target || !is_hopeless(backend, why.code);
      const auto word = backend == backend_kind::sqlite ? " (SQLite code " : " (SQLSTATE ";
      f.error += why.message + word + why.code + ")";
      break;
    }
    case kind::unreachable: f.error += "no connection to the database: " + why.message; break;
    case kind::lost: f.error += "the connection to the database broke: " + why.message; break;
    case kind::interrupted: f.error += "stopped before the commit"; break;
    case kind::out_of_time: f.error += "no time was left before the commit"; break;
    case kind::result_too_large:
      f.error += "the result is larger than 256 KiB; nothing was kept of it";
      f.retryable = false;
      break;
    case kind::too_many_rows:
      f.error += "the statement returned more than one row, and says result = \"row\"";
      f.retryable = false;
      break;
    case kind::bad_parameter:
      f.error += why.message;
      f.retryable = false;
      break;
    case kind::not_read_only:
      f.error += "the statement says read_only, and writes";
      f.retryable = false;
      break;
  }
  if (how.ended == execution::end::unknown)
    f.error += " (the commit was sent and not answered)";
  return f;
}

} // namespace sallyport::adapters::sql
