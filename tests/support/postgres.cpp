#include "tests/support/postgres.hpp"

#include "tests/support/free_port.hpp"

#include <libpq-fe.h>

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

namespace sallyport::testing {
namespace {

namespace fs = std::filesystem;

fs::path binaries() {
  for (const int version : {17, 16, 15, 14})
    if (auto path = fs::path{"/usr/lib/postgresql"} / std::to_string(version) / "bin"; fs::exists(path / "postgres"))
      return path;
  throw std::runtime_error("no PostgreSQL server is installed (Debian: postgresql)");
}

/// Starts a program as user postgres if we are root, with its output in a file.
pid_t spawn(const std::vector<std::string>& words, const std::string& output) {
  const auto* who = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
  if (::geteuid() == 0 && !who)
    throw std::runtime_error("there is no user postgres");
  std::vector<char*> arguments;
  for (const auto& word : words)
    arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const auto parent = ::getpid();
  const auto child = ::fork();
  if (child < 0)
    throw std::runtime_error("fork failed");
  if (child > 0)
    return child;
  if (who && (::setgroups(0, nullptr) != 0 || ::setgid(who->pw_gid) != 0 || ::setuid(who->pw_uid) != 0))
    ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT); // After setuid, which would undo it.
  if (::getppid() != parent)
    ::_exit(126);
  const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

std::string read_file(const std::string& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\')
      out += '\\';
    out += c;
  }
  return out + "'";
}

} // namespace

postgres_client::postgres_client(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str())) {
  if (PQstatus(connection_) != CONNECTION_OK) {
    const std::string why = PQerrorMessage(connection_);
    PQfinish(connection_);
    throw std::runtime_error(why);
  }
  PQsetNoticeProcessor(
    connection_, [](void*, const char*) {}, nullptr);
}
postgres_client::~postgres_client() {
  PQfinish(connection_);
}

std::string postgres_client::run(const std::string& sql) {
  const std::unique_ptr<PGresult, void (*)(PGresult*)> r{PQexec(connection_, sql.c_str()), &PQclear};
  const auto status = PQresultStatus(r.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
    throw std::runtime_error(PQresultErrorMessage(r.get()));
  return PQntuples(r.get()) > 0 && PQnfields(r.get()) > 0 ? PQgetvalue(r.get(), 0, 0) : "";
}

postgres_server::postgres_server(std::vector<std::string> settings, const fs::path& below)
  : dir_(below),
    settings_(std::move(settings)) {
  if (const auto* who = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr)
    if (::chown(dir_.path().c_str(), who->pw_uid, who->pw_gid) != 0)
      throw std::runtime_error("chown failed");
  const auto secret = dir_ / "password";
  std::ofstream{secret} << password_ << '\n';
  fs::permissions(secret, fs::perms::owner_read | fs::perms::others_read); // Of a server that lives as long as the test.
  int status = 0;
  const auto init = spawn({(binaries() / "initdb").string(), "-D", dir_ / "data", "-U", user_, "-A", "scram-sha-256", "--pwfile",
                           secret, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"},
                          dir_ / "initdb.log");
  if (::waitpid(init, &status, 0) != init || status != 0)
    throw std::runtime_error("initdb failed: " + read_file(dir_ / "initdb.log"));
  port_ = free_port();
  start();
}

postgres_server::~postgres_server() {
  stop();
}

void postgres_server::start() {
  if (process_ > 0)
    return;
  const auto log = dir_ / "server.log";
  for (int starts = 0; starts < 5; ++starts) { // Its port may be a client's own for a moment, when it is started again.
    std::vector<std::string> words{(binaries() / "postgres").string(),
                                   "-D",
                                   dir_ / "data",
                                   "-p",
                                   std::to_string(port_),
                                   "-c",
                                   "listen_addresses=127.0.0.1",
                                   "-c",
                                   "unix_socket_directories=" + dir_.path().string()};
    for (const auto& setting : settings_)
      words.insert(words.end(), {"-c", setting});
    process_ = spawn(words, log);
    for (int tries = 0; tries < 600; ++tries) {
      if (PQping(conninfo("postgres").c_str()) == PQPING_OK)
        return;
      if (int status = 0; ::waitpid(process_, &status, WNOHANG) == process_) {
        process_ = -1;
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{50});
    }
    stop();
  }
  throw std::runtime_error("PostgreSQL does not start: " + read_file(log));
}

void postgres_server::stop(int how) {
  if (process_ <= 0)
    return;
  ::kill(process_, how);
  int status = 0;
  for (int tries = 0; tries < 400; ++tries) {
    if (::waitpid(process_, &status, WNOHANG) == process_) {
      process_ = -1;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{25});
  }
  ::kill(process_, SIGKILL);
  ::waitpid(process_, &status, 0);
  process_ = -1;
}

std::string postgres_server::conninfo(const std::string& database) const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " dbname=" + database + " user=" + quoted(user_)
         + " password=" + quoted(password_) + " connect_timeout=5";
}

std::string postgres_server::create_database() {
  auto name = "test" + std::to_string(++databases_);
  run("postgres", "CREATE DATABASE " + name);
  return name;
}

} // namespace sallyport::testing
