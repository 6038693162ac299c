#include "runtime/core/credit_window.hpp"

#include <algorithm>

namespace sallyport::runtime {

void credit_window::slots(std::uint32_t count) {
  // Twice, so that a batch is at hand when a worker ends the one before it.
  floor_ = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(std::uint64_t{count} * 2, 1, limit_max_));
  limit_ = std::max(limit_, floor_);
}

void credit_window::holds(std::uint32_t held) {
  if (held >= limit_ - limit_ / 4)
    was_full_ = true;
}

void credit_window::began(milliseconds waited, mono_time now) {
  if (waited <= patience || limit_ == floor_ || now < shrunk_at_ + patience)
    return;
  limit_ = std::max(floor_, limit_ / 2);
  was_full_ = false;
  shrunk_at_ = now;
}

void credit_window::ran_dry() {
  if (!was_full_)
    return; // The hub had no more to give: a wider window would not help.
  limit_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{limit_} * 2, limit_max_));
  was_full_ = false;
}

} // namespace sallyport::runtime
