#include "cloud/core/enqueue_pace.hpp"

namespace sallyport::cloud {

namespace {

/// A queue that will not be short in so many spans would hold up everybody for nothing.
constexpr std::uint64_t spans_ahead = 10;
/// Who brings no more than this part of what a queue should hold makes no hill, and is not to suffer from one.
constexpr std::uint64_t small_part = 256;

} // namespace

bool enqueue_pace::advises(const delivery& what, const load& queue, mono_time now) {
  if (pulses_.size() <= what.queue)
    pulses_.resize(what.queue + 1);
  auto& p = pulses_[what.queue];
  const auto spans = static_cast<std::uint64_t>((now - p.since) / longest_hold);
  if (spans > spans_ahead) // Nobody was held for long: what agents can do now is not known.
    p = {now, queue.settled, 0, false};
  else if (spans > 0)
    p = {now, queue.settled, (queue.settled - p.settled) / spans, true};

  const bool small = what.messages <= what.limit / small_part;
  const bool behind = !queue.is_short(what.limit) && queue.waiting > what.messages;
  const bool helps = queue.waiting < queue.there && (!p.known || queue.there <= what.limit + spans_ahead * p.in_span);
  return !small && behind && helps && held_.size() < answers_max && held_bytes_ + what.bytes <= bytes_max;
}

void enqueue_pace::hold(held_answer answer, const delivery& what, mono_time now) {
  held_bytes_ += what.bytes;
  held_.push_back({now + longest_hold, what, std::move(answer)});
}

std::vector<enqueue_pace::held_answer> enqueue_pace::take_all() {
  return take_if([](const held&) { return true; });
}

void enqueue_pace::forget(ticket from) {
  (void)take_if([from](const held& h) { return h.answer.to == from; });
}

} // namespace sallyport::cloud
