#include "adapters/api/adapter.hpp"

#include "protocol/assert.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace sallyport::adapters {

struct cancel_signal::hooks {
  std::mutex mutex;
  std::condition_variable ended;
  std::function<void()> hook;
  std::thread::id runner; // Of the hook that runs now; none otherwise.
};

std::shared_ptr<cancel_signal::hooks> cancel_signal::make_hooks() {
  return std::make_shared<hooks>();
}

void cancel_signal::raise(cancel_reason why) {
  auto expected = cancel_reason::none;
  if (why == cancel_reason::none || !why_.compare_exchange_strong(expected, why, std::memory_order_acq_rel))
    return;
  // Keeps the hooks alive: the hook may be what lets the job, and this signal with it, go.
  auto kept = hooks_;
  std::unique_lock lock{kept->mutex};
  if (!kept->hook)
    return;
  auto hook = std::exchange(kept->hook, nullptr);
  kept->runner = std::this_thread::get_id();
  lock.unlock();
  hook();
  lock.lock();
  kept->runner = {};
  kept->ended.notify_all();
}

void cancel_signal::set_hook(std::function<void()> hook) {
  {
    std::lock_guard lock{hooks_->mutex};
    if (raised() == cancel_reason::none) {
      hooks_->hook = std::move(hook);
      return;
    }
  }
  hook(); // raise() has been here, or is about to find nothing to run.
}

void cancel_signal::clear_hook() {
  std::unique_lock lock{hooks_->mutex};
  SALLYPORT_ASSERT(hooks_->runner != std::this_thread::get_id()); // A hook that waits for its own end never ends.
  hooks_->hook = nullptr;
  hooks_->ended.wait(lock, [this] { return hooks_->runner == std::thread::id{}; });
}

std::string_view job::data() const {
  return event ? raw_data(*event).value_or(std::string_view{}) : std::string_view{};
}

std::string_view to_string(cancel_reason why) {
  switch (why) {
    case cancel_reason::none: return "none";
    case cancel_reason::lost_lease: return "lost lease";
    case cancel_reason::attempt_timeout: return "attempt timeout";
    case cancel_reason::shutdown: return "shutdown";
  }
  return "unknown";
}

outcome done(std::string result_json) {
  outcome o;
  o.result = std::move(result_json);
  return o;
}

outcome failed(failure f) {
  constexpr std::size_t error_bytes_max = 1024;
  if (f.error.size() > error_bytes_max) {
    auto end = error_bytes_max;
    while (end > 0 && (static_cast<unsigned char>(f.error[end]) & 0xc0) == 0x80) // Never cut a character in two.
      --end;
    f.error.resize(end);
  }
  for (auto& c : f.error)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = ' ';
  while (!f.error.empty() && f.error.back() == ' ')
    f.error.pop_back();
  outcome o;
  o.what = outcome::kind::failed;
  o.error = std::move(f.error);
  o.scope = f.scope;
  o.retryable = f.retryable;
  o.effect = f.effect;
  o.retry_after = f.retry_after;
  return o;
}

outcome stopped(cancel_reason why, wire::effect_state effect) {
  const auto when = effect == wire::effect_state::none ? " before anything was done" : " while it ran";
  return failed({.error = std::string{"the attempt was stopped"} + when + ": " + std::string{to_string(why)}, .effect = effect});
}

} // namespace sallyport::adapters
