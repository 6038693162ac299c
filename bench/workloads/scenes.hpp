// The workloads that are more than one run of producers and consumers (W5 to W7), and what they share: a server that stands while one
// thing after another happens to it. Throws std::runtime_error; one thread.
#pragma once

#include "bench/harness/board.hpp"
#include "bench/harness/runner.hpp"
#include "bench/harness/workload.hpp"

#include <memory>

namespace sallyport::bench {

/// A folder of its own, gone with the object.
class own_folder {
public:
  own_folder(const std::filesystem::path& below, const std::string& name);
  ~own_folder();
  own_folder(const own_folder&) = delete;
  own_folder& operator=(const own_folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

/// A server that stands, and steps of client processes against it. Clients keep their names and folders from step to step, as they would
/// when started again.
class stage {
public:
  /// `folder` is the clients' and the boards', and exists. `at` outlives the stage.
  stage(const system& what, server& at, std::filesystem::path folder);

  [[nodiscard]] const system& what() const { return what_; }
  [[nodiscard]] server& at() { return at_; }

  struct step {
    /// Its events have numbers that no step before it had, so many at most from first() on.
    step(stage& on, std::uint64_t messages_max);
    [[nodiscard]] std::uint64_t first() const { return b.page().first; }
    /// Everybody ends; what they had in hand goes back. Throws when one of them failed.
    void end();

    std::filesystem::path board_file;
    board b;
    children clients;
  };

  /// Enqueues so many and waits for the acknowledges: seconds from the first send to the last acknowledge.
  double fill(std::uint64_t messages, const run_spec& spec);
  /// Consumers take so many and are stopped: messages a second, counted without their first tenth. May take somewhat more.
  double take(std::uint64_t messages, const run_spec& spec);

private:
  const system& what_;
  server& at_;
  std::filesystem::path folder_;
  int steps_ = 0;
};

/// Memory that is a server's own, in bytes: anonymous and shared pages, once each. Pages of its files are the kernel's cache, which it can
/// take back, and are left out: a store that maps its file would be charged for them, one that reads it would not.
std::uint64_t own_memory_of(const std::vector<pid_t>& processes);
/// All pages that a process has in memory, those that it shares with others too, in bytes: what people see in `ps`.
std::uint64_t resident_memory_of(pid_t process);
/// Processor time of threads that live, to the nanosecond; /proc's ticks of 10 ms are too coarse for what is nearly idle.
double fine_cpu_of(const std::vector<pid_t>& processes);
/// Bounded by `at_most`; false when it did not come true.
bool wait_until(const std::function<bool()>& holds, std::chrono::nanoseconds at_most);

/// "1 k", "10 M"
std::string short_number(std::uint64_t n);
/// Does it for each chosen system, those that fail leave a note.
void for_each_system(const plan& p, findings& f, const std::string& workload, const std::function<void(const system&)>& work);

} // namespace sallyport::bench
