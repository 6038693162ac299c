// Keeps a queue short while its agents keep up: who brings more than they take is answered a little later, and so brings the next a
// little later. Messages then come and go in memory and in the store's journal, and nobody's message waits behind a hill that a faster
// producer has made. PURE.
//
// An answer is held until no more than `limit` messages wait, and for longest_hold at most. Only where that can help: not when agents
// settle too little for the queue to be that short by then, as when there are none, or a backlog of hours. Every event is stored and
// durable as fast as ever; it is the answer that waits.
//
// Owned by the shard. After a crash nothing of it is missed: askers ask again.
#pragma once

#include "cloud/core/commands.hpp"

#include <deque>
#include <vector>

namespace sallyport::cloud {

class enqueue_pace {
public:
  static constexpr milliseconds longest_hold{100};
  /// More than these are never held: they take room in the host's mailbox.
  static constexpr std::size_t answers_max = 256;
  static constexpr std::uint64_t bytes_max = 16 << 20;

  /// How a queue does.
  struct load {
    std::uint32_t queue = 0;
    std::uint64_t waiting = 0; // Neither granted nor delayed.
    std::uint64_t settled = 0; // Ever.
  };
  struct held_answer {
    std::uint64_t position = 0; // As the shard counts: to be durable before the answer is given.
    ticket to;
    answer what;
  };

  /// Whether the answer to one who brought so many bytes should be held. Keeps count of the queue's settlements.
  [[nodiscard]] bool advises(const load& now_is, std::uint64_t limit, std::uint64_t bytes, mono_time now);
  void hold(held_answer what, std::uint32_t queue, std::uint64_t limit, std::uint64_t bytes, mono_time now);

  /// Those that need not be held any more, in the order they came. `waiting_in(queue)` tells how many messages wait.
  template <class WaitingIn>
  [[nodiscard]] std::vector<held_answer> take(mono_time now, WaitingIn waiting_in) {
    std::vector<held_answer> freed;
    std::erase_if(held_, [&](held& h) {
      if (h.until > now && waiting_in(h.queue) > h.limit)
        return false;
      held_bytes_ -= h.bytes;
      freed.push_back(std::move(h.given));
      return true;
    });
    return freed;
  }
  [[nodiscard]] std::vector<held_answer> take_all();
  void forget(ticket from);

  [[nodiscard]] bool empty() const { return held_.empty(); }
  /// When the first of them has been held for long enough; mono_time::max() when there is none.
  [[nodiscard]] mono_time next_wake() const { return held_.empty() ? mono_time::max() : held_.front().until; }

private:
  // Settlements of one queue in spans of longest_hold.
  struct pulse {
    mono_time since{};
    std::uint64_t settled = 0; // At that time.
    std::uint64_t in_span = 0; // In the span before.
  };
  struct held {
    mono_time until;
    std::uint32_t queue;
    std::uint64_t limit, bytes;
    held_answer given;
  };

  std::vector<pulse> pulses_; // By queue.
  std::deque<held> held_;     // In the order they came, and so of their ends.
  std::uint64_t held_bytes_ = 0;
};

} // namespace sallyport::cloud
