#include "bench/harness/runner.hpp"

#include "bench/harness/board.hpp"
#include "bench/harness/clock.hpp"
#include "tests/support/process.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace sallyport::bench {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

// Fields of /proc/PID/stat from the third on: the second, a name in brackets, may hold anything.
std::vector<std::string> stat_of(pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(in, line);
  const auto end = line.rfind(')');
  std::vector<std::string> fields;
  if (end == std::string::npos)
    return fields;
  std::istringstream rest(line.substr(end + 1));
  for (std::string field; rest >> field;)
    fields.push_back(field);
  return fields;
}

/// Looking takes processor time too: every 2 ms it was 7 % of a core, which those who are measured lacked.
constexpr milliseconds look_every{20};

constexpr std::size_t parent_field = 1, time_field = 11,
                      time_fields = 4; // User and system; then the same of children it waited for.

double seconds_between(std::uint64_t from_ns, std::uint64_t to_ns) {
  return to_ns > from_ns ? static_cast<double>(to_ns - from_ns) / 1e9 : 0;
}

} // namespace

double cpu_of(const std::vector<pid_t>& processes) {
  double ticks = 0;
  for (const auto process : processes)
    if (const auto fields = stat_of(process); fields.size() >= time_field + time_fields)
      for (std::size_t i = time_field; i < time_field + time_fields; ++i)
        ticks += std::stod(fields[i]);
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::uint64_t memory_of(const std::vector<pid_t>& processes) {
  std::uint64_t kilobytes = 0;
  for (const auto process : processes) {
    std::ifstream in("/proc/" + std::to_string(process) + "/smaps_rollup");
    for (std::string word; in >> word;)
      if (std::uint64_t n = 0; word == "Pss:" && in >> n) {
        kilobytes += n;
        break;
      }
  }
  return kilobytes << 10;
}

std::vector<pid_t> family_of(pid_t process) {
  std::multimap<pid_t, pid_t> children_of;
  if (auto* dir = opendir("/proc")) {
    while (const auto* entry = readdir(dir))
      if (const auto id = static_cast<pid_t>(std::atoi(entry->d_name)); id > 0)
        if (const auto fields = stat_of(id); fields.size() > parent_field)
          children_of.emplace(static_cast<pid_t>(std::stol(fields[parent_field])), id);
    closedir(dir);
  }
  std::vector<pid_t> family{process};
  for (std::size_t i = 0; i < family.size(); ++i)
    for (auto [at, end] = children_of.equal_range(family[i]); at != end; ++at)
      family.push_back(at->second);
  return family;
}

// -- children ---------------------------------------------------------------------------------------------------------------------

struct children::child {
  bool produces;
  std::size_t seat;
  std::string log;
  testing::process process;
};

children::children(const system& what, std::string address, fs::path folder, fs::path board_file)
  : what_(what),
    address_(std::move(address)),
    folder_(std::move(folder)),
    board_file_(std::move(board_file)) {}

children::~children() {
  for (const auto& c : all_) // All at once, so that they end together.
    c->process.signal(SIGTERM);
}

testing::process& children::produce(std::size_t seat, std::uint64_t first, std::uint64_t count, const run_spec& spec,
                                    std::size_t queue) {
  const auto log = (folder_ / ("producer-" + std::to_string(seat) + ".log")).string();
  all_.push_back(std::make_unique<child>(
    child{true, seat, log,
          testing::process({.argv = {"/proc/self/exe", "produce", what_.name, address_, board_file_.string(),
                                     std::to_string(seat), std::to_string(first), std::to_string(count),
                                     std::to_string(spec.bytes), std::to_string(spec.batch), std::to_string(spec.in_flight),
                                     std::to_string(queue), std::to_string(spec.rate / static_cast<double>(spec.producers))},
                            .stdout_file = log})}));
  return all_.back()->process;
}

testing::process& children::consume(std::size_t seat, const run_spec& spec, std::size_t queue, std::uint64_t hold_us) {
  const auto name = "c" + std::to_string(seat);
  const auto own = folder_ / name;
  fs::create_directories(own);
  const auto log = (folder_ / (name + ".log")).string();
  const auto batch = spec.take > 0 ? spec.take : std::max<std::size_t>(1, spec.window / 2);
  all_.push_back(std::make_unique<child>(
    child{false, seat, log,
          testing::process({.argv = {"/proc/self/exe", "consume", what_.name, address_, board_file_.string(),
                                     std::to_string(seat), std::to_string(batch), std::to_string(spec.window),
                                     std::to_string(queue), name, own.string(), spec.database, std::to_string(hold_us)},
                            .stdout_file = log})}));
  return all_.back()->process;
}

void children::kill(std::size_t seat) {
  std::erase_if(all_, [seat](const std::unique_ptr<child>& c) { return c->seat == seat && (c->process.stop(SIGKILL), true); });
}

void children::wait_ready(const board& b, std::size_t first, std::size_t count) {
  const auto give_up = now_ns() + 60'000'000'000;
  for (std::size_t i = first; i < first + count; ++i)
    while (b.seat(i).ready.load() == 0) {
      check();
      if (now_ns() > give_up)
        throw std::runtime_error(what_.name + ": a client was not ready within a minute; its files are in " + folder_.string());
      std::this_thread::sleep_for(milliseconds(2));
    }
}

void children::check() {
  for (const auto& c : all_)
    if (!c->process.running())
      if (const auto end = c->process.wait(milliseconds(0)); end && (end->code != 0 || end->signal != 0))
        throw std::runtime_error(what_.name + ": " + (c->produces ? "a producer" : "a consumer")
                                 + " has failed: " + c->process.out());
}

void children::join() {
  for (const auto& c : all_)
    if (!c->process.wait(std::chrono::seconds(20)))
      throw std::runtime_error(what_.name + ": " + (c->produces ? "a producer" : "a consumer") + " does not end; see " + c->log);
}

std::vector<pid_t> children::processes(bool producers) const {
  std::vector<pid_t> ids;
  for (const auto& c : all_)
    if (c->produces == producers)
      ids.push_back(c->process.pid());
  return ids;
}

// -- a run ------------------------------------------------------------------------------------------------------------------------

std::uint64_t numbers_for(std::uint64_t messages) {
  static std::uint64_t next = 0;
  return std::exchange(next, next + messages);
}

run_figures run(const system& what, server& at, const run_spec& spec, const fs::path& folder) {
  fs::create_directories(folder);
  const auto board_file = folder / "board";
  fs::remove(board_file);
  const auto base = numbers_for(spec.messages);
  const board b(board_file, spec.messages, base);
  const auto consumers = spec.consumers * spec.queues;
  children clients(what, at.address(), folder, board_file);
  for (std::size_t i = 0; i < consumers; ++i)
    clients.consume(i, spec, i % spec.queues);
  clients.wait_ready(b, 0, consumers);
  for (std::size_t i = 0; i < spec.producers; ++i) {
    const auto first = spec.messages * i / spec.producers, end = spec.messages * (i + 1) / spec.producers;
    clients.produce(consumers + i, base + first, end - first, spec, i % spec.queues);
  }
  clients.wait_ready(b, consumers, spec.producers);

  const auto server_family = at.processes();
  const auto producer_ids = clients.processes(true), consumer_ids = clients.processes(false);
  run_figures f;
  f.messages = spec.messages;
  const cpu_seconds before{cpu_of(server_family), cpu_of(producer_ids), cpu_of(consumer_ids)};
  b.page().go.store(1);

  const auto sum = [&b](std::size_t from, std::size_t to, auto member) {
    std::uint64_t n = 0;
    for (auto i = from; i < to; ++i)
      n += (b.seat(i).*member).load(std::memory_order_relaxed);
    return n;
  };
  const auto give_up = now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(spec.at_most).count());
  const auto acked = [&] { return sum(consumers, consumers + spec.producers, &board_seat::acked); };
  const auto seen = [&] { return sum(0, consumers, &board_seat::taken) - sum(0, consumers, &board_seat::repeated); };
  cpu_seconds after;
  while (acked() < spec.messages || (consumers > 0 && seen() < spec.messages)) {
    clients.check();
    if (now_ns() > give_up)
      throw std::runtime_error(what.name + ": after " + std::to_string(spec.at_most.count()) + " s only "
                               + std::to_string(acked()) + " of " + std::to_string(spec.messages)
                               + " messages were acknowledged and " + std::to_string(seen()) + " seen by consumers");
    std::this_thread::sleep_for(look_every);
    // Once more each time: a producer that has ended has no processor time any more.
    const cpu_seconds now{cpu_of(server_family), cpu_of(producer_ids), cpu_of(consumer_ids)};
    after = {std::max(after.server, now.server), std::max(after.producers, now.producers),
             std::max(after.consumers, now.consumers)};
  }
  f.cpu = {after.server - before.server, after.producers - before.producers, after.consumers - before.consumers};
  f.server_bytes = memory_of(server_family);
  b.page().stop.store(1);
  clients.join();
  clients.check();

  std::uint64_t first = ~std::uint64_t{0}, last = 0, last_ack = 0;
  for (std::size_t i = consumers; i < consumers + spec.producers; ++i) {
    first = std::min(first, b.seat(i).first_ns.load());
    last_ack = std::max(last_ack, b.seat(i).last_ns.load());
    f.acknowledge.merge(b.seat(i).latency);
  }
  for (std::size_t i = 0; i < consumers; ++i) {
    last = std::max(last, b.seat(i).last_ns.load());
    f.latency.merge(b.seat(i).latency);
  }
  f.enqueue_seconds = seconds_between(first, last_ack);
  f.seconds = consumers > 0 ? seconds_between(first, last) : f.enqueue_seconds;
  f.repeated = sum(0, consumers, &board_seat::repeated);
  if (consumers > 0 && b.marked() != spec.messages)
    throw std::runtime_error(what.name + ": " + std::to_string(spec.messages - b.marked()) + " messages never came");
  return f;
}

} // namespace sallyport::bench
