// One connection to a server on 127.0.0.1 that is talked to in pipelined bytes: what is to be said is appended, written when the socket
// takes it, and what was heard is one piece of memory. Non-blocking underneath, so that neither side can wait for the other to read.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::bench {

/// One thread. Throws std::runtime_error.
class byte_wire {
public:
  /// Connects; `who` is for errors.
  byte_wire(std::uint16_t port, std::string who);
  ~byte_wire();
  byte_wire(const byte_wire&) = delete;
  byte_wire& operator=(const byte_wire&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  /// To append to; nothing is written before flush() or wait().
  [[nodiscard]] std::string& out() { return out_; }
  [[nodiscard]] bool has_unwritten() const { return written_ < out_.size(); }
  /// Writes what the socket takes.
  void flush();
  /// Takes what has come without waiting; false when nothing had.
  bool read();
  /// Waits until more has come, writing meanwhile; false when the time is up.
  bool wait(std::chrono::nanoseconds at_most);
  /// All that came and has not been consumed. Good until the next read, wait or consume.
  [[nodiscard]] std::string_view heard() const { return {in_.data() + begin_, end_ - begin_}; }
  void consume(std::size_t bytes) { begin_ += bytes; }

private:
  std::string who_;
  int fd_ = -1;
  std::string out_;
  std::size_t written_ = 0;
  std::vector<char> in_;
  std::size_t begin_ = 0, end_ = 0;
};

} // namespace sallyport::bench
