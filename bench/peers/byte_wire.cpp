#include "bench/peers/byte_wire.hpp"

#include "bench/harness/clock.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sallyport::bench {

namespace {

constexpr std::size_t read_bytes = 256 << 10;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

} // namespace

byte_wire::byte_wire(std::uint16_t port, std::string who) : who_(std::move(who)), in_(read_bytes) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0
      || setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 || fcntl(fd_, F_SETFL, O_NONBLOCK) != 0) {
    const int why = errno;
    if (fd_ >= 0)
      close(fd_);
    errno = why;
    fail("connecting to " + who_ + " on 127.0.0.1:" + std::to_string(port));
  }
}

byte_wire::~byte_wire() {
  close(fd_);
}

void byte_wire::flush() {
  while (has_unwritten()) {
    const auto n = send(fd_, out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR)
        continue;
      if (errno != EAGAIN)
        fail("writing to " + who_);
      // Half of it is history: move the rest, or a buffer that is never empty would grow for ever.
      if (written_ > out_.size() / 2) {
        out_.erase(0, written_);
        written_ = 0;
      }
      return;
    }
    written_ += static_cast<std::size_t>(n);
  }
  out_.clear();
  written_ = 0;
}

bool byte_wire::read() {
  if (begin_ == end_)
    begin_ = end_ = 0;
  if (in_.size() - end_ < read_bytes / 2) {
    if (begin_ >= read_bytes / 2) {
      std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (in_.size() - end_ < read_bytes / 2)
      in_.resize(2 * in_.size());
  }
  const auto n = recv(fd_, in_.data() + end_, in_.size() - end_, 0);
  if (n == 0)
    throw std::runtime_error(who_ + " closed the connection");
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR)
      return false;
    fail("reading from " + who_);
  }
  end_ += static_cast<std::size_t>(n);
  return true;
}

bool byte_wire::wait(std::chrono::nanoseconds at_most) {
  const auto give_up = now_ns() + static_cast<std::uint64_t>(std::max<std::chrono::nanoseconds::rep>(0, at_most.count()));
  flush();
  while (true) {
    const auto now = now_ns();
    const auto left = give_up > now ? give_up - now : 0;
    const timespec bound{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    pollfd wish{fd_, static_cast<short>(POLLIN | (has_unwritten() ? POLLOUT : 0)), 0};
    const int ready = ppoll(&wish, 1, &bound, nullptr);
    if (ready < 0 && errno != EINTR)
      fail("waiting for " + who_);
    if (ready > 0) {
      if ((wish.revents & POLLOUT) != 0)
        flush();
      if ((wish.revents & (POLLIN | POLLHUP | POLLERR)) != 0 && read())
        return true;
    }
    if (left == 0)
      return false;
  }
}

} // namespace sallyport::bench
