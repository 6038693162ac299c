#include "cli/sender.hpp"

#include "protocol/codec.hpp"

#include <algorithm>

namespace sallyport::cli {

namespace {

// Well below what hubs take as a body, so that large events do not make a batch that is refused.
constexpr std::size_t batch_bytes_max = 4 << 20;

} // namespace

sender::sender(sender_settings settings, sender_ports ports) : settings_(std::move(settings)), ports_(std::move(ports)) {
  // A pace is kept in small steps: a batch is at most a tenth of a second's events.
  if (settings_.rate > 0)
    settings_.batch = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(settings_.rate / 10), 1, settings_.batch);
  began_ = ports_.now();
}

bool sender::is_full() const {
  return places_.size() >= settings_.batch || body_.size() >= batch_bytes_max;
}

result<void> sender::add(std::string event, std::uint64_t place) {
  body_ += places_.empty() ? "[" : ",";
  body_ += event;
  places_.push_back(place);
  return is_full() ? flush() : result<void>{};
}

void sender::wait_for_turn() {
  if (settings_.rate <= 0)
    return;
  const auto due = began_
                   + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                     std::chrono::duration<double>(static_cast<double>(totals_.sent()) / settings_.rate));
  const auto now = ports_.now();
  if (due > now)
    ports_.sleep(std::chrono::ceil<milliseconds>(due - now));
  else if (now - due > std::chrono::seconds(1))
    // After an outage the pace goes on from here: catching up would be a burst.
    began_ += (now - due) - std::chrono::seconds(1);
}

result<void> sender::flush() {
  if (places_.empty())
    return {};
  wait_for_turn();
  const hub_request request{.method = "POST",
                            .target = settings_.target,
                            .content_type = "application/cloudevents-batch+json",
                            .body = std::move(body_) + "]"};
  const auto places = std::exchange(places_, {});
  body_.clear();
  const auto give_up_at = ports_.now() + settings_.patience;
  for (auto wait = settings_.retry_min;; wait = std::min(wait * 2, settings_.retry_max)) {
    auto reply = ask_for<wire::enqueue_reply>(ports_.ask, request);
    if (reply) {
      for (const auto& item : reply->messages) {
        ++(item.duplicate ? totals_.duplicates : totals_.stored);
        if (ports_.on_stored)
          ports_.on_stored(item);
      }
      return {};
    }
    auto why = reply.err();
    if (why.index)
      why.index = *why.index < places.size() ? places[*why.index] : places.back();
    auto pause = why.retry_after_s ? milliseconds(1000 * std::min(*why.retry_after_s, 3600u)) : wait;
    if (retry_advice(why.code) == advice::never_retry || ports_.now() + pause > give_up_at)
      return why;
    if (ports_.on_retry)
      ports_.on_retry(why, pause);
    ports_.sleep(pause);
  }
}

} // namespace sallyport::cli
