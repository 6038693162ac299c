#include "cloud/core/enqueue_pace.hpp"

namespace sallyport::cloud {

namespace {
constexpr std::uint64_t spans_ahead = 10;
}

bool enqueue_pace::advises(const load& now_is, std::uint64_t limit, std::uint64_t bytes, mono_time now) {
  if (pulses_.size() <= now_is.queue)
    pulses_.resize(now_is.queue + 1);
  auto& p = pulses_[now_is.queue];
  if (const auto span = now - p.since; span >= longest_hold) {
    const auto spans = static_cast<std::uint64_t>(span / longest_hold);
    p = {now, now_is.settled, spans > 2 ? 0 : (now_is.settled - p.settled) / spans};
  }
  return now_is.waiting > limit && now_is.waiting - limit <= spans_ahead * p.in_span && held_.size() < answers_max
         && held_bytes_ + bytes <= bytes_max;
}

void enqueue_pace::hold(held_answer what, std::uint32_t queue, std::uint64_t limit, std::uint64_t bytes, mono_time now) {
  held_bytes_ += bytes;
  held_.push_back({now + longest_hold, queue, limit, bytes, std::move(what)});
}

std::vector<enqueue_pace::held_answer> enqueue_pace::take_all() {
  return take(mono_time::max(), [](std::uint32_t) { return 0u; });
}

void enqueue_pace::forget(ticket from) {
  std::erase_if(held_, [&](const held& h) {
    if (h.given.to != from)
      return false;
    held_bytes_ -= h.bytes;
    return true;
  });
}

} // namespace sallyport::cloud
