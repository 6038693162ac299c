// PostgreSQL. SOCI makes and ends the session; statements run on its native handle in libpq's pipeline mode, because SOCI 4.0 waits a
// round trip for every statement and cannot be waited for with a deadline (ADR 0008 has the figures). A batch costs two round
// trips, three when statements have results, whatever its size; one or two more when some of its messages were here before.
#include "adapters/sql/database.hpp"

#include "protocol/json.hpp"

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>

namespace sallyport::adapters::sql {
namespace {

using std::chrono::steady_clock;

struct clear_result {
  void operator()(PGresult* r) const { PQclear(r); }
};
using result_ptr = std::unique_ptr<PGresult, clear_result>;

/// Thrown inside this file: the transaction cannot go on, but its connection can.
struct refused {
  sql_failure why;
};
/// Thrown inside this file: the connection is of no more use.
struct broken {
  sql_failure why;
};

constexpr milliseconds grace{2000}; // For the server to answer after it was told to stop.

/// A value for the server; nothing: NULL.
struct parameter {
  std::optional<std::string> bytes;
  bool binary = false;

  parameter(std::string text) : bytes(std::move(text)) {}                // NOLINT(google-explicit-constructor): a text.
  parameter(std::optional<std::string> text) : bytes(std::move(text)) {} // NOLINT(google-explicit-constructor)
  parameter(std::string b, bool is_binary) : bytes(std::move(b)), binary(is_binary) {}
};

/// A text[] in binary form: as text the server would have to look at every character for quotes.
class text_array {
public:
  text_array() {
    number(1);  // Dimensions;
    number(1);  // there may be NULLs;
    number(25); // of text;
    number(0);  // so many, as take() knows;
    number(1);  // counted from 1 on.
  }
  void add(std::string_view item) {
    number(static_cast<std::uint32_t>(item.size()));
    bytes_ += item;
    ++count_;
  }
  void add_null() {
    number(~std::uint32_t{0});
    ++count_;
  }
  [[nodiscard]] parameter take() {
    for (unsigned i = 0; i < 4; ++i)
      bytes_[12 + i] = static_cast<char>(count_ >> (24 - 8 * i));
    return {std::move(bytes_), true};
  }

private:
  void number(std::uint32_t n) {
    const char big_endian[] = {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                               static_cast<char>(n)};
    bytes_.append(big_endian, sizeof big_endian);
  }

  std::string bytes_;
  std::uint32_t count_ = 0;
};

/// The name of a type to which a text can be cast with the same outcome as when it is the parameter itself; else nothing. Ids as in
/// PostgreSQL's pg_type.dat, fixed for ever.
std::string_view type_of_texts(Oid type) {
  switch (type) {
    case 16: return "bool";
    case 17: return "bytea";
    case 20: return "int8";
    case 21: return "int2";
    case 23: return "int4";
    case 25: return "text";
    case 114: return "json";
    case 700: return "float4";
    case 701: return "float8";
    case 1042: return "bpchar";
    case 1043: return "varchar";
    case 1082: return "date";
    case 1083: return "time";
    case 1114: return "timestamp";
    case 1184: return "timestamptz";
    case 1700: return "numeric";
    case 2950: return "uuid";
    case 3802: return "jsonb";
    default: return {};
  }
}

std::string percent_encoded(const std::string& text) {
  constexpr auto digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_') {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

const std::string& checked(const std::string& text) {
  if (text.find('\0') != std::string::npos)
    throw refused{
      {sql_failure::kind::bad_parameter, {}, "a text with a zero character (\\u0000) cannot be stored by PostgreSQL"}};
  return text;
}

std::optional<std::string> to_text(const value& v) {
  if (const auto* text = std::get_if<std::string>(&v))
    return checked(*text);
  if (const auto* n = std::get_if<std::int64_t>(&v))
    return std::to_string(*n);
  if (const auto* b = std::get_if<bool>(&v))
    return *b ? "true" : "false";
  if (const auto* d = std::get_if<decimal>(&v))
    return d->token;
  return std::nullopt;
}

void append_cell(json_writer& w, const PGresult* r, int row, int column) {
  if (PQgetisnull(r, row, column)) {
    w.null();
    return;
  }
  const std::string_view text{PQgetvalue(r, row, column), static_cast<std::size_t>(PQgetlength(r, row, column))};
  switch (PQftype(r, column)) {             // Type ids as in PostgreSQL's pg_type.dat, fixed for ever.
    case 16: w.boolean(text == "t"); break; // bool
    case 20:
    case 21:
    case 23:
    case 26: w.raw(text); break; // int8, int2, int4, oid
    case 700:
    case 701:
    case 1700: // float4, float8, numeric: a number, except NaN and the infinities
      if (text.find_first_not_of("0123456789+-.eE") == std::string_view::npos)
        w.raw(text);
      else
        w.string(text);
      break;
    case 114:
    case 3802: w.raw(text); break; // json, jsonb
    default: w.string(text);
  }
}

std::string row_json(const PGresult* r, int row) {
  json_writer w;
  w.begin_object();
  for (int i = 0; i < PQnfields(r); ++i) {
    w.key(PQfname(r, i));
    append_cell(w, r, row, i);
  }
  w.end_object();
  return w.take();
}

class postgresql_database final : public database {
public:
  postgresql_database(const settings& s, interrupter& stop) : settings_(s), stop_(stop) {}

  bool connected() const override { return session_ != nullptr; }

  void disconnect() override {
    db_ = nullptr;
    session_.reset();
    prepared_.clear();
    bulk_.clear();
    timeouts_ = {};
    commands_.clear();
    careful_ = 0;
  }

  std::optional<sql_failure> connect() override {
    try {
      session_ = std::make_unique<soci::session>(soci::postgresql, connection_string());
      db_ = static_cast<soci::postgresql_session_backend*>(session_->get_backend())->conn_;
      PQsetNoticeProcessor(
        db_, [](void*, const char*) {}, nullptr); // Not onto our standard error.
      if (PQsetnonblocking(db_, 1) != 0 || PQenterPipelineMode(db_) != 1)
        throw broken{{sql_failure::kind::unreachable, {}, PQerrorMessage(db_)}};
      until_ = steady_clock::now() + settings_.connect_timeout;
      stopping_ = false;
      for (const auto& text : settings_.setup)
        set_up(text);
      if (settings_.inbox && settings_.create_inbox)
        make_inbox();
      return std::nullopt;
    } catch (const refused& r) {
      disconnect();
      return sql_failure{
        sql_failure::kind::unreachable, {}, "its setup was refused: " + r.why.message + " (SQLSTATE " + r.why.code + ")"};
    } catch (const broken& b) {
      disconnect();
      return b.why;
    } catch (const std::exception& e) {
      disconnect();
      return sql_failure{sql_failure::kind::unreachable, {}, e.what()};
    }
  }

  std::optional<sql_failure> ping(deadline until) override {
    until_ = until;
    stopping_ = false;
    try {
      run_one("SELECT 1");
      return std::nullopt;
    } catch (const refused& r) {
      return r.why;
    } catch (const broken& b) {
      disconnect();
      return b.why;
    }
  }

  execution execute(const transaction& t, deadline until) override {
    until_ = until;
    stopping_ = false;
    commit_sent_ = false;
    execution how;
    how.results.resize(t.items.size());
    try {
      carry_out(t, how.results);
      how.ended = execution::end::committed;
    } catch (const refused& r) {
      how.why = r.why;
      roll_back();
    } catch (const broken& b) {
      how.why = b.why;
      how.ended = commit_sent_ ? execution::end::unknown : execution::end::aborted;
      disconnect();
    }
    // The server's word for our own cancel, and for its statement_timeout.
    if (how.ended == execution::end::aborted && how.why.what == sql_failure::kind::refused && how.why.code == "57014")
      how.why = {stop_.raised() ? sql_failure::kind::interrupted : sql_failure::kind::out_of_time, {}, {}};
    return how;
  }

private:
  /// A command that was sent, and what to do with its rows.
  struct command {
    std::function<void(const PGresult*)> on_rows{};
    bool row_by_row = false; // Rows come one at a time, so that a huge answer never lies in memory.
    bool is_commit = false;
    bool is_claim = false;
    bool describes = false; // on_rows gets the description of a statement.
    std::string prepares{}; // The name of the statement it makes.
  };
  using parameters = std::vector<parameter>;

  /// As a URI, in which everything is percent-encoded: SOCI eats spaces out of the "key='value'" form.
  std::string connection_string() const {
    const auto connect_s =
      std::max<std::int64_t>(std::chrono::ceil<seconds>(settings_.connect_timeout).count(), 2); // libpq's least
    const auto host =
      settings_.host.find(':') != std::string::npos ? '[' + settings_.host + ']' : percent_encoded(settings_.host);
    auto uri = "postgresql://" + percent_encoded(settings_.user)
               + (settings_.password.empty() ? "" : ':' + percent_encoded(settings_.password)) + '@' + host + ':'
               + std::to_string(settings_.port) + '/' + percent_encoded(settings_.database) + "?sslmode=" + settings_.tls
               + "&connect_timeout=" + std::to_string(connect_s) +
               // A peer that fell silent is noticed, also by the connection that carries a cancel.
               "&tcp_user_timeout=10000&keepalives_idle=30&client_encoding=UTF8&application_name=sallyport";
    if (!settings_.ca_file.empty())
      uri += "&sslrootcert=" + percent_encoded(settings_.ca_file);
    const auto writes = std::any_of(settings_.statements.begin(), settings_.statements.end(),
                                    [](const auto& named) { return !named.second.read_only; });
    if (writes)
      uri += "&target_session_attrs=read-write"; // After a fail-over the old primary may answer as a standby.
    return uri;
  }

  void make_inbox() {
    auto present = false;
    send("SELECT to_regclass($1) IS NOT NULL", {settings_.inbox_table},
         {.on_rows = [&present](const PGresult* r) { present = PQgetvalue(r, 0, 0)[0] == 't'; }});
    sync();
    if (present)
      return; // CREATE TABLE IF NOT EXISTS wants the right to create, even then.
    set_up(inbox_ddl(settings_));
  }

  /// IF NOT EXISTS looks before it makes: when another agent makes the same at the same moment, it has to look again.
  void set_up(const std::string& text) {
    try {
      run_one(text);
    } catch (const refused& r) {
      const auto& code = r.why.code; // Of a table, an object, a key of the catalog that is there already.
      if (code != "42P07" && code != "42710" && code != "23505")
        throw;
      run_one(text);
    }
  }

  // ---- a transaction ---------------------------------------------------------------------------------------------------------

  void carry_out(const transaction& t, std::vector<std::string>& results) {
    if (stop_.raised())
      throw refused{{sql_failure::kind::interrupted, {}, {}}};
    set_timeouts();
    std::vector<bool> repeated(t.items.size(), false);
    send(t.read_only ? "BEGIN READ ONLY" : "BEGIN", {}, {});
    if (!t.has(step::kind::claim_inbox)) {
      run_and_commit(t, repeated, results);
      return;
    }
    if (!claim_new(t)) {
      repeated.assign(t.items.size(), true);
      send_claims(t, repeated);
      sync();
      if (std::find(repeated.begin(), repeated.end(), true) != repeated.end()) {
        send_recall(t, repeated, results);
        sync();
      }
    }
    run_and_commit(t, repeated, results);
  }

  /// Nearly always every message is new, and an insert that need not expect a conflict and tell of none costs the server half as much. False
  /// when the inbox has to be asked: one of them may be there. The transaction is open and empty then.
  bool claim_new(const transaction& t) {
    if (careful_ > 0) {
      --careful_;
      return false;
    }
    claim_refused_ = false;
    claimed_ = 0;
    send_prepared("claim_new", claim_text(), claim_values(t), {.is_claim = true});
    try {
      // Not in one round trip with the commit: should the connection break here, it is known that nothing was done.
      sync();
      if (claimed_ == t.items.size())
        return true; // Else a trigger of somebody's kept rows out: those are not claimed.
    } catch (const refused&) {
      if (!claim_refused_)
        throw;
    }
    careful_ = careful_after_a_repetition;
    send("ROLLBACK", {}, {});
    send("BEGIN", {}, {});
    return false;
  }

  void run_and_commit(const transaction& t, const std::vector<bool>& repeated, std::vector<std::string>& results) {
    const auto keeps = t.has(step::kind::keep_result);
    std::vector<row_collector> rows;
    rows.reserve(t.items.size()); // The commands point into it.
    for (const auto& w : t.items)
      rows.emplace_back(w.statement->result);
    for (std::size_t i = 0; i < t.items.size();) {
      if (repeated[i])
        ++i;
      else if (has_neighbour_alike(t, repeated, i) && can_bulk(*t.items[i].statement))
        i = send_bulk(t, repeated, i);
      else
        send_run(t.items[i], rows[i]), ++i;
    }
    const auto take_results = [&] {
      for (std::size_t i = 0; i < t.items.size(); ++i)
        if (!repeated[i])
          results[i] = rows[i].take();
    };
    if (keeps) {
      sync();
      take_results();
      send_results(t, repeated, results);
    }
    commit_sent_ = true;
    send("COMMIT", {}, {.is_commit = true});
    sync();
    if (!keeps)
      take_results();
  }

  /// All inbox rows in one statement, in key order, so that two agents never wait for each other's: the statement and its parameters.
  std::string claim_text() const {
    return "INSERT INTO " + settings_.inbox_table
           + " (queue, source, id, message_epoch, message_serial, fence)"
             " SELECT $1, k.source, k.id, k.epoch::bigint, k.serial::bigint, k.fence FROM"
             " unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS k(source, id, epoch, serial, fence)";
  }
  static parameters claim_values(const transaction& t) {
    std::vector<std::size_t> order(t.items.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    std::sort(order.begin(), order.end(), [&t](std::size_t a, std::size_t b) {
      return std::tie(t.items[a].source, t.items[a].id) < std::tie(t.items[b].source, t.items[b].id);
    });
    text_array sources, ids, epochs, serials, fences;
    for (const auto i : order) {
      const auto& w = t.items[i];
      sources.add(checked(w.source));
      ids.add(checked(w.id));
      epochs.add(std::to_string(w.message.epoch));
      serials.add(std::to_string(w.message.serial));
      fences.add(to_string(w.fence));
    }
    return {t.queue, sources.take(), ids.take(), epochs.take(), serials.take(), fences.take()};
  }

  /// Passes over those that are there, and says which they are.
  void send_claims(const transaction& t, std::vector<bool>& repeated) {
    send_prepared("claim", claim_text() + " ON CONFLICT DO NOTHING RETURNING source, id", claim_values(t),
                  {.on_rows = [&t, &repeated](const PGresult* r) {
                    std::set<std::pair<std::string_view, std::string_view>> fresh;
                    for (int row = 0; row < PQntuples(r); ++row)
                      fresh.emplace(PQgetvalue(r, row, 0), PQgetvalue(r, row, 1));
                    for (std::size_t i = 0; i < t.items.size(); ++i)
                      repeated[i] = fresh.count({t.items[i].source, t.items[i].id}) == 0;
                  }});
  }

  /// The first results of those that are there already.
  void send_recall(const transaction& t, const std::vector<bool>& repeated, std::vector<std::string>& results) {
    text_array positions, sources, ids;
    for (std::size_t i = 0; i < t.items.size(); ++i) {
      if (repeated[i]) {
        positions.add(std::to_string(i));
        sources.add(t.items[i].source);
        ids.add(t.items[i].id);
      }
    }
    send_prepared("recall",
                  "SELECT k.position, i.result FROM unnest($2::text[], $3::text[], $4::text[]) AS k(position, source, id) JOIN "
                    + settings_.inbox_table + " AS i ON i.queue = $1 AND i.source = k.source AND i.id = k.id",
                  {t.queue, positions.take(), sources.take(), ids.take()}, {.on_rows = [&results](const PGresult* r) {
                    for (int row = 0; row < PQntuples(r); ++row)
                      if (!PQgetisnull(r, row, 1))
                        results.at(std::stoul(PQgetvalue(r, row, 0))).assign(PQgetvalue(r, row, 1));
                  }});
  }

  void send_results(const transaction& t, const std::vector<bool>& repeated, const std::vector<std::string>& results) {
    text_array sources, ids, texts;
    auto any = false;
    for (std::size_t i = 0; i < t.items.size(); ++i) {
      if (repeated[i] || results[i].empty())
        continue;
      any = true;
      sources.add(t.items[i].source);
      ids.add(t.items[i].id);
      texts.add(results[i]);
    }
    if (any)
      send_prepared("keep",
                    "UPDATE " + settings_.inbox_table
                      + " AS i SET result = k.result FROM unnest($2::text[], $3::text[], $4::text[]) AS k(source, id, result)"
                        " WHERE i.queue = $1 AND i.source = k.source AND i.id = k.id",
                    {t.queue, sources.take(), ids.take(), texts.take()}, {});
  }

  /// Only neighbours are put into one command, so that all happens in order.
  static bool has_neighbour_alike(const transaction& t, const std::vector<bool>& repeated, std::size_t i) {
    const auto* statement = t.items[i].statement;
    for (++i; i < t.items.size() && t.items[i].statement == statement; ++i)
      if (!repeated[i])
        return true;
    return false;
  }

  /// Can one command insert many? Not where somebody's trigger, rule or key within the table would notice, and not for types that texts become
  /// otherwise. Asked once per connection, within the transaction, when first there are two: a statement that the server does not take fails as
  /// it would when run.
  bool can_bulk(const compiled_statement& s) {
    if (!s.bulk)
      return false;
    if (const auto known = bulk_.find(s.name); known != bulk_.end())
      return !known->second.empty();
    std::vector<std::string_view> types;
    bool is_plain = false;
    prepare("s_" + s.name, s.text);
    check_sent(PQsendDescribePrepared(db_, ("s_" + s.name).c_str()));
    commands_.push_back({.on_rows =
                           [&types](const PGresult* r) {
                             for (int i = 0; i < PQnparams(r); ++i)
                               types.push_back(type_of_texts(PQparamtype(r, i)));
                           },
                         .describes = true});
    send("SELECT c.relkind = 'r' AND NOT c.relhasrules"
         " AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)"
         " AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.confrelid = c.oid)"
         " FROM pg_class AS c WHERE c.oid = to_regclass($1)",
         {s.bulk->table},
         {.on_rows = [&is_plain](const PGresult* r) { is_plain = PQntuples(r) == 1 && PQgetvalue(r, 0, 0)[0] == 't'; }});
    sync();
    const auto can = is_plain && std::none_of(types.begin(), types.end(), [](std::string_view type) { return type.empty(); });
    return !bulk_.emplace(s.name, can ? bulk_text(*s.bulk, types) : "").first->second.empty();
  }

  /// From this item on, all that go into one command; returns the one after them.
  std::size_t send_bulk(const transaction& t, const std::vector<bool>& repeated, std::size_t i) {
    const auto& s = *t.items[i].statement;
    std::vector<text_array> arrays(s.paths.size());
    for (std::size_t bytes = 0; i < t.items.size() && t.items[i].statement == &s && bytes < bulk_bytes; ++i) {
      if (repeated[i])
        continue;
      bytes += t.items[i].event_bytes;
      for (std::size_t p = 0; p < arrays.size(); ++p)
        add(arrays[p], t.items[i].parameters[p]);
    }
    parameters values;
    for (auto& a : arrays)
      values.push_back(a.take());
    send_prepared("b_" + s.name, bulk_.at(s.name), values, {});
    return i;
  }

  static void add(text_array& to, const value& v) {
    if (const auto* text = std::get_if<std::string>(&v))
      to.add(checked(*text));
    else if (const auto other = to_text(v))
      to.add(*other);
    else
      to.add_null();
  }

  void send_run(const work& w, row_collector& rows) {
    parameters values;
    values.reserve(w.parameters.size());
    for (const auto& v : w.parameters)
      values.push_back(to_text(v));
    command c;
    if (w.statement->result != result_kind::none) {
      c.row_by_row = true;
      c.on_rows = [&rows](const PGresult* r) {
        for (int row = 0; row < PQntuples(r); ++row)
          if (!rows.add(row_json(r, row)))
            throw broken{rows.fault()}; // Dropping the connection is the one way not to read the rest.
      };
    }
    send_prepared("s_" + w.statement->name, w.statement->text, values, std::move(c));
  }

  /// On the session and only when they change: normally once per connection. The lock's is the shorter, so that the error says which.
  void set_timeouts() {
    const auto left = std::chrono::ceil<seconds>(std::max(left_until(until_), milliseconds{1}));
    const auto lock = settings_.busy_timeout > milliseconds::zero() ? std::min<milliseconds>(settings_.busy_timeout, left)
                                                                    : milliseconds{left} / 2;
    if (left == timeouts_)
      return;
    const auto statement_ms = std::to_string(milliseconds{left}.count());
    send("SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false),"
         " set_config('idle_in_transaction_session_timeout', $2, false)",
         {std::to_string(lock.count()), statement_ms}, {});
    sync_later(); // A transaction of its own, in the same round trip.
    timeouts_ = left;
  }

  void roll_back() {
    if (!db_)
      return;
    try {
      ending_ = true; // A cancel has had its effect; the way out has a time of its own.
      for (auto& c : commands_)
        c.on_rows = nullptr; // Nobody is left to take them.
      until_ = steady_clock::now() + grace;
      stopping_ = false;
      if (PQtransactionStatus(db_) != PQTRANS_IDLE || !commands_.empty()) {
        send("ROLLBACK", {}, {});
        sync();
      }
    } catch (const refused&) {
      disconnect();
    } catch (const broken&) {
      disconnect();
    }
    ending_ = false;
  }

  // ---- the pipeline ----------------------------------------------------------------------------------------------------------

  void run_one(const std::string& text) {
    send(text, {}, {});
    sync();
  }

  void send(const std::string& text, const parameters& values, command c) {
    const wire_values v{values};
    check_sent(PQsendQueryParams(db_, text.c_str(), v.count(), nullptr, v.bytes.data(), v.sizes.data(), v.formats.data(), 0));
    commands_.push_back(std::move(c));
  }

  void prepare(const std::string& name, const std::string& text) {
    if (prepared_.count(name) > 0 || !preparing_.insert(name).second)
      return;
    check_sent(PQsendPrepare(db_, name.c_str(), text.c_str(), 0, nullptr));
    command making;
    making.prepares = name;
    commands_.push_back(std::move(making));
  }

  void send_prepared(const std::string& name, const std::string& text, const parameters& values, command c) {
    prepare(name, text);
    const wire_values v{values};
    check_sent(PQsendQueryPrepared(db_, name.c_str(), v.count(), v.bytes.data(), v.sizes.data(), v.formats.data(), 0));
    commands_.push_back(std::move(c));
  }

  /// As libpq wants them. Points into the parameters.
  struct wire_values {
    explicit wire_values(const parameters& from) {
      for (const auto& p : from) {
        bytes.push_back(p.bytes ? p.bytes->c_str() : nullptr);
        sizes.push_back(p.bytes ? static_cast<int>(p.bytes->size()) : 0);
        formats.push_back(p.binary ? 1 : 0);
      }
    }
    [[nodiscard]] int count() const { return static_cast<int>(bytes.size()); }
    std::vector<const char*> bytes;
    std::vector<int> sizes, formats;
  };

  void check_sent(int sent) {
    if (sent != 1)
      throw broken{{sql_failure::kind::lost, {}, PQerrorMessage(db_)}};
  }

  /// Ends a segment: an error skips the rest of it, at the server.
  void sync_later() {
    check_sent(PQpipelineSync(db_));
    commands_.push_back({}); // Stands for the sync itself.
    commands_.back().prepares = sync_mark;
  }

  /// Sends all, reads the answers to all, and throws the first refusal.
  void sync() {
    sync_later();
    auto commands = std::move(commands_);
    commands_.clear();
    preparing_.clear();
    std::optional<sql_failure> first;
    for (auto& c : commands) {
      commit_next_ = c.is_commit;
      if (c.row_by_row)
        PQsetSingleRowMode(db_);
      if (c.prepares == sync_mark) {
        auto r = next(); // One result, and no null after it.
        if (!r || PQresultStatus(r.get()) != PGRES_PIPELINE_SYNC)
          throw broken{{sql_failure::kind::lost, {}, "the answers are out of step"}};
        continue;
      }
      while (auto r = next())
        take(c, r.get(), first);
    }
    if (first)
      throw refused{*first};
  }

  void take(const command& c, const PGresult* r, std::optional<sql_failure>& first) {
    switch (PQresultStatus(r)) {
      case PGRES_COMMAND_OK:
        if (c.is_commit && std::strcmp(PQcmdStatus(const_cast<PGresult*>(r)), "COMMIT") != 0 && !first)
          first = sql_failure{sql_failure::kind::refused, "25P02", "the transaction was rolled back"};
        if (c.is_claim)
          claimed_ = std::strtoull(PQcmdTuples(const_cast<PGresult*>(r)), nullptr, 10);
        if (!c.prepares.empty())
          prepared_.insert(c.prepares);
        if (c.describes)
          c.on_rows(r);
        return;
      case PGRES_SINGLE_TUPLE:
      case PGRES_TUPLES_OK:
        if (c.on_rows)
          c.on_rows(r);
        return;
      case PGRES_PIPELINE_ABORTED: return; // Skipped, because something before it was refused.
      default: break;
    }
    if (PQstatus(db_) != CONNECTION_OK)
      throw broken{{sql_failure::kind::lost, {}, PQerrorMessage(db_)}};
    const auto* code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const auto* text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    claim_refused_ = claim_refused_ || (c.is_claim && code && std::strcmp(code, "23505") == 0); // unique_violation
    if (!first)
      first = sql_failure{sql_failure::kind::refused, code ? code : "XX000", text ? text : PQresultErrorMessage(r)};
  }

  result_ptr next() {
    while (true) {
      const auto unsent = PQflush(db_);
      if (unsent < 0)
        throw broken{{sql_failure::kind::lost, {}, PQerrorMessage(db_)}};
      if (!PQisBusy(db_))
        return result_ptr{PQgetResult(db_)};
      wait(unsent == 1);
      if (PQconsumeInput(db_) != 1)
        throw broken{{sql_failure::kind::lost, {}, PQerrorMessage(db_)}};
    }
  }

  void wait(bool to_write) {
    const auto watches = !stopping_ && !ending_;
    pollfd fds[2] = {{PQsocket(db_), static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN), 0},
                     {stop_.descriptor(), POLLIN, 0}};
    const auto left = left_until(until_);
    const auto timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
    const auto ready = ::poll(fds, watches ? 2 : 1, timeout);
    if (ready < 0 && errno != EINTR)
      throw broken{{sql_failure::kind::lost, {}, std::generic_category().message(errno)}};
    const auto stopped = watches && (fds[1].revents & POLLIN) != 0;
    if (stopped || (ready == 0 && left_until(until_) <= milliseconds::zero()))
      stop();
  }

  /// Asks the server to stop, once; gives it a grace to say so, and then drops the connection. When nothing but the commit's answer is
  /// missing it is only waited for; until then a cancel makes the server skip the commit with all the rest.
  void stop() {
    const auto why = stop_.raised() ? sql_failure::kind::interrupted : sql_failure::kind::out_of_time;
    if (stopping_ || ending_)
      throw broken{{ending_ ? sql_failure::kind::lost : why, {}, "no answer came in time"}};
    stopping_ = true;
    until_ = steady_clock::now() + grace;
    if (commit_next_)
      return;
    const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> cancel{PQgetCancel(db_), &PQfreeCancel};
    char said[256];
    if (!cancel || PQcancel(cancel.get(), said, sizeof said) != 1)
      throw broken{{why, {}, "the server took no cancel request"}};
  }

  /// One command inserts of so many bytes at most and one event; the server takes no value beyond 1 GiB.
  static constexpr std::size_t bulk_bytes = 4 << 20;
  static constexpr auto sync_mark = "\n"; // No statement has this name.
  /// Repetitions come in numbers, after an agent or a connection was lost: so many transactions ask first.
  static constexpr int careful_after_a_repetition = 16;

  const settings settings_;
  interrupter& stop_;
  std::unique_ptr<soci::session> session_;
  PGconn* db_ = nullptr;
  std::set<std::string> prepared_, preparing_;
  std::map<std::string, std::string> bulk_; // By statement, how it inserts many; empty: it does not.
  std::vector<command> commands_;           // Sent, not answered.
  seconds timeouts_{};                      // As set on this connection.
  deadline until_{};
  bool stopping_ = false; // The server was told to stop.
  bool ending_ = false;   // Rolling back.
  bool commit_sent_ = false;
  bool claim_refused_ = false; // Because one of the messages was here before.
  std::size_t claimed_ = 0;    // Inbox rows that were inserted.
  int careful_ = 0;            // Transactions that ask the inbox first.
  bool commit_next_ = false;   // Its answer is the next to come.
};

} // namespace

std::unique_ptr<database> make_postgresql(const settings& s, interrupter& stop) {
  return std::make_unique<postgresql_database>(s, stop);
}

} // namespace sallyport::adapters::sql
