// Sends events in batches, at a pace, through hub restarts. A batch whose answer is lost is sent again as it was: the hub knows
// its events by source and id. One thread.
#pragma once

#include "cli/hub_client.hpp"
#include "protocol/wire.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sallyport::cli {

struct sender_settings {
  std::string target; // Path of the queue's messages.
  std::uint64_t batch = 256;
  double rate = 0;               // Events per second; 0: as fast as the hub takes them.
  milliseconds patience{60'000}; // How long to try again without getting on.
  milliseconds retry_min{200};
  milliseconds retry_max{5'000};
};

struct sender_ports {
  ask_hub ask;
  std::function<std::chrono::steady_clock::time_point()> now;
  std::function<void(milliseconds)> sleep;
  std::function<void(const error&, milliseconds wait)> on_retry; // For the terminal.
  std::function<void(const wire::enqueued_item&)> on_stored{};   // May be empty.
};

struct sent_totals {
  std::uint64_t stored = 0;
  std::uint64_t duplicates = 0;
  [[nodiscard]] std::uint64_t sent() const { return stored + duplicates; }
};

class sender {
public:
  sender(sender_settings settings, sender_ports ports);

  /// Takes an event; sends when a batch is full. The error's `index`, where there is one, has been turned into the event's place.
  result<void> add(std::string event, std::uint64_t place);
  /// Sends what has gathered. After an error the batch is dropped: it was refused as a whole.
  result<void> flush();

  [[nodiscard]] const sent_totals& totals() const { return totals_; }
  [[nodiscard]] std::uint64_t gathered() const { return places_.size(); }

private:
  [[nodiscard]] bool is_full() const;
  void wait_for_turn();

  sender_settings settings_;
  sender_ports ports_;
  std::string body_;
  std::vector<std::uint64_t> places_;
  sent_totals totals_;
  std::chrono::steady_clock::time_point began_;
};

} // namespace sallyport::cli
