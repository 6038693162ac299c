#include "tests/crash/disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace sallyport::crash {

namespace fs = std::filesystem;

recording::recording(std::string log) : log_(std::move(log)) {
  for (std::size_t at = 0; at + sizeof(disk_record) <= log_.size();) {
    entry e;
    std::memcpy(&e.head, log_.data() + at, sizeof e.head);
    at += sizeof e.head;
    if (e.head.size > log_.size() - at)
      break; // The process died while it was written.
    e.bytes = std::string_view{log_}.substr(at, e.head.size);
    at += e.head.size;
    entries_.push_back(e);
  }
}

// ---- images --------------------------------------------------------------------------------------------------------------------

std::uint64_t image::digest() const {
  std::uint64_t sum = 0xcbf29ce484222325u;
  const auto mix = [&](std::string_view text) {
    for (; text.size() >= 8; text.remove_prefix(8)) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data(), sizeof word);
      if (word != 0)
        sum = (sum ^ word ^ (text.size() << 17)) * 0x9e3779b97f4a7c15u, sum ^= sum >> 29;
    }
    for (const char c : text)
      sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  };
  for (auto& [name, content] : names) {
    mix(name);
    if (content) {
      mix(std::to_string(content->size()));
      mix(*content);
    }
  }
  return sum;
}

void image::write_to(const fs::path& directory) const {
  // Emptied, not removed: an inode made anew for each of ten thousand images costs more than its bytes.
  for (auto& [name, content] : names)
    if (!content)
      fs::create_directories(directory / name);
  std::vector<fs::path> gone;
  for (auto& found : fs::recursive_directory_iterator{directory})
    if (names.count(fs::relative(found.path(), directory).string()) == 0)
      gone.push_back(found.path());
  for (auto& path : gone)
    fs::remove_all(path);
  static const std::string zeros(4096, '\0');
  for (auto& [name, content] : names) {
    if (!content)
      continue;
    const auto path = directory / name;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool whole = fd >= 0 && ::ftruncate(fd, static_cast<off_t>(content->size())) == 0;
    for (std::size_t at = 0; whole && at < content->size();) {
      const auto page = [all = std::string_view{*content}](std::size_t from) { return all.substr(from, zeros.size()); };
      auto end = at;
      while (end < content->size() && page(end) != std::string_view{zeros}.substr(0, page(end).size()))
        end += page(end).size();
      if (end > at)
        whole = ::pwrite(fd, content->data() + at, end - at, static_cast<off_t>(at)) == static_cast<ssize_t>(end - at);
      at = std::max(end, at + (end == at ? page(at).size() : 0));
    }
    const int reason = errno;
    if (fd >= 0)
      ::close(fd);
    if (!whole)
      throw std::runtime_error("cannot write the image " + path.string() + ": " + std::generic_category().message(reason));
  }
}

// ---- the disk ------------------------------------------------------------------------------------------------------------------

void disk::apply(const recording::entry& e) {
  auto& head = e.head;
  switch (head.kind) {
    case record_kind::sync:
      for (auto& c : files_[head.file].changes)
        if (c.is == state::pending)
          c.is = state::certain;
      break;
    case record_kind::sync_failed:
      for (auto& c : files_[head.file].changes)
        if (c.is == state::pending)
          c.is = state::doubtful;
      break;
    case record_kind::sync_directory:
      for (auto& c : names_)
        if (fs::path{c.name}.parent_path() == fs::path{e.bytes})
          c.is = state::certain;
      break;
    case record_kind::mapped: files_[head.file].mapped = true; break;
    case record_kind::mark: break;
    default:
      add(e, (head.flags & through) != 0 ? state::certain : (head.flags & never_kept) != 0 ? state::doubtful : state::pending);
  }
  fold();
}

void disk::apply_in_flight(const recording::entry& e) {
  add(e, state::pending);
}

void disk::add(const recording::entry& e, state is) {
  auto& head = e.head;
  if (head.kind == record_kind::write || head.kind == record_kind::resize) {
    files_[head.file].changes.push_back({next_order_++, is, head.kind, head.flags, head.at, e.bytes});
    return;
  }
  name_change n;
  n.order = next_order_++, n.is = is, n.what = head.kind, n.file = head.file;
  const auto cut = e.bytes.find('\0');
  n.name = e.bytes.substr(0, cut);
  if (cut != std::string_view::npos)
    n.to = e.bytes.substr(cut + 1);
  if (head.kind == record_kind::created)
    files_[head.file]; // Empty.
  names_.push_back(std::move(n));
}

void disk::put(std::string& content, const change& c, std::size_t from, std::size_t size) {
  if (c.what == record_kind::resize) {
    if ((c.flags & grows_only) == 0 || content.size() < c.at)
      content.resize(c.at);
    return;
  }
  const auto at = static_cast<std::size_t>(c.at) + from;
  if (content.size() < at + size)
    content.resize(at + size);
  std::memcpy(content.data() + at, c.bytes.data() + from, size);
}

namespace {

void carry_out(std::map<std::string, std::uint32_t>& names, record_kind what, std::uint32_t file, const std::string& name,
               const std::string& to) {
  switch (what) {
    case record_kind::created: names[name] = file; break;
    case record_kind::made_directory: names[name] = 0; break;
    case record_kind::renamed: names.erase(name), names[to] = file; break;
    case record_kind::unlinked: names.erase(name); break;
    default: throw std::logic_error("a record that changes no name");
  }
}

} // namespace

/// What is certain, and has nothing uncertain before it, needs no decision any more.
void disk::fold() {
  for (auto& [_, f] : files_) {
    auto c = f.changes.begin();
    for (; c != f.changes.end() && c->is == state::certain; ++c)
      put(f.base, *c, 0, c->bytes.size());
    f.changes.erase(f.changes.begin(), c);
  }
  auto n = names_.begin();
  for (; n != names_.end() && n->is == state::certain; ++n)
    carry_out(base_names_, n->what, n->file, n->name, n->to);
  names_.erase(names_.begin(), n);
}

std::size_t disk::pending() const {
  std::size_t count = 0;
  for (auto& [_, f] : files_)
    count += static_cast<std::size_t>(
      std::count_if(f.changes.begin(), f.changes.end(), [](const change& c) { return c.is != state::certain; }));
  return count + static_cast<std::size_t>(std::count_if(names_.begin(), names_.end(), [](const name_change& c) {
           return c.is != state::certain;
         }));
}

namespace {
/// The first sector of a write ends where the disk's does.
std::size_t sector_end(std::uint64_t at, std::size_t from, std::size_t size) {
  return std::min<std::size_t>(size, from + sector_bytes - (at + from) % sector_bytes);
}
} // namespace

std::size_t disk::pending_sectors() const {
  std::size_t count = 0;
  const auto counts = [&](std::uint64_t) { return ++count, false; };
  (void)look(counts, 0);
  return count;
}

image disk::look(const chooser& keeps, std::uint64_t noise) const {
  // A file whose name is lost is lost, but its sectors are decided on all the same: so a choice is the same for every order of asking.
  auto names = base_names_;
  for (auto& n : names_)
    if (n.is == state::certain || keeps(n.order))
      carry_out(names, n.what, n.file, n.name, n.to);
  std::map<std::uint32_t, std::string> contents;
  for (auto& [number, f] : files_) {
    auto& content = contents[number] = f.base;
    for (auto& c : f.changes) {
      if (c.what == record_kind::resize || c.is == state::certain) {
        if (c.is == state::certain || keeps(c.order))
          put(content, c, 0, c.bytes.size());
        continue;
      }
      for (std::size_t from = 0; from < c.bytes.size();) {
        const auto end = sector_end(c.at, from, c.bytes.size());
        if (keeps(c.order))
          put(content, c, from, end - from);
        from = end;
      }
    }
    if (f.mapped && noise != 0) {
      runtime::dice bytes{noise};
      for (std::size_t at = 0; at < content.size(); at += 8) {
        const auto word = bytes.roll();
        std::memcpy(content.data() + at, &word, std::min<std::size_t>(8, content.size() - at));
      }
    }
  }
  image result;
  for (auto& [name, file] : names) {
    // What lies in a directory that is not there is not there either.
    const auto parent = fs::path{name}.parent_path().string();
    if (!parent.empty() && (names.count(parent) == 0 || names.at(parent) != 0))
      continue;
    result.names.emplace(name, file == 0 ? std::nullopt : std::optional{contents[file]});
  }
  return result;
}

image disk::prefix(std::size_t changes) const {
  std::vector<std::uint64_t> orders;
  for (auto& [_, f] : files_)
    for (auto& c : f.changes)
      if (c.is != state::certain)
        orders.push_back(c.order);
  for (auto& n : names_)
    if (n.is != state::certain)
      orders.push_back(n.order);
  std::sort(orders.begin(), orders.end());
  const auto first_lost = changes < orders.size() ? orders[changes] : next_order_;
  return look([&](std::uint64_t order) { return order < first_lost; }, 0);
}

image disk::subset(runtime::dice& chance) const {
  // Sometimes nearly all, sometimes nearly nothing: the ends find what the middle does not.
  const auto share = 1 + chance.up_to(14);
  const auto noise = chance.roll() | 1;
  return look([&](std::uint64_t) { return chance.up_to(15) < share; }, noise);
}

image disk::subset(std::uint64_t bits) const {
  return look([&](std::uint64_t) { return (std::exchange(bits, bits >> 1) & 1) != 0; }, 0);
}

} // namespace sallyport::crash
