// The HTTP service of a chaos run: takes orders {"id":"..."}, remembers each with its Idempotency-Key, and can be busy or gone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::chaos {

struct order {
  std::string id, key; // The event's id, and the Idempotency-Key it came with.
};

class shop {
public:
  /// Out of a hundred orders so many are taken and answered with 500 all the same.
  shop(std::uint64_t seed, int moody_percent);
  ~shop();
  shop(const shop&) = delete;
  shop& operator=(const shop&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  void close();            // Nobody answers any more; connections end.
  void open();             // On the same port.
  void be_busy(bool busy); // 503, and nothing is taken.
  /// The orders taken since it was last asked, in order.
  std::vector<order> take();

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace sallyport::chaos
