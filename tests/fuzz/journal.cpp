// The store's journal, damaged. The input is a row of operations on one file: append, checkpoint, flip a bit, write anything anywhere, cut it
// off, and at the end open it again. What is read is what was appended, from the first on and without a gap; all of it when nothing
// was damaged.
#include "cloud/store/journal.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>

namespace {

using namespace sallyport;
using namespace sallyport::cloud;

/// In memory where that can be had: every append is synced.
struct folder {
  std::filesystem::path path;

  folder() {
    std::string name = (std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp") + std::string{"/sallyport-fuzz-XXXXXX"};
    SALLYPORT_ASSERT(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

bool same(const batch& a, const batch& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const change& x, const change& y) {
    return x.where == y.where && x.what == y.what && std::string_view{x.key} == std::string_view{y.key} && x.bytes() == y.bytes();
  });
}

class life {
public:
  explicit life(const folder& in) : file_(in.path / "store.journal"), journal_(file_, 256 << 10) {
    std::error_code ignored;
    std::filesystem::remove(file_, ignored);
    SALLYPORT_ASSERT(journal_.open().ok());
  }

  void append(fuzz::bytes& in) {
    batch changes;
    for (int n = in.byte() % 5; n > 0; --n) {
      const auto kind = in.byte();
      change c;
      c.where = kind & 1 ? tree::content : tree::meta;
      c.what = kind & 2 ? change::kind::del : change::kind::put;
      c.key = std::string(1 + in.byte() % 40, static_cast<char>(kind));
      if (c.what == change::kind::put)
        c.value = std::string(in.two() % 12'000, static_cast<char>(kind ^ 0x55));
      changes.push_back(std::move(c));
    }
    const auto said = journal_.append({7}, tail_, changes);
    SALLYPORT_ASSERT(said == journal::verdict::durable || said == journal::verdict::no_room);
    if (said == journal::verdict::durable)
      appended_[tail_++] = std::move(changes);
  }
  void checkpoint() {
    journal_.rewind();
    stored_ = tail_;
  }
  void damage(std::string_view with, std::size_t at) {
    write(at % size(), with);
    damaged_ = damaged_ || !with.empty();
  }
  void flip(std::size_t bit) {
    const auto at = bit / 8 % size();
    char byte = 0;
    const int fd = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
    SALLYPORT_ASSERT(fd >= 0);
    const auto got = ::pread(fd, &byte, 1, static_cast<off_t>(at));
    ::close(fd);
    if (got != 1)
      return; // It was cut off down to nothing.
    byte = static_cast<char>(byte ^ 1 << bit % 8);
    write(at, {&byte, 1});
    damaged_ = true;
  }
  void cut(std::size_t at) {
    SALLYPORT_ASSERT(::truncate(file_.c_str(), static_cast<off_t>(at % size())) == 0);
    damaged_ = true;
  }

  void read() {
    journal_.close();
    journal again{file_, 256 << 10};
    if (auto opened = again.open(); !opened) {
      SALLYPORT_ASSERT(damaged_);
      return;
    }
    auto next = stored_;
    const auto read = again.recover(stored_, [&](std::uint64_t new_tail, const batch& changes) {
      SALLYPORT_ASSERT(new_tail == next + 1);
      SALLYPORT_ASSERT(appended_.count(next) == 1);
      SALLYPORT_ASSERT(same(appended_[next], changes));
      next = new_tail;
    });
    SALLYPORT_ASSERT(damaged_ || (read.ok() && next == tail_));
  }

private:
  [[nodiscard]] std::size_t size() const { return std::max<std::size_t>(1, std::filesystem::file_size(file_)); }
  void write(std::size_t at, std::string_view with) {
    const int fd = ::open(file_.c_str(), O_WRONLY | O_CLOEXEC);
    SALLYPORT_ASSERT(fd >= 0 && ::pwrite(fd, with.data(), with.size(), static_cast<off_t>(at)) >= 0);
    ::close(fd);
  }

  std::filesystem::path file_;
  journal journal_;
  std::map<std::uint64_t, batch> appended_; // By the tail before.
  std::uint64_t tail_ = 3, stored_ = 3;
  bool damaged_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const folder shared;
  life now{shared};
  fuzz::bytes in{fuzz::as_text(data, size)};
  for (int i = 0; i < 48 && !in.empty(); ++i)
    switch (in.byte() % 8) {
      case 0: now.checkpoint(); break;
      case 1: now.flip(in.two() * 13u); break;
      case 2: {
        const auto at = in.two() * 5u;
        now.damage(in.slice(in.byte()), at);
        break;
      }
      case 3: now.cut(in.two() * 5u); break;
      default: now.append(in); break;
    }
  now.read();
  return 0;
}
