// What the processes of one run tell one another: a page of shared memory that the runner makes and its children map. Counters are
// written by their child alone and read by the runner while it waits; the marks are set by whichever consumer got the message.
// When a child dies its figures stay as they are. The file is in the run's folder and goes with it.
#pragma once

#include "bench/harness/histogram.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <span>

namespace sallyport::bench {

/// One child's figures.
struct board_seat {
  std::atomic<std::uint64_t> ready;             // 1: connected and waiting for go.
  std::atomic<std::uint64_t> sent;              // Producers: messages handed to the client library.
  std::atomic<std::uint64_t> acked;             // Producers: messages whose acknowledge came.
  std::atomic<std::uint64_t> taken;             // Consumers: messages seen, repeats included.
  std::atomic<std::uint64_t> repeated;          // Consumers: messages that somebody had seen before.
  std::atomic<std::uint64_t> held;              // Consumers: messages of take()s that have begun and not ended.
  std::atomic<std::uint64_t> first_ns, last_ns; // Producers: first send. Consumers: latest message.
  std::atomic<std::uint64_t> refused;           // Producers: requests refused and sent again (back-pressure).
  histogram latency;                            // Consumers: due → taken. Producers: sent → acknowledged, per request.
};

struct board_page {
  static constexpr std::size_t seats_max = 160;

  std::atomic<std::uint64_t> go;   // Producers start when it is 1.
  std::atomic<std::uint64_t> stop; // Everybody ends when it is 1.
  std::uint64_t first, messages;   // The numbers of the run's events; a mark for each follows the page.
  std::array<board_seat, seats_max> seats;
};

class board {
public:
  /// Makes the file, for so many messages, numbered from `first` on. Throws std::runtime_error, as everything here.
  board(const std::filesystem::path& file, std::uint64_t messages, std::uint64_t first = 0);
  /// Maps what a runner made.
  explicit board(const std::filesystem::path& file);
  ~board();
  board(const board&) = delete;
  board& operator=(const board&) = delete;

  [[nodiscard]] board_page& page() const { return *page_; }
  [[nodiscard]] board_seat& seat(std::size_t n) const { return page_->seats.at(n); }

  /// Marks the message as seen; true when it was for the first time. A number below the first is of a run before on the same server,
  /// which ended after it had been seen: a repeat. Throws for a number that nobody sent.
  bool mark(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t marked() const;

private:
  void map(int fd, std::size_t bytes, const std::filesystem::path& file);

  board_page* page_ = nullptr;
  std::atomic<std::uint64_t>* marks_ = nullptr;
  std::size_t bytes_ = 0;
};

} // namespace sallyport::bench
