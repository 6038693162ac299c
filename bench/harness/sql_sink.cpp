#include "bench/harness/sql_sink.hpp"

#include "bench/harness/event.hpp"

#include <libpq-fe.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace {

struct close_connection {
  void operator()(PGconn* c) const { PQfinish(c); }
};
using connection = std::unique_ptr<PGconn, close_connection>;

void must(PGconn* on, PGresult* result, ExecStatusType wanted, const char* what) {
  const auto got = PQresultStatus(result);
  PQclear(result);
  if (got != wanted)
    throw std::runtime_error(std::string(what) + ": " + PQerrorMessage(on));
}

// An array of text in its literal form: our events hold quotes, and could hold backslashes.
void append_element(std::string& array, std::string_view text) {
  array += array.empty() ? "{\"" : ",\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      array += '\\';
    array += c;
  }
  array += '"';
}

class sql_sink final : public sink {
public:
  sql_sink(std::string conninfo, sink& then) : conninfo_(std::move(conninfo)), then_(then) {}

  void take(std::span<const std::string_view> events) override {
    auto* on = mine();
    std::string ids, bodies;
    for (const auto event : events) {
      append_element(ids, std::to_string(stamp_of(event).number));
      append_element(bodies, event);
    }
    ids += '}';
    bodies += '}';
    const char* values[] = {ids.c_str(), bodies.c_str()};
    // One statement outside a transaction is a transaction: begun, committed and synced by one round trip.
    must(on, PQexecPrepared(on, "add", 2, values, nullptr, nullptr, 0), PGRES_COMMAND_OK, "writing a batch");
    then_.take(events);
  }

private:
  PGconn* mine() {
    const std::lock_guard lock(mutex_);
    auto& c = connections_[std::this_thread::get_id()];
    if (!c) {
      c.reset(PQconnectdb(conninfo_.c_str()));
      if (PQstatus(c.get()) != CONNECTION_OK)
        throw std::runtime_error("connecting to the database: " + std::string(PQerrorMessage(c.get())));
      must(c.get(),
           PQprepare(c.get(), "add", "INSERT INTO effects (id, body) SELECT * FROM unnest($1::text[], $2::text[])", 2, nullptr),
           PGRES_COMMAND_OK, "preparing the insert");
    }
    return c.get();
  }

  std::string conninfo_;
  sink& then_;
  std::mutex mutex_;
  std::map<std::thread::id, connection> connections_;
};

} // namespace

std::unique_ptr<sink> make_sql_sink(const std::string& conninfo, sink& then) {
  return std::make_unique<sql_sink>(conninfo, then);
}

} // namespace sallyport::bench
