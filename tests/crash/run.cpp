#include "tests/crash/run.hpp"

#include "tests/crash/disk.hpp"
#include "tests/crash/survivor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace sallyport::crash {

namespace fs = std::filesystem;

namespace {

template <class F>
F shim(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_DEFAULT, name));
}

/// The scenario, played once under the shim's eyes.
struct take {
  recording log;
  played said;
  std::uint32_t faults = 0;

  take(const run_settings& s, const fs::path& root, const fault_plan& plan) : take(film(s, root, plan)) {}

private:
  struct film_roll {
    std::string log;
    played said;
    std::uint32_t faults;
  };
  explicit take(film_roll f) : log(std::move(f.log)), said(std::move(f.said)), faults(f.faults) {}

  static film_roll film(const run_settings& s, const fs::path& root, const fault_plan& plan) {
    for (auto& old : fs::directory_iterator{root})
      fs::remove_all(old.path());
    const int log = ::memfd_create("crash log", MFD_CLOEXEC);
    if (log < 0)
      throw std::runtime_error("no memory for a log: " + std::generic_category().message(errno));
    shim<decltype(&sallyport_crash_begin)>("sallyport_crash_begin")(root.c_str(), log, &plan, s.lmdb_flags);
    film_roll f;
    f.said = perform(s.what, root / "hub");
    f.faults = shim<decltype(&sallyport_crash_end)>("sallyport_crash_end")();
    f.log.resize(static_cast<std::size_t>(::lseek(log, 0, SEEK_END)));
    std::size_t have = 0;
    while (have < f.log.size()) {
      const auto got = ::pread(log, f.log.data() + have, f.log.size() - have, static_cast<off_t>(have));
      if (got <= 0)
        throw std::runtime_error("the log cannot be read back");
      have += static_cast<std::size_t>(got);
    }
    ::close(log);
    return f;
  }
};

fs::path life_in(const run_settings& s) {
  fs::create_directories(s.scratch / "life");
  return fs::canonical(s.scratch / "life"); // As the system tells the names of open files.
}

bool makes_durable(const disk_record& r) {
  return r.kind == record_kind::sync || r.kind == record_kind::sync_directory || (r.flags & through) != 0;
}

/// Where images are put and judged.
class bench {
public:
  bench(outcome& into, const run_settings& s)
    : out_(into),
      until_caught_(s.until_caught),
      seed_(s.what.seed),
      place_(s.scratch / "image") {
    fs::create_directories(place_);
  }

  /// False: enough was found. An image that was judged before against the same promises is not judged again.
  bool judge(const image& what, const notebook& told, std::size_t lines, const std::string& where) {
    if (lines != lines_)
      known_.clear(), lines_ = lines;
    if (!known_.insert(what.digest()).second)
      return true;
    ++out_.images;
    what.write_to(place_);
    for (auto& v : judge_survivor(place_ / "hub", told))
      out_.violations.push_back({std::move(v), fmt::format("seed {}, {}", seed_, where)});
    return !(until_caught_ && !out_.violations.empty());
  }
  void forget() { known_.clear(); }

private:
  outcome& out_;
  bool until_caught_;
  std::uint64_t seed_;
  fs::path place_;
  std::set<std::uint64_t> known_;
  std::size_t lines_ = 0;
};

void count(outcome& o, const take& t) {
  for (auto& e : t.log.entries()) {
    o.writes += e.head.kind == record_kind::write || e.head.kind == record_kind::resize;
    o.syncs += makes_durable(e.head);
  }
  for (auto& l : t.said.lines)
    o.answers += l.text.find(" -> ") != std::string::npos;
}

/// All images of one moment.
bool judge_moment(bench& b, const disk& d, const notebook& told, std::size_t lines, std::size_t at, unsigned subsets,
                  runtime::dice& chance) {
  const auto changes = d.pending();
  for (std::size_t n = 0; n <= changes; ++n)
    if (!b.judge(d.prefix(n), told, lines,
                 fmt::format("record {}, the first {} of {} writes after the last sync", at, n, changes)))
      return false;
  const auto sectors = d.pending_sectors();
  if (sectors == 0)
    return true;
  if (sectors < 64 && (std::uint64_t{1} << sectors) <= subsets) {
    for (std::uint64_t bits = 0; bits < std::uint64_t{1} << sectors; ++bits)
      if (!b.judge(d.subset(bits), told, lines, fmt::format("record {}, subset {:b} of {} sectors", at, bits, sectors)))
        return false;
    return true;
  }
  for (unsigned n = 0; n < subsets; ++n)
    if (!b.judge(d.subset(chance), told, lines, fmt::format("record {}, random subset {} of {} sectors", at, n, sectors)))
      return false;
  return true;
}

} // namespace

bool has_shim() {
  return ::dlsym(RTLD_DEFAULT, "sallyport_crash_begin") != nullptr;
}

outcome crash_images(const run_settings& s) {
  outcome o;
  const take t{s, life_in(s), {}};
  count(o, t);
  bench b{o, s};
  runtime::dice chance{s.what.seed};
  disk d;
  notebook told;
  std::size_t line = 0, at = 0;
  // Between two moments at which something becomes certain, what may be lost only grows, and so does what was promised: the images of
  // the last of these instants contain those of all before, and are judged the harder.
  for (auto& e : t.log.entries()) {
    ++at;
    if (e.head.kind == record_kind::mark) {
      t.said.lines[line++].add(told);
      continue;
    }
    if (makes_durable(e.head)) {
      auto before = d;
      if (e.head.kind == record_kind::write)
        before.apply_in_flight(e);
      if (!judge_moment(b, before, told, line, at, s.subsets, chance))
        return o;
    }
    d.apply(e);
  }
  judge_moment(b, d, told, line, at, s.subsets, chance);
  return o;
}

namespace {

std::vector<fault_kind> faults_of(const recording::entry& e) {
  using enum fault_kind;
  switch (e.head.kind) {
    case record_kind::write:
      return (e.head.flags & through) != 0 ? std::vector{io_error, late_io_error, no_space, short_write}
                                           : std::vector{io_error, no_space, short_write};
    case record_kind::sync: return {late_io_error, no_space};
    case record_kind::unlinked: return {io_error};
    default: return {io_error, no_space};
  }
}

std::string_view name_of(fault_kind f) {
  switch (f) {
    case fault_kind::none: return "nothing";
    case fault_kind::io_error: return "EIO";
    case fault_kind::late_io_error: return "EIO after the page cache";
    case fault_kind::no_space: return "ENOSPC";
    case fault_kind::short_write: return "short write";
  }
  return "";
}

std::string_view name_of(record_kind k) {
  static constexpr std::string_view names[] = {"",        "write",   "resize",   "sync",           "failed sync",    "mapped",
                                               "created", "renamed", "unlinked", "made directory", "sync directory", "says"};
  return names[static_cast<std::size_t>(k)];
}

/// After a fault: what was promised with each of the next answers, and in the end, is on the disk; whatever the disk kept beside it.
bool judge_fault(bench& b, const take& t, std::uint32_t call, const std::string& where, runtime::dice& chance) {
  disk d;
  notebook told;
  std::size_t line = 0;
  unsigned answers = 0;
  bool after = false;
  b.forget();
  for (auto& e : t.log.entries()) {
    after = after || e.head.call >= call || e.head.kind == record_kind::sync_failed;
    if (e.head.kind == record_kind::mark) {
      auto& l = t.said.lines[line++];
      l.add(told);
      if (after && l.text.find(" -> ") != std::string::npos && ++answers <= 2 && d.pending() != 0)
        if (!b.judge(d.prefix(0), told, line, where + ", at an answer"))
          return false;
      continue;
    }
    d.apply(e);
  }
  return b.judge(d.prefix(0), told, line, where + ", only what is certain")
         && b.judge(d.prefix(d.pending()), told, line, where + ", everything")
         && (d.pending() == 0 || b.judge(d.subset(chance), told, line, where + ", a subset"));
}

} // namespace

outcome io_errors(const run_settings& s) {
  outcome o;
  const take faultless{s, life_in(s), {}};
  count(o, faultless);
  bench b{o, s};
  runtime::dice chance{s.what.seed};
  for (auto& e : faultless.log.entries()) {
    if (e.head.call == 0)
      continue;
    for (const auto fault : faults_of(e)) {
      // Once, and as a disk that stays as it is for a while.
      for (const std::uint32_t calls : {1u, 6u}) {
        if (calls > 1 && (fault == fault_kind::short_write || fault == fault_kind::late_io_error || e.head.call % 3 != 0))
          continue;
        const take t{s, life_in(s), {fault, e.head.call, calls}};
        ++o.io_faults;
        o.stops += !t.said.why_stopped.empty();
        const auto where = fmt::format("call {} ({}) meets {} {}", e.head.call, name_of(e.head.kind), name_of(fault),
                                       calls == 1 ? "once" : "for a while");
        if (t.faults == 0)
          o.violations.push_back({{"run", "the fault did not happen"}, where});
        if (!judge_fault(b, t, e.head.call, where, chance))
          return o;
      }
    }
  }
  return o;
}

std::string tell(const run_settings& s, const fs::path& directory) {
  fs::create_directories(directory);
  const auto root = fs::canonical(directory);
  const take t{s, root, {}};
  std::string text;
  for (auto& e : t.log.entries()) {
    auto& h = e.head;
    if (h.kind == record_kind::mark)
      text += fmt::format("          {}\n", e.bytes);
    else if (h.kind == record_kind::write)
      text += fmt::format("call {:>4} file {} write {} bytes at {}{}\n", h.call, h.file, e.bytes.size(), h.at,
                          (h.flags & through) != 0 ? ", through" : "");
    else if (h.kind == record_kind::resize)
      text += fmt::format("call {:>4} file {} resize to {}\n", h.call, h.file, h.at);
    else
      text += fmt::format("call {:>4} file {} {} {}\n", h.call, h.file, name_of(h.kind), e.bytes);
  }
  return text;
}

} // namespace sallyport::crash
