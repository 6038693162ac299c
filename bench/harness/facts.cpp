#include "bench/harness/facts.hpp"

#include "bench/harness/clock.hpp"
#include "bench/harness/histogram.hpp"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t sync_budget_ns = 1'000'000'000;
constexpr std::size_t block_bytes = 4096;
constexpr int blocks_overwritten = 64;

std::string content(const char* file) {
  std::ifstream in(file);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string or_unknown(std::string text) {
  return text.empty() ? "unknown" : text;
}

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\"");
  if (begin == std::string_view::npos)
    return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\"") + 1 - begin));
}

template <class Use>
void each_line(std::string_view text, Use use) { // Until it answers false.
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    if (!use(text.substr(0, end)))
      return;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string now_as_text() {
  const auto now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &utc)};
}

class scratch_file {
public:
  explicit scratch_file(fs::path path)
    : path_(std::move(path)),
      fd_(open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
    if (fd_ < 0)
      fail();
  }
  ~scratch_file() {
    close(fd_);
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  scratch_file(const scratch_file&) = delete;
  scratch_file& operator=(const scratch_file&) = delete;

  void write_and_sync(const std::array<char, block_bytes>& block, int at) const {
    if (pwrite(fd_, block.data(), block.size(), static_cast<off_t>(at) * static_cast<off_t>(block_bytes))
          != static_cast<ssize_t>(block_bytes)
        || fdatasync(fd_) != 0)
      fail();
  }

private:
  [[noreturn]] void fail() const {
    throw std::runtime_error("measuring fdatasync in " + path_.string() + ": " + std::strerror(errno));
  }

  fs::path path_;
  int fd_;
};

} // namespace

sync_latency measure_sync(const fs::path& folder, bool append, int times) {
  const scratch_file file(folder / ("sync-" + std::to_string(getpid())));
  std::array<char, block_bytes> block{};
  for (int i = 0; !append && i < blocks_overwritten; ++i)
    file.write_and_sync(block, i);
  const auto h = std::make_unique<histogram>();
  const auto begin = now_ns();
  for (int i = 0; i < times && now_ns() - begin < sync_budget_ns; ++i) {
    block.fill(static_cast<char>(i));
    const auto from = now_ns();
    file.write_and_sync(block, append ? i : i % blocks_overwritten);
    h->add(now_ns() - from);
  }
  return {h->quantile(0.5), h->quantile(0.99)};
}

std::string version_in(std::string_view dpkg_status, std::string_view package) {
  bool here = false, installed = false;
  std::string version;
  each_line(dpkg_status, [&](std::string_view line) {
    if (line.starts_with("Package: ")) {
      if (here && installed && !version.empty())
        return false;
      here = line.substr(9) == package;
      installed = false;
      version.clear();
    } else if (here && line.starts_with("Status: ")) {
      installed = line.ends_with(" installed");
    } else if (here && line.starts_with("Version: ")) {
      version = line.substr(9);
    }
    return true;
  });
  return here && installed ? version : std::string{};
}

std::string file_system_in(std::string_view mountinfo, std::string_view path) {
  std::string found = "unknown";
  std::size_t longest = 0;
  each_line(mountinfo, [&](std::string_view line) {
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw: the fifth word, and the two after the dash.
    std::istringstream words{std::string(line)};
    std::string word, point, type, device;
    for (int i = 0; i < 5 && words >> word; ++i)
      point = word;
    while (words >> word && word != "-") {
    }
    words >> type >> device;
    const bool holds = path.starts_with(point) && (point == "/" || path.size() == point.size() || path[point.size()] == '/');
    if (!type.empty() && holds && point.size() >= longest) {
      longest = point.size();
      found = type + " on " + device;
    }
    return true;
  });
  return found;
}

std::string value_in(std::string_view text, std::string_view key, char separator) {
  std::string value;
  each_line(text, [&](std::string_view line) {
    const auto at = line.find(separator);
    if (at == std::string_view::npos || trimmed(line.substr(0, at)) != key)
      return true;
    value = trimmed(line.substr(at + 1));
    return false;
  });
  return value;
}

machine_facts facts_of_this_machine(const fs::path& folder, const std::string& commit,
                                    const std::vector<const system*>& systems) {
  machine_facts f;
  f.date = now_as_text();
  f.build = or_unknown(commit) + ", " SALLYPORT_BUILD_TYPE;
  f.cores = std::thread::hardware_concurrency();
  f.cpu = or_unknown(value_in(content("/proc/cpuinfo"), "model name", ':'));
  const auto memory = value_in(content("/proc/meminfo"), "MemTotal", ':'); // "24684012 kB"
  std::uint64_t kib = 0;
  std::from_chars(memory.data(), memory.data() + memory.size(), kib);
  f.memory_bytes = kib * 1024;
  utsname name{};
  f.kernel = uname(&name) == 0 ? std::string(name.sysname) + " " + name.release + " " + name.machine : "unknown";
  f.distribution = or_unknown(value_in(content("/etc/os-release"), "PRETTY_NAME", '='));
  f.file_system = file_system_in(content("/proc/self/mountinfo"), fs::canonical(folder).string());
  f.appended = measure_sync(folder, true, 500);
  f.overwritten = measure_sync(folder, false, 500);

  const auto status = content("/var/lib/dpkg/status");
  std::set<std::string> seen;
  for (const auto* s : systems) {
    std::istringstream packages(s->package); // One, or several words.
    for (std::string package; packages >> package;)
      if (seen.insert(package).second)
        f.versions.emplace_back(package, or_unknown(version_in(status, package)));
  }
  return f;
}

} // namespace sallyport::bench
