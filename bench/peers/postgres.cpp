// PostgreSQL as a queue: a table per queue, DELETE of what SELECT ... FOR UPDATE SKIP LOCKED finds. libpq's asynchronous calls, binary
// values. The server runs as user postgres when the benchmark runs as root, because PostgreSQL refuses root.
#include "bench/harness/clock.hpp"
#include "bench/peers/daemon.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/poll_until.hpp"

#include <libpq-fe.h>

#include <arpa/inet.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// How long a consumer that has found nothing waits before it looks again.
constexpr milliseconds poll_every{1};
// Where a consumer begins to look is what it took so long ago, and the very beginning so often.
constexpr milliseconds look_back{200}, look_at_all_every{250};
constexpr std::size_t connections_max = 1500; // 160 clients, eight connections each.

std::string table_named(std::size_t queue) {
  return "q" + std::to_string(queue);
}

// -- libpq ------------------------------------------------------------------------------------------------------------------------

struct close_connection {
  void operator()(PGconn* c) const { PQfinish(c); }
};
struct clear_result {
  void operator()(PGresult* r) const { PQclear(r); }
};
using connection = std::unique_ptr<PGconn, close_connection>;
using result = std::unique_ptr<PGresult, clear_result>;

[[noreturn]] void fail(PGconn* on, const std::string& what) {
  throw std::runtime_error(what + ": " + PQerrorMessage(on));
}

std::string conninfo(std::uint16_t port) {
  return "host=127.0.0.1 port=" + std::to_string(port)
         + " dbname=postgres user=bench connect_timeout=60 sslmode=disable gssencmode=disable";
}

connection connect(const std::string& to) {
  connection c(PQconnectdb(to.c_str()));
  if (PQstatus(c.get()) != CONNECTION_OK)
    fail(c.get(), "connecting to PostgreSQL");
  return c;
}

result run(PGconn* on, const std::string& sql) {
  result r(PQexec(on, sql.c_str()));
  if (const auto status = PQresultStatus(r.get()); status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
    fail(on, sql);
  return r;
}

void prepare(PGconn* on, const char* name, const std::string& sql) {
  const result r(PQprepare(on, name, sql.c_str(), 0, nullptr));
  if (PQresultStatus(r.get()) != PGRES_COMMAND_OK)
    fail(on, sql);
}

// -- the server -------------------------------------------------------------------------------------------------------------------

fs::path binaries() {
  for (const int version : {17, 16, 15, 14})
    if (auto path = fs::path("/usr/lib/postgresql") / std::to_string(version) / "bin"; fs::exists(path / "postgres"))
      return path;
  throw std::runtime_error("no PostgreSQL server is installed (Debian: postgresql)");
}

// A folder below ours that the server's user owns and can reach. Folders of other people are not opened for it.
fs::path folder_for_server(const fs::path& ours) {
  auto folder = fs::absolute(ours) / "cluster";
  fs::create_directories(folder);
  if (geteuid() != 0)
    return folder;
  const auto* who = getpwnam("postgres");
  if (who == nullptr || chown(folder.c_str(), who->pw_uid, who->pw_gid) != 0)
    throw std::runtime_error("giving " + folder.string()
                             + " to user postgres: " + (who ? std::strerror(errno) : "there is none"));
  const auto temporary = fs::temp_directory_path();
  for (auto at = folder.parent_path(); at != at.root_path(); at = at.parent_path()) {
    struct stat about {};
    if (stat(at.c_str(), &about) != 0)
      throw std::runtime_error("looking at " + at.string() + ": " + std::strerror(errno));
    if ((about.st_mode & S_IXOTH) != 0)
      continue;
    const auto [end, ignored] = std::mismatch(temporary.begin(), temporary.end(), at.begin(), at.end());
    if (end != temporary.end() || at == temporary)
      throw std::runtime_error("user postgres cannot enter " + at.string() + "; choose a folder that all may enter (TMPDIR)");
    fs::permissions(at, fs::perms::others_exec, fs::perm_options::add);
  }
  return folder;
}

// The words that start a program as user postgres when we are root, and let it die with us.
std::vector<std::string> as_server_user(std::vector<std::string> words) {
  std::vector<std::string> prefix;
  if (geteuid() == 0)
    prefix = {"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "QUIT", "--"};
  prefix.insert(prefix.end(), words.begin(), words.end());
  return prefix;
}

class cluster final : public server {
public:
  explicit cluster(const server_options& options)
    : queues_(options.queues),
      folder_(folder_for_server(options.folder)),
      daemon_({.name = "postgres",
               .folder = initialised(options.folder),
               .stop_signal = SIGINT, // What pg_ctl sends for a fast stop.
               .argv =
                 [data = (folder_ / "data").string()](std::uint16_t port) {
                   std::vector<std::string> words{(binaries() / "postgres").string(), "-D", data, "-p", std::to_string(port)};
                   for (const auto& setting :
                        {std::string("listen_addresses=127.0.0.1"), std::string("unix_socket_directories="),
                         "max_connections=" + std::to_string(connections_max), std::string("shared_buffers=1GB"),
                         std::string("max_wal_size=8GB"), std::string("min_wal_size=2GB"), std::string("autovacuum_naptime=5s"),
                         std::string("autovacuum_vacuum_cost_delay=0"), std::string("jit=off")})
                     words.insert(words.end(), {"-c", setting});
                   return as_server_user(std::move(words));
                 },
               .serves = [](std::uint16_t port) { return PQping(conninfo(port).c_str()) == PQPING_OK; }}) {
    const auto on = connect(conninfo(daemon_.port()));
    for (std::size_t i = 0; i < queues_; ++i) {
      const auto table = table_named(i);
      run(on.get(), "CREATE TABLE " + table
                      + " (id bigserial PRIMARY KEY, body bytea NOT NULL)"
                        " WITH (autovacuum_vacuum_scale_factor = 0.05, vacuum_truncate = off)");
      // Our events' filler compresses to nothing, which real ones do not.
      run(on.get(), "ALTER TABLE " + table + " ALTER body SET STORAGE EXTERNAL");
    }
  }

  std::string address() const override { return std::to_string(daemon_.port()); }
  std::vector<pid_t> processes() const override { return daemon_.processes(); }

  std::uint64_t unacknowledged() override {
    const auto on = connect(conninfo(daemon_.port()));
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < queues_; ++i)
      n += std::stoull(PQgetvalue(run(on.get(), "SELECT count(*) FROM " + table_named(i)).get(), 0, 0));
    return n;
  }

  std::chrono::nanoseconds restart() override { return daemon_.restart(); }

private:
  fs::path initialised(const fs::path& ours) const {
    const auto log = (ours / "initdb.log").string();
    testing::process initdb({.argv = as_server_user({(binaries() / "initdb").string(), "-D", (folder_ / "data").string(), "-U",
                                                     "bench", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"}),
                             .stdout_file = log});
    if (const auto end = initdb.wait(std::chrono::minutes(2)); !end || end->code != 0)
      throw std::runtime_error("initdb: " + initdb.out());
    return ours;
  }

  std::size_t queues_;
  fs::path folder_;
  daemon daemon_;
};

// -- the producer -----------------------------------------------------------------------------------------------------------------

template <class Integer>
void append_number(std::string& out, Integer n) {
  for (auto shift = 8 * sizeof n; shift > 0; shift -= 8)
    out += static_cast<char>(static_cast<std::make_unsigned_t<Integer>>(n) >> (shift - 8) & 0xff);
}

std::int64_t number_from(std::string_view bytes) {
  std::uint64_t n = 0;
  for (const char c : bytes)
    n = n << 8 | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(n);
}

class table_producer final : public producer {
public:
  table_producer(const std::string& address, const producer_options& options)
    : copy_("COPY " + table_named(options.queue) + " (body) FROM STDIN (FORMAT binary)") {
    for (std::size_t i = 0; i < options.in_flight; ++i) {
      auto& l = lines_.emplace_back();
      l.on = connect(conninfo(static_cast<std::uint16_t>(std::stoi(address))));
      prepare(l.on.get(), "add", "INSERT INTO " + table_named(options.queue) + " (body) VALUES ($1)");
      if (PQsetnonblocking(l.on.get(), 1) != 0)
        fail(l.on.get(), "talking to PostgreSQL without waiting");
    }
  }

  void send(std::span<const std::string_view> events) override {
    const auto l = std::find_if(lines_.begin(), lines_.end(), [](const line& candidate) { return !candidate.busy; });
    if (l == lines_.end())
      throw std::runtime_error("more requests at once than connections");
    l->busy = true;
    l->number = sent_++;
    auto* on = l->on.get();
    if (events.size() == 1) {
      const char* value = events.front().data();
      const int length = static_cast<int>(events.front().size()), binary = 1;
      if (PQsendQueryPrepared(on, "add", 1, &value, &length, &binary, 0) != 1)
        fail(on, "sending an INSERT");
    } else {
      using namespace std::string_view_literals;
      auto& d = l->data;
      d.assign("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"sv); // The signature, no flags, no extension.
      for (const auto event : events) {
        append_number(d, std::int16_t{1}); // Of fields.
        append_number(d, static_cast<std::int32_t>(event.size()));
        d.append(event);
      }
      append_number(d, std::int16_t{-1});
      if (PQsendQuery(on, copy_.c_str()) != 1)
        fail(on, copy_);
    }
    write(*l);
  }

  std::vector<std::uint64_t> reap(std::chrono::nanoseconds at_most) override {
    std::vector<std::uint64_t> acknowledged;
    const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
    while (true) {
      wishes_.clear();
      for (const auto& l : lines_)
        wishes_.push_back({l.busy ? PQsocket(l.on.get()) : -1, static_cast<short>(POLLIN | (l.unwritten ? POLLOUT : 0)), 0});
      const bool ready = poll_until(wishes_, give_up, "PostgreSQL");
      for (std::size_t i = 0; ready && i < lines_.size(); ++i) {
        if ((wishes_[i].revents & POLLOUT) != 0)
          write(lines_[i]);
        if ((wishes_[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && is_done(lines_[i]))
          acknowledged.push_back(lines_[i].number);
      }
      if (!acknowledged.empty() || now_ns() >= give_up)
        return acknowledged;
    }
  }

private:
  struct line {
    connection on;
    bool busy = false, unwritten = false;
    std::uint64_t number = 0;
    std::string data; // For COPY.
  };

  static void write(line& l) {
    const int left = PQflush(l.on.get());
    if (left < 0)
      fail(l.on.get(), "writing to PostgreSQL");
    l.unwritten = left == 1;
  }

  // Takes what has come for it; true when its request has been committed.
  static bool is_done(line& l) {
    auto* on = l.on.get();
    if (PQconsumeInput(on) != 1)
      fail(on, "reading from PostgreSQL");
    while (PQisBusy(on) == 0) {
      const result r(PQgetResult(on));
      if (!r) {
        l.busy = false;
        return true;
      }
      switch (PQresultStatus(r.get())) {
        case PGRES_COMMAND_OK: break;
        case PGRES_COPY_IN: // Asked for only now, because libpq lets nobody send data before the server has agreed to take it.
          if (PQputCopyData(on, l.data.data(), static_cast<int>(l.data.size())) != 1 || PQputCopyEnd(on, nullptr) != 1)
            fail(on, "sending the data of a COPY");
          write(l);
          return false;
        default: fail(on, "adding messages");
      }
    }
    return false;
  }

  std::string copy_;
  std::vector<line> lines_;
  std::vector<pollfd> wishes_;
  std::uint64_t sent_ = 0;
};

// -- the consumer -----------------------------------------------------------------------------------------------------------------

// Where the next search begins. The index entries of deleted rows are passed over one by one until a vacuum has removed them, which would
// make every batch dearer than the last; so a search leaves out what came before the rows of a moment ago. From the very beginning
// it goes now and then, for rows that were committed late or whose consumer died.
class search {
public:
  [[nodiscard]] std::int64_t begin() {
    const auto now = now_ns();
    if (now < all_at_)
      return from_;
    all_at_ = now + static_cast<std::uint64_t>(std::chrono::nanoseconds(look_at_all_every).count());
    return 0;
  }
  void found(std::int64_t id) {
    const auto now = now_ns();
    if (now < advance_at_)
      return;
    advance_at_ = now + static_cast<std::uint64_t>(std::chrono::nanoseconds(look_back).count());
    from_ = next_;
    next_ = std::max(next_, id);
  }

private:
  std::int64_t from_ = 0, next_ = 0;
  std::uint64_t all_at_ = 0, advance_at_ = 0;
};

class table_consumer final : public consumer {
public:
  table_consumer(const std::string& address, const consumer_options& options) {
    const auto table = table_named(options.queue);
    const auto workers = std::max<std::size_t>(1, std::min<std::size_t>(2, options.window / options.batch));
    for (std::size_t i = 0; i < workers; ++i) {
      // Nobody has analysed a table that changes this fast: without a hint the planner may sort all of it.
      lines_.push_back(connect(conninfo(static_cast<std::uint16_t>(std::stoi(address)))
                               + " options='-c enable_seqscan=off -c enable_bitmapscan=off'"));
      auto* on = lines_.back().get();
      prepare(on, "begin", "BEGIN");
      prepare(on, "commit", "COMMIT");
      prepare(on, "take",
              "DELETE FROM " + table + " WHERE ctid = ANY (ARRAY (SELECT ctid FROM " + table
                + " WHERE id >= $1::bigint ORDER BY id LIMIT " + std::to_string(options.batch)
                + " FOR UPDATE SKIP LOCKED)) RETURNING body, id");
      if (PQenterPipelineMode(on) != 1)
        fail(on, "entering pipeline mode");
    }
  }

  void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) override {
    on_ready();
    std::vector<std::exception_ptr> failures(lines_.size());
    std::stop_source failed;
    const std::stop_callback pass_on(until, [&failed] { failed.request_stop(); });
    {
      std::vector<std::jthread> workers;
      for (std::size_t i = 0; i < lines_.size(); ++i)
        workers.emplace_back([&, i] {
          try {
            consume(lines_[i].get(), work, failed.get_token());
          } catch (...) {
            failures[i] = std::current_exception();
            failed.request_stop();
          }
        });
    }
    for (const auto& f : failures)
      if (f)
        std::rethrow_exception(f);
  }

private:
  void consume(PGconn* on, sink& work, const std::stop_token& until) {
    search place;
    std::vector<std::string_view> events;
    bool holds = false; // Rows that the transaction has deleted.
    begin_statement(on, "begin");
    auto batch = taken(on, place);
    while (true) {
      holds = PQntuples(batch.get()) > 0;
      if (!holds) { // On in the same transaction: it has done nothing, and each statement sees what was committed before it.
        const std::lock_guard one_looks(looking_);
        while (!holds && !until.stop_requested()) {
          std::this_thread::sleep_for(poll_every);
          batch = taken(on, place);
          holds = PQntuples(batch.get()) > 0;
        }
      }
      if (!holds)
        break;
      events.clear();
      for (int i = 0; i < PQntuples(batch.get()); ++i)
        events.emplace_back(PQgetvalue(batch.get(), i, 0), static_cast<std::size_t>(PQgetlength(batch.get(), i, 0)));
      work.take(events);
      if (until.stop_requested())
        break;
      begin_statement(on, "commit");
      begin_statement(on, "begin");
      batch = taken(on, place);
    }
    if (holds) {
      begin_statement(on, "commit");
      answers(on);
    }
  }

  static void begin_statement(PGconn* on, const char* name) {
    if (PQsendQueryPrepared(on, name, 0, nullptr, nullptr, nullptr, 1) != 1)
      fail(on, name);
  }

  // In one write with the statements begun before.
  static result taken(PGconn* on, search& place) {
    std::string from;
    append_number(from, place.begin());
    const char* value = from.data();
    const int length = static_cast<int>(from.size()), binary = 1;
    if (PQsendQueryPrepared(on, "take", 1, &value, &length, &binary, 1) != 1)
      fail(on, "take");
    auto rows = answers(on);
    if (!rows)
      throw std::runtime_error("PostgreSQL answered a DELETE ... RETURNING without rows");
    if (PQntuples(rows.get()) > 0)
      place.found(number_from({PQgetvalue(rows.get(), 0, 1), static_cast<std::size_t>(PQgetlength(rows.get(), 0, 1))}));
    return rows;
  }

  // The rows that one of the statements begun gave, after all of them have been carried out.
  static result answers(PGconn* on) {
    if (PQpipelineSync(on) != 1)
      fail(on, "asking PostgreSQL");
    result rows;
    while (true) {
      result r(PQgetResult(on));
      if (!r) { // The end of one statement's results.
        if (PQstatus(on) != CONNECTION_OK)
          fail(on, "taking messages");
        continue;
      }
      switch (PQresultStatus(r.get())) {
        case PGRES_COMMAND_OK: break;
        case PGRES_TUPLES_OK: rows = std::move(r); break;
        case PGRES_PIPELINE_SYNC: return rows;
        default: fail(on, "taking messages");
      }
    }
  }
  std::vector<connection> lines_;
  std::mutex looking_; // Of several workers that find nothing one looks again.
};

} // namespace

std::vector<system> postgres_systems() {
  system s;
  s.name = "postgres";
  s.title = "PostgreSQL SKIP LOCKED";
  s.package = "postgresql-15";
  s.durable = true;
  s.durability =
    "a request is one transaction, and so is a consumer's batch; their COMMITs return after the write-ahead log was synced";
  s.settings = {
    "server: fsync, synchronous_commit, full_page_writes and autovacuum on; shared_buffers 1 GB, max_wal_size 8 GB, "
    "autovacuum unthrottled and looking every 5 s",
    "table: bigserial primary key; bytea that is not compressed, because the benchmark's filler compresses as real events do not",
    "producer: a connection per request in flight, COPY in binary (one event: a prepared INSERT)",
    "consumers: two connections each; DELETE of what SELECT ... ORDER BY id LIMIT n FOR UPDATE SKIP LOCKED finds, RETURNING in "
    "binary; COMMIT, BEGIN and the next DELETE in one round trip",
    "a search begins at the id it took a fifth of a second ago, and four times a second at the first: index entries of deleted "
    "rows "
    "are in its way until a vacuum",
    "an empty table is looked at again after 1 ms by one connection of each consumer (NOTIFY takes a lock under which producers "
    "commit one by one: tried, and slower at everything but 500 messages a second)"};
  s.start = [](const server_options& o) { return std::make_unique<cluster>(o); };
  s.make_producer = [](const std::string& a, const producer_options& o) { return std::make_unique<table_producer>(a, o); };
  s.make_consumer = [](const std::string& a, const consumer_options& o) { return std::make_unique<table_consumer>(a, o); };
  return {s};
}

} // namespace sallyport::bench
