#include "tests/chaos/cast.hpp"

#include "tests/support/free_port.hpp"
#include "tests/support/temp_dir.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace sallyport::chaos {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

namespace {

constexpr int lives_kept = 12; // Logs of so many lives of a program are kept.

void write(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  if (!out.flush())
    throw std::runtime_error("cannot write " + path);
}

} // namespace

std::string agent_name_of(int i) {
  return fmt::format("agent-{}", i);
}
std::string producer_name_of(int i) {
  return fmt::format("p{}", i);
}
std::string hand_name_of(int i) {
  return fmt::format("hand-{}", i);
}

cast::cast(cast_options options, say tell)
  : net(options.seed),
    orders(std::make_unique<shop>(options.seed, 1)),
    options_(std::move(options)),
    tell_(std::move(tell)),
    random_(options_.seed) {
  database_name_ = database.create_database();
  // No unique constraint: a doubled effect would show.
  database.run(database_name_, "CREATE TABLE effects (serial bigserial, id text NOT NULL, message text, fence text)");
  database.run(database_name_, "CREATE INDEX effects_id ON effects (id)");
  file_root_ = options_.folder + "/files";
  data_dir_ = options_.folder + "/hub";
  fs::create_directories(file_root_);
  fs::create_directories(data_dir_);
  if (options_.disk_bytes != 0) {
    mounted_ =
      ::mount("tmpfs", data_dir_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, fmt::format("size={}", options_.disk_bytes).c_str())
      == 0;
    if (!mounted_)
      tell_(fmt::format("no file system of its own for the hub ({}): the disk will not be full", std::strerror(errno)));
  }
  hub_port_ = testing::free_port();
  write(options_.folder + "/hub.toml",
        fmt::format("[hub]\ndata_dir = \"{}\"\nsession_ttl_ms = {}\nmap_bytes = 8589934592\ndisk_reserve_bytes = 33554432\n"
                    "[hub.policy]\nmax_attempts = 1000\nbackoff_min_ms = 50\nbackoff_max_ms = 1000\n"
                    "attempt_timeout_ms = 4000\nretention_ms = 7200000\n",
                    data_dir_, options_.session_ttl.count()));
  auto& h = programs_.emplace_back();
  h.name = "hub";
  h.argv = {
    SALLYPORT_BINARY, "hub", "--config", options_.folder + "/hub.toml", "--listen", fmt::format("127.0.0.1:{}", hub_port_),
    "--dev"};
  for (int i = 0; i < agents; ++i) {
    auto& a = programs_.emplace_back();
    a.name = agent_name_of(i);
    const auto config = options_.folder + "/" + a.name + ".toml";
    write(config, agent_config(a.name));
    a.argv = {SALLYPORT_BINARY, "agent", "--config", config};
  }
  const auto client = [&](const std::string& name) { client_ports_.emplace_back(name, net.add(name + " hub", hub_port_)); };
  for (int i = 0; i < producers; ++i)
    client(producer_name_of(i));
  for (int i = 0; i < hands; ++i)
    client(hand_name_of(i));
  for (auto& p : programs_)
    start(p);
}

cast::~cast() {
  for (auto& p : programs_)
    if (p.process) { // All at once, so that they end together.
      resume(p);
      p.process->signal(SIGTERM);
    }
  programs_.clear();
  if (mounted_)
    ::umount2(data_dir_.c_str(), MNT_DETACH);
}

std::string cast::agent_config(const std::string& name) {
  const auto secret = options_.folder + "/database-password";
  write(secret, database.password());
  fs::permissions(secret, fs::perms::owner_read | fs::perms::owner_write);
  const auto hub = net.add(name + " hub", hub_port_);
  const auto sql = net.add(name + " sql", database.port());
  const auto http = net.add(name + " http", orders->port());
  return fmt::format(R"toml([agent]
group = "plant"
name = "{name}"
state_dir = "{folder}/state-{name}"
hubs = ["http://127.0.0.1:{hub}"]
token = "env:AGENT_TOKEN"
drain_ms = 3000
margin_ms = 300
request_timeout_ms = 2500
claim_wait_ms = 5000
reconnect_min_ms = 50
reconnect_max_ms = 500
probe_interval_ms = 500
restarts = 1000

[[connection]]
name = "sql"
adapter = "sql"
credit = 128
[connection.sql]
backend = "postgresql"
host = "127.0.0.1"
port = {sql}
database = "{database}"
user = "{user}"
password = "file:{secret}"
tls = "disable"
connect_timeout_ms = 2000
workers = 2
batch_max = 16
inbox = {inbox}
default_statement = "add"
[connection.sql.statement.add]
text = "INSERT INTO effects (id, message, fence) VALUES (:id, :message, :fence)"
parameters = {{ id = "id", message = "$message", fence = "$fence" }}

[[connection]]
name = "file"
adapter = "file"
credit = 64
[connection.file]
root = "{root}"
workers = 2

[[connection]]
name = "http"
adapter = "http"
credit = 64
[connection.http]
url = "http://127.0.0.1:{http}"
path = "/orders"
connect_timeout_ms = 2000
workers = 4
)toml",
                     fmt::arg("name", name), fmt::arg("folder", options_.folder), fmt::arg("hub", hub), fmt::arg("sql", sql),
                     fmt::arg("http", http), fmt::arg("database", database_name_), fmt::arg("user", database.user()),
                     fmt::arg("secret", secret), fmt::arg("inbox", options_.inbox), fmt::arg("root", file_root_));
}

void cast::start(program& p) {
  const auto log = [&](int life) { return fmt::format("{}/{}-{}.log", options_.folder, p.name, life); };
  ++p.lives;
  if (p.lives > lives_kept)
    std::remove(log(p.lives - lives_kept).c_str());
  p.paused = p.ending_expected = false;
  p.process = std::make_unique<testing::process>(testing::process_options{p.argv, {"AGENT_TOKEN=dev"}, log(p.lives), {}, {}, {}});
}

void cast::tick() {
  const auto now = steady::now();
  for (auto& p : programs_) {
    if (p.process && !p.process->running()) {
      const auto end = p.process->wait(milliseconds(0));
      if (!p.ending_expected && end) {
        tell_(end->signal != 0 ? fmt::format("{} has ended by itself, by signal {}", p.name, end->signal)
                               : fmt::format("{} has ended by itself, with exit code {}", p.name, end->code));
        if (end->signal != 0)
          crashes_.push_back(fmt::format("{}, life {}: signal {}", p.name, p.lives, end->signal));
      }
      p.process = nullptr;
      p.start_at = now + milliseconds(std::uniform_int_distribution<>(50, 1'200)(random_));
    }
    if (!p.process && now >= p.start_at)
      start(p);
  }
}

bool cast::kill(program& p) {
  if (!p.process || !p.process->running() || p.ending_expected)
    return false;
  p.ending_expected = true;
  p.process->signal(SIGKILL);
  return true;
}

bool cast::terminate(program& p) {
  if (!p.process || !p.process->running() || p.ending_expected || p.paused)
    return false;
  p.ending_expected = true;
  p.process->signal(SIGTERM);
  return true;
}

bool cast::pause(program& p) {
  if (!p.process || !p.process->running() || p.ending_expected || p.paused)
    return false;
  p.paused = true;
  p.process->signal(SIGSTOP);
  return true;
}

void cast::resume(program& p) {
  if (p.process && p.paused)
    p.process->signal(SIGCONT);
  p.paused = false;
}

bool cast::all_run() {
  for (auto& p : programs_)
    if (!p.process || !p.process->running() || p.paused || p.ending_expected)
      return false;
  return true;
}

bool cast::fill_disk(std::uint64_t leave) {
  struct statvfs now {};
  if (!mounted_ || ::statvfs(data_dir_.c_str(), &now) != 0)
    return false;
  const auto free = static_cast<std::uint64_t>(now.f_bavail) * now.f_bsize;
  if (free <= leave)
    return true;
  const int fd = ::open((data_dir_ + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0)
    return false;
  const auto have = ::lseek(fd, 0, SEEK_END);
  const bool filled = ::posix_fallocate(fd, have, static_cast<off_t>(free - leave)) == 0;
  ::close(fd);
  return filled;
}

void cast::free_disk() {
  std::error_code ignored;
  fs::remove(data_dir_ + "/filler", ignored);
}

std::string cast::hub_url() const {
  return fmt::format("http://127.0.0.1:{}", hub_port_);
}

std::string cast::hub_url_of(const std::string& client) const {
  for (auto& [name, port] : client_ports_)
    if (name == client)
      return fmt::format("http://127.0.0.1:{}", port);
  throw std::logic_error("no such client: " + client);
}

std::uint64_t cast::memory_kib(program& p) const {
  if (!p.process)
    return 0;
  std::ifstream in(fmt::format("/proc/{}/statm", p.process->pid()));
  std::uint64_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

std::uint64_t cast::disk_used() const {
  struct statvfs now {};
  if (::statvfs(data_dir_.c_str(), &now) != 0 || !mounted_)
    return 0;
  return static_cast<std::uint64_t>(now.f_blocks - now.f_bfree) * now.f_bsize;
}

} // namespace sallyport::chaos
