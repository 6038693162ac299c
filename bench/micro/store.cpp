// What a durable append costs: the embedded store in a steady state, each commit bringing a batch of messages (150 bytes of metadata,
// 1 KiB of content) and removing as many old ones. The directory is $TMPDIR or /tmp, which must be a real disk. Beside it the store in
// memory: what is left when there is no disk. Figures: ADR 0005.
#include "bench/micro/scratch.hpp"
#include "cloud/store/lmdb.hpp"
#include "cloud/store/memory.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace sallyport;

using bench::scratch_directory;

std::string key_of(char prefix, std::uint64_t number, bool random) {
  std::uint64_t shown = random ? number * 0x9e3779b97f4a7c15u : number;
  std::string key{prefix};
  for (int shift = 56; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(shown >> shift));
  return key;
}

struct workload {
  cloud::store_port& store;
  epoch_number epoch;
  std::uint64_t tail = 0;
  std::uint64_t next = 0;
  bool random = false;
  std::size_t size = 1024;
  std::shared_ptr<const std::string> content = std::make_shared<const std::string>(std::string(64 << 10, 'x'));

  explicit workload(cloud::store_port& on) : store(on) {
    const auto opened = store.open({});
    if (!opened)
      throw std::runtime_error(to_string(opened.err()));
    epoch = opened->epoch;
    tail = opened->tail;
  }
  cloud::batch changes_of(std::uint64_t count, std::uint64_t depth) {
    cloud::batch changes;
    changes.reserve(count * 4);
    for (std::uint64_t i = next; i < next + count; ++i) {
      changes.push_back({cloud::tree::meta, cloud::change::kind::put, key_of('m', i, random), std::string(150, 'm'), nullptr});
      changes.push_back(
        {cloud::tree::content, cloud::change::kind::put, key_of('e', i, random), content->substr(0, size), nullptr});
      if (i >= depth) {
        changes.push_back({cloud::tree::meta, cloud::change::kind::del, key_of('m', i - depth, random), {}, nullptr});
        changes.push_back({cloud::tree::content, cloud::change::kind::del, key_of('e', i - depth, random), {}, nullptr});
      }
    }
    next += count;
    return changes;
  }
  bool append(const cloud::batch& changes) {
    const auto outcome = store.append(epoch, tail, changes);
    tail = outcome.tail;
    return outcome.status == cloud::append_status::durable;
  }
};

/// A store on this machine's disk.
struct on_disk {
  scratch_directory directory;
  cloud::lmdb_store store{{.directory = directory.path()}};
};
struct in_memory {
  cloud::memory_store store{std::make_shared<cloud::memory_disk>()};
};

/// Arguments: messages in a batch, messages waiting, random keys, bytes of content.
template <class Place>
void append_and_remove(benchmark::State& state) {
  Place place;
  workload load{place.store};
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto depth = static_cast<std::uint64_t>(state.range(1));
  load.random = state.range(2) != 0;
  load.size = static_cast<std::size_t>(state.range(3));
  while (load.next < depth + 8 * count)
    load.append(load.changes_of(std::max<std::uint64_t>(count, 1'000), depth));
  std::vector<double> commits;
  for (auto _ : state) {
    state.PauseTiming();
    const auto changes = load.changes_of(count, depth);
    state.ResumeTiming();
    const auto begin = std::chrono::steady_clock::now();
    if (!load.append(changes))
      state.SkipWithError("not durable");
    commits.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(commits.begin(), commits.end());
  state.counters["messages"] =
    benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(count), benchmark::Counter::kIsRate);
  state.counters["p50_us"] = commits[commits.size() / 2] * 1e6;
  state.counters["p99_us"] = commits[commits.size() * 99 / 100] * 1e6;
}
BENCHMARK_TEMPLATE(append_and_remove, on_disk)
  ->Args({1, 1'000, 0, 1024})
  ->Args({64, 1'000, 0, 1024})
  ->Args({256, 1'000, 0, 1024})
  ->Args({1024, 4'000, 0, 1024})
  ->Args({256, 1'000'000, 0, 1024})
  ->Args({256, 100'000, 1, 1024})
  ->Args({256, 1'000, 0, 3000})
  ->Args({64, 1'000, 0, 16'384})
  ->UseRealTime()
  ->MinTime(3);
BENCHMARK_TEMPLATE(append_and_remove, in_memory)->Args({1, 1'000, 0, 1024})->Args({256, 1'000, 0, 1024});

void fetch(benchmark::State& state) {
  on_disk place;
  workload load{place.store};
  load.size = static_cast<std::size_t>(state.range(0));
  load.append(load.changes_of(1'000, 1'000'000));
  std::uint64_t number = 0;
  for (auto _ : state)
    benchmark::DoNotOptimize(load.store.fetch(key_of('e', number++ % 1'000, false)));
}
BENCHMARK(fetch)->Arg(1024)->Arg(64 << 10);

/// What the disk takes for one page: an append waits for two of these.
void sync_one_page(benchmark::State& state) {
  scratch_directory directory;
  const int fd = ::open((directory.path() / "page").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  for (auto _ : state)
    if (::pwrite(fd, page.data(), page.size(), 0) < 0 || ::fdatasync(fd) != 0)
      state.SkipWithError("the disk refuses");
  ::close(fd);
}
BENCHMARK(sync_one_page)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
