#include "bench/harness/sql_sink.hpp"

#include "bench/harness/event.hpp"

#include <libpq-fe.h>

#include <arpa/inet.h>

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

// A text[] in PostgreSQL's binary form: nothing is escaped here, nothing is scanned there.
class text_array {
public:
  explicit text_array(std::size_t elements) {
    constexpr std::uint32_t dimensions = 1, with_nulls = 0, type_text = 25, lower_bound = 1;
    for (const auto n : {dimensions, with_nulls, type_text, static_cast<std::uint32_t>(elements), lower_bound})
      number(n);
  }
  void add(std::string_view text) {
    number(static_cast<std::uint32_t>(text.size()));
    bytes_.append(text);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
  void number(std::uint32_t n) {
    n = htonl(n);
    bytes_.append(reinterpret_cast<const char*>(&n), sizeof n);
  }
  std::string bytes_;
};

class sql_sink final : public sink {
public:
  sql_sink(std::string conninfo, sink& then) : conninfo_(std::move(conninfo)), then_(then) {}

  void take(std::span<const std::string_view> events) override {
    auto* on = mine();
    text_array ids(events.size()), bodies(events.size());
    for (const auto event : events) {
      ids.add(std::to_string(stamp_of(event).number));
      bodies.add(data_of(event));
    }
    const char* values[] = {ids.bytes().data(), bodies.bytes().data()};
    const int sizes[] = {static_cast<int>(ids.bytes().size()), static_cast<int>(bodies.bytes().size())};
    const int binary[] = {1, 1};
    // One statement outside a transaction is a transaction: begun, committed and synced by one round trip.
    must(on, PQexecPrepared(on, "add", 2, values, sizes, binary, 0), PGRES_COMMAND_OK, "writing a batch");
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
