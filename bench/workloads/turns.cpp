#include "bench/workloads/turns.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <map>

namespace sallyport::bench {

namespace fs = std::filesystem;

namespace {

constexpr int failures_max = 3;
constexpr std::uint64_t messages_max = 20'000'000; // Of a run: bounds the board and the disk.

void sync_file_system(const fs::path& of) {
  if (const int fd = open(of.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
    (void)syncfs(fd); // If it fails, a round is less even than it could be.
    close(fd);
  }
}

} // namespace

turns::turns(const plan& p, findings& f, std::string workload)
  : plan_(p),
    findings_(f),
    workload_(std::move(workload)),
    folder_(p.folder / workload_) {
  fs::create_directories(folder_);
}

turns::~turns() {
  for (const auto& e : entries_)
    if (e->standing && e->at && e->failures == 0)
      plan_.standing->emplace(e->label, standing_server{e->folder, std::move(e->at)});
  entries_.clear(); // Servers end before their folders go.
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void turns::enter(const system& what, server_options options, const std::string& label) {
  auto& e = *entries_.emplace_back(std::make_unique<entry>());
  e.what = &what;
  e.options = std::move(options);
  e.label = label.empty() ? what.name : label;
  const server_options usual;
  e.standing = plan_.standing != nullptr && e.label == what.name && !e.options.tls && e.options.queues == usual.queues
               && e.options.lease == usual.lease && e.options.clients == usual.clients;
  if (e.standing)
    if (auto left = plan_.standing->extract(e.label)) {
      e.folder = std::move(left.mapped().folder);
      e.at = std::move(left.mapped().at);
      return;
    }
  try {
    start(e);
  } catch (const std::exception& failed) {
    fail(e, "start", failed.what());
  }
}

void turns::enter_all(const server_options& options) {
  for (const auto* what : plan_.chosen)
    enter(*what, options);
}

void turns::start(entry& e) {
  e.folder = (e.standing ? plan_.folder / "standing" : folder_) / (e.label + "-" + std::to_string(e.failures));
  fs::remove_all(e.folder);
  fs::create_directories(e.folder / "server");
  auto options = e.options;
  options.folder = e.folder / "server";
  e.at = e.what->start(options);
}

void turns::fail(entry& e, const std::string& what, const std::string& why) {
  ++e.failures;
  std::string then = e.failures < failures_max ? "; it goes on with a fresh server" : "; it is out of this workload";
  try {
    e.at.reset(); // What is in its queues would be in the way of the next run.
    if (e.failures < failures_max)
      start(e);
  } catch (const std::exception& again) {
    e.at.reset();
    e.failures = failures_max;
    then = "; it is out of this workload: " + std::string(again.what());
  }
  findings_.notes.push_back(workload_ + ", " + e.label + ", " + what + ": " + why + then);
  if (plan_.say)
    plan_.say(findings_.notes.back());
}

void turns::each(const std::string& what, const std::function<void(entry&)>& turn) {
  for (const auto& e : entries_) {
    if (!e->at)
      continue;
    if (plan_.say)
      plan_.say(workload_ + " " + what + ": " + e->label);
    sync_file_system(folder_);
    try {
      turn(*e);
    } catch (const std::exception& failed) {
      fail(*e, what, failed.what());
    }
  }
}

run_figures turns::run(entry& e, const run_spec& spec) {
  const auto folder = e.folder / ("run-" + std::to_string(runs_++));
  auto f = bench::run(*e.what, *e.at, spec, folder);
  fs::remove_all(folder);
  return f;
}

std::uint64_t turns::calibrate(entry& e, run_spec spec, double seconds) {
  // Short runs tell less than they seem to: growing ones lead there.
  const auto least = spec.messages;
  for (;;) {
    const auto f = run(e, spec);
    const auto wanted = std::clamp(static_cast<std::uint64_t>(f.rate() * seconds), least, messages_max);
    if (f.seconds >= seconds / 8 || spec.messages >= wanted)
      return wanted;
    spec.messages = std::clamp(wanted / 4, spec.messages + 1, spec.messages * 10);
  }
}

void turns::rounds(std::size_t count, double seconds, const std::function<run_spec(const entry&)>& spec,
                   const std::function<void(entry&, const run_figures&)>& report) {
  constexpr std::uint64_t least = 4'096;
  std::map<const entry*, std::uint64_t> messages;
  each("calibration", [&](entry& e) {
    auto s = spec(e);
    s.messages = least;
    messages[&e] = calibrate(e, s, seconds);
  });
  for (std::size_t round = 1; round <= count; ++round)
    each("round " + std::to_string(round), [&](entry& e) {
      auto s = spec(e);
      s.messages = messages[&e];
      if (s.messages > 0) // Else its calibration failed.
        report(e, run(e, s));
    });
}

double ratio_to(const findings& f, const std::string& workload, const std::string& other, const std::string& point,
                const std::string& what) {
  const auto* ours = f.find(workload, "sallyport", point, what);
  const auto* theirs = f.find(workload, other, point, what);
  const auto under = theirs ? median(theirs->rounds) : 0;
  return ours && under > 0 ? median(ours->rounds) / under : 0;
}

} // namespace sallyport::bench
