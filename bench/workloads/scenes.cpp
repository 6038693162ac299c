#include "bench/workloads/scenes.hpp"

#include "bench/harness/clock.hpp"

#include <algorithm>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

own_folder::own_folder(const fs::path& below, const std::string& name) : path_(below / name) {
  fs::remove_all(path_);
  fs::create_directories(path_);
}

own_folder::~own_folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

// -- a stage ----------------------------------------------------------------------------------------------------------------------

stage::stage(const system& what, server& at, fs::path folder) : what_(what), at_(at), folder_(std::move(folder)) {}

stage::step::step(stage& on, std::uint64_t messages_max)
  : board_file(on.folder_ / ("board-" + std::to_string(++on.steps_))),
    b(board_file, messages_max, numbers_for(messages_max)),
    clients(on.what_, on.at_.address(), on.folder_, board_file) {}

void stage::step::end() {
  b.page().stop.store(1);
  clients.join();
  clients.check();
  fs::remove(board_file);
}

double stage::fill(std::uint64_t messages, const run_spec& spec) {
  step s(*this, messages);
  s.clients.produce(0, s.first(), messages, spec, 0);
  s.clients.wait_ready(s.b, 0, 1);
  s.b.page().go.store(1);
  const auto& seat = s.b.seat(0);
  auto progress = now_ns();
  for (std::uint64_t acked = 0; acked < messages;) {
    s.clients.check();
    if (const auto now = seat.acked.load(); now > acked)
      acked = now, progress = now_ns();
    else if (now_ns() - progress > 60'000'000'000)
      throw std::runtime_error(what_.name + ": filling stopped at " + std::to_string(acked) + " messages for a minute");
    std::this_thread::sleep_for(milliseconds(2));
  }
  s.end();
  return static_cast<double>(seat.last_ns.load() - seat.first_ns.load()) / 1e9;
}

double stage::take(std::uint64_t messages, const run_spec& spec) {
  step s(*this, 0);
  for (std::size_t i = 0; i < spec.consumers; ++i)
    s.clients.consume(1 + i, spec, 0);
  const auto taken = [&] {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < spec.consumers; ++i)
      n += s.b.seat(1 + i).taken.load();
    return n;
  };
  const auto warm = messages / 10;
  std::uint64_t begin_ns = 0, begin = 0, now = 0;
  const auto give_up = now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(spec.at_most).count());
  while ((now = taken()) < messages) {
    if (begin_ns == 0 && now > warm)
      begin_ns = now_ns(), begin = now;
    s.clients.check();
    if (now_ns() > give_up)
      throw std::runtime_error(what_.name + ": only " + std::to_string(now) + " of " + std::to_string(messages)
                               + " messages were taken within " + std::to_string(spec.at_most.count()) + " s");
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  const auto end_ns = now_ns();
  s.end();
  return begin_ns == 0 ? 0 : static_cast<double>(now - begin) * 1e9 / static_cast<double>(end_ns - begin_ns);
}

// -- small things -----------------------------------------------------------------------------------------------------------------

std::uint64_t own_memory_of(const std::vector<pid_t>& processes) {
  std::uint64_t anonymous_kb = 0, shared_kb = 0;
  for (const auto process : processes) {
    std::ifstream in("/proc/" + std::to_string(process) + "/status");
    for (std::string word; in >> word;) {
      std::uint64_t n = 0;
      if (word == "RssAnon:" && in >> n)
        anonymous_kb += n;
      else if (word == "RssShmem:" && in >> n)
        shared_kb = std::max(shared_kb, n); // PostgreSQL's processes share one segment.
    }
  }
  return (anonymous_kb + shared_kb) << 10;
}

std::uint64_t resident_memory_of(pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/status");
  for (std::string word; in >> word;)
    if (std::uint64_t kb = 0; word == "VmRSS:" && in >> kb)
      return kb << 10;
  return 0;
}

double fine_cpu_of(const std::vector<pid_t>& processes) {
  double ns = 0;
  for (const auto process : processes) {
    std::error_code gone;
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(process) + "/task", gone)) {
      std::ifstream in(task.path() / "schedstat");
      if (double ran = 0; in >> ran)
        ns += ran;
    }
  }
  return ns / 1e9;
}

bool wait_until(const std::function<bool()>& holds, std::chrono::nanoseconds at_most) {
  const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
  while (!holds()) {
    if (now_ns() > give_up)
      return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

std::string short_number(std::uint64_t n) {
  if (n >= 1'000'000 && n % 1'000'000 == 0)
    return std::to_string(n / 1'000'000) + " M";
  if (n >= 1'000 && n % 1'000 == 0)
    return std::to_string(n / 1'000) + " k";
  return std::to_string(n);
}

void for_each_system(const plan& p, findings& f, const std::string& workload, const std::function<void(const system&)>& work) {
  for (const auto* s : p.chosen)
    try {
      work(*s);
    } catch (const std::exception& e) {
      f.notes.push_back(workload + ", " + s->name + ": " + e.what());
    }
}

} // namespace sallyport::bench
