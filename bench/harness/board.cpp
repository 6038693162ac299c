#include "bench/harness/board.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sallyport::bench {

namespace {

std::size_t bytes_for(std::uint64_t messages) {
  return sizeof(board_page) + (messages + 63) / 64 * sizeof(std::uint64_t);
}

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& file) {
  throw std::runtime_error(what + " " + file.string() + ": " + std::strerror(errno));
}

} // namespace

board::board(const std::filesystem::path& file, std::uint64_t messages, std::uint64_t first) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    fail("cannot make", file);
  if (ftruncate(fd, static_cast<off_t>(bytes_for(messages))) != 0)
    fail("cannot size", file);
  map(fd, bytes_for(messages), file); // All zero: every counter starts there.
  page_->first = first;
  page_->messages = messages;
}

board::board(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
  struct stat about {};
  if (fd < 0 || fstat(fd, &about) != 0)
    fail("cannot open", file);
  map(fd, static_cast<std::size_t>(about.st_size), file);
}

void board::map(int fd, std::size_t bytes, const std::filesystem::path& file) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (at == MAP_FAILED)
    fail("cannot map", file);
  bytes_ = bytes;
  page_ = static_cast<board_page*>(at);
  marks_ = reinterpret_cast<std::atomic<std::uint64_t>*>(page_ + 1);
}

board::~board() {
  munmap(page_, bytes_);
}

bool board::mark(std::uint64_t number) const {
  if (number < page_->first)
    return false;
  const auto at = number - page_->first;
  if (at >= page_->messages)
    throw std::runtime_error("message " + std::to_string(number) + " was taken, and only " + std::to_string(page_->messages)
                             + " were sent from " + std::to_string(page_->first) + " on");
  const auto bit = std::uint64_t{1} << at % 64;
  return (marks_[at / 64].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
}

std::uint64_t board::marked() const {
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < (page_->messages + 63) / 64; ++i)
    n += static_cast<std::uint64_t>(std::popcount(marks_[i].load(std::memory_order_relaxed)));
  return n;
}

} // namespace sallyport::bench
