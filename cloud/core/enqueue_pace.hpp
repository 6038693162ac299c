// Keeps a queue short while its agents keep up: who brings more than they take is answered a little later, and so brings the next a
// little later. What comes then goes again from memory, and no message waits behind a hill that a faster producer has made. PURE.
//
// An answer is held until no more than `limit` messages are there or all are in the hands of agents, and for longest_hold at most. Only
// where that can help: not when no agent has any, or agents settle too little for the queue to be that short in ten times longest_hold.
// Every event is stored and durable as fast as ever; it is the answer that waits.
//
// Owned by the shard. After a crash nothing of it is missed: askers ask again.
#pragma once

#include "cloud/core/commands.hpp"

#include <algorithm>
#include <deque>
#include <vector>

namespace sallyport::cloud {

class enqueue_pace {
public:
  static constexpr milliseconds longest_hold{100};
  /// More than these are never held: they take room in the host's mailbox.
  static constexpr std::size_t answers_max = 256;
  static constexpr std::uint64_t bytes_max = 16 << 20;

  /// How a queue does, in messages.
  struct load {
    std::uint64_t there = 0;   // Waiting or granted; delayed ones aside.
    std::uint64_t waiting = 0; // Those of them that no agent has.
    std::uint64_t settled = 0; // Ever.
    [[nodiscard]] bool is_short(std::uint64_t limit) const { return there <= limit || waiting == 0; }
  };
  /// What came, into which queue, and how many messages that should hold.
  struct delivery {
    std::uint32_t queue = 0;
    std::uint64_t messages = 0, bytes = 0, limit = 0;
  };
  struct held_answer {
    std::uint64_t position = 0; // As the shard counts: to be durable before the answer is given.
    ticket to;
    answer what;
  };

  /// Whether the answer should be held; the delivery is in the queue already. Keeps count of the queue's settlements.
  [[nodiscard]] bool advises(const delivery& what, const load& queue, mono_time now);
  void hold(held_answer answer, const delivery& what, mono_time now);

  /// Those that need not be held any more, in the order they came. `load_of(queue)` tells how the queue does.
  template <class LoadOf>
  [[nodiscard]] std::vector<held_answer> take(mono_time now, LoadOf load_of) {
    return take_if([&](const held& h) { return h.until <= now || load_of(h.what.queue).is_short(h.what.limit); });
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
    bool known = false;        // Whether there was one.
  };
  struct held {
    mono_time until;
    delivery what;
    held_answer answer;
  };

  template <class Predicate>
  std::vector<held_answer> take_if(Predicate wanted) {
    const auto first = std::stable_partition(held_.begin(), held_.end(), [&](const held& h) { return !wanted(h); });
    std::vector<held_answer> taken;
    for (auto h = first; h != held_.end(); ++h) {
      held_bytes_ -= h->what.bytes;
      taken.push_back(std::move(h->answer));
    }
    held_.erase(first, held_.end());
    return taken;
  }

  std::vector<pulse> pulses_; // By queue.
  std::deque<held> held_;     // In the order they came, and so of their ends.
  std::uint64_t held_bytes_ = 0;
};

} // namespace sallyport::cloud
