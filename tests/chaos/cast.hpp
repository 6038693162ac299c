// The processes of a chaos run, all real: a hub, four agents, PostgreSQL, a directory, an HTTP service, and the links between them. Owns
// them, starts again what has ended, and stops each by its own pid when it ends itself. Main thread only: children die with it.
#pragma once

#include "tests/chaos/links.hpp"
#include "tests/chaos/shop.hpp"
#include "tests/support/postgres.hpp"
#include "tests/support/process.hpp"

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace sallyport::chaos {

struct cast_options {
  std::string folder;
  std::uint64_t seed = 1;
  bool inbox = true;
  std::chrono::milliseconds session_ttl{2'000};
  std::uint64_t disk_bytes = 0; // Size of the file system that is mounted for the hub; 0: none, the disk is never full.
};

inline constexpr int agents = 4, producers = 4, hands = 2;

/// A program that is started again whenever it ends.
struct program {
  std::string name;
  std::vector<std::string> argv;
  std::unique_ptr<testing::process> process;
  std::chrono::steady_clock::time_point start_at{};
  int lives = 0;
  bool paused = false;
  bool ending_expected = false; // We have signalled it.
};

class cast {
public:
  using say = std::function<void(const std::string&)>;

  /// Throws when something cannot be started. `tell` hears what programs do by themselves.
  cast(cast_options options, say tell);
  ~cast();
  cast(const cast&) = delete;
  cast& operator=(const cast&) = delete;

  /// Looks after the programs; to be called every few milliseconds.
  void tick();

  [[nodiscard]] program& hub() { return programs_[0]; }
  [[nodiscard]] program& agent(int i) { return programs_[static_cast<std::size_t>(1 + i)]; }
  // False when there is no such process at the moment.
  bool kill(program& p);
  bool terminate(program& p);
  bool pause(program& p);
  void resume(program& p);
  [[nodiscard]] bool all_run();

  /// Names of links: "<agent> hub", "<agent> sql", "<agent> http", "<client> hub".
  links net;
  std::unique_ptr<shop> orders;
  testing::postgres_server database;

  /// Presses a file into the hub's file system until so many bytes are left. False where it has no file system of its own.
  bool fill_disk(std::uint64_t leave);
  void free_disk();
  [[nodiscard]] bool disk_can_be_full() const { return mounted_; }

  [[nodiscard]] std::string hub_url() const;                             // Not through a link.
  [[nodiscard]] std::string hub_url_of(const std::string& client) const; // Through the client's.
  [[nodiscard]] const std::string& database_name() const { return database_name_; }
  [[nodiscard]] const std::string& file_root() const { return file_root_; }
  [[nodiscard]] const cast_options& options() const { return options_; }
  /// Ends nobody asked for, by signals that a program sends itself.
  [[nodiscard]] const std::vector<std::string>& crashes() const { return crashes_; }
  [[nodiscard]] std::uint64_t memory_kib(program& p) const;
  [[nodiscard]] std::uint64_t disk_used() const;

private:
  void start(program& p);
  [[nodiscard]] std::string agent_config(const std::string& name);

  cast_options options_;
  say tell_;
  std::mt19937_64 random_;
  std::string database_name_, file_root_, data_dir_;
  bool mounted_ = false;
  std::uint16_t hub_port_ = 0;
  std::vector<std::pair<std::string, std::uint16_t>> client_ports_;
  std::vector<program> programs_;
  std::vector<std::string> crashes_;
};

[[nodiscard]] std::string agent_name_of(int i);
[[nodiscard]] std::string producer_name_of(int i);
[[nodiscard]] std::string hand_name_of(int i);

} // namespace sallyport::chaos
