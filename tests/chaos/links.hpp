// The network between the processes of a chaos run: for each client and server a TCP proxy of our own on 127.0.0.1, whose weather can be
// changed while it runs. One thread carries all of them.
//
// What TCP makes of bad networks, and no more: packets that are lost show as stalls and resets, never as holes. Bytes that a cut holds back
// are delivered when it heals, as retransmissions would be; a connection from which bytes were swallowed is reset when it heals, so no
// stream is ever continued behind a gap.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace sallyport::chaos {

/// What becomes of bytes of one direction.
enum class passage : std::uint8_t { open, held, swallowed };

struct weather {
  passage requests = passage::open; // From the client to the server,
  passage answers = passage::open;  // and back.
  bool refuses = false;             // New connections are reset; else they wait, or go half of the way.
  std::chrono::milliseconds delay{}, jitter{};
  std::uint64_t bytes_per_second = 0; // 0: as many as come.
  double resets = 0;                  // Chance that a piece of up to 16 KiB is cut in the middle, and its connection with it.
};

class links {
public:
  explicit links(std::uint64_t seed);
  ~links();
  links(const links&) = delete;
  links& operator=(const links&) = delete;

  /// A link to 127.0.0.1:port; the port its client uses. Before anybody uses it. Throws when no port is to be had.
  std::uint16_t add(const std::string& name, std::uint16_t port);
  /// From now on, for what is under way as well.
  void set(const std::string& name, const weather& w);
  /// Connections that were reset in the middle of a stream, or after bytes of them had been swallowed.
  [[nodiscard]] std::uint64_t resets() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace sallyport::chaos
