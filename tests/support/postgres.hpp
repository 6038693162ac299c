// A real PostgreSQL server of a test's own: a fresh cluster in a temporary directory, on a free loopback port, with passwords asked for.
// Stopped by its own process id when the object ends, and by the kernel should the test die first. Runs as user postgres when the test
// runs as root, because PostgreSQL refuses root.
#pragma once

#include "tests/support/temp_dir.hpp"

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

struct pg_conn;

namespace sallyport::testing {

/// One client connection.
class postgres_client {
public:
  explicit postgres_client(const std::string& conninfo);
  ~postgres_client();
  postgres_client(const postgres_client&) = delete;
  postgres_client& operator=(const postgres_client&) = delete;

  /// The first value of the first row; empty when there is none. Throws what the server says.
  std::string run(const std::string& sql);

private:
  pg_conn* connection_;
};

class postgres_server {
public:
  /// `settings`: what postgres -c takes. As it comes it does not sync, for tests that start many. Its files are in a folder below `below`,
  /// which user postgres must be able to enter.
  explicit postgres_server(std::vector<std::string> settings = {"fsync=off", "shared_buffers=32MB"},
                           const std::filesystem::path& below = std::filesystem::temp_directory_path());
  ~postgres_server();
  postgres_server(const postgres_server&) = delete;
  postgres_server& operator=(const postgres_server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] pid_t pid() const { return process_; }
  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] const std::string& password() const { return password_; }
  [[nodiscard]] std::string conninfo(const std::string& database) const;

  /// A new, empty database; its name.
  std::string create_database();
  /// A statement on a connection of its own.
  std::string run(const std::string& database, const std::string& sql) { return postgres_client{conninfo(database)}.run(sql); }

  /// SIGINT is fast: clients are disconnected. SIGQUIT is immediate: the next start recovers as from a crash.
  void stop(int how = SIGINT);
  /// Returns when it accepts connections.
  void start();

private:
  temp_dir dir_;
  std::string user_ = "erp user";
  std::string password_ = "it's a \\ \"secret\" = yes";
  std::uint16_t port_ = 0;
  pid_t process_ = -1;
  std::vector<std::string> settings_;
  int databases_ = 0;
};

} // namespace sallyport::testing
