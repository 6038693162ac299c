#include "adapters/null/settings.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace sallyport::adapters::null {
namespace {

class null_adapter final : public adapter {
public:
  explicit null_adapter(const settings& s) : settings_(s) {}

  probe_result probe() override { return {wire::reach::up, {}}; }

  std::vector<outcome> perform(const std::vector<job>& jobs) override {
    if (settings_.latency > milliseconds::zero() && !jobs.empty())
      wait(jobs);
    std::vector<outcome> outcomes;
    outcomes.reserve(jobs.size());
    for (const auto& j : jobs) {
      if (auto why = j.cancelled(); why != cancel_reason::none) {
        outcomes.push_back(stopped(why, wire::effect_state::none));
      } else if (j.time_left <= milliseconds::zero() || j.time_left < settings_.latency) {
        outcomes.push_back(stopped(cancel_reason::attempt_timeout, wire::effect_state::none));
      } else {
        outcomes.push_back(done(settings_.result));
        if (settings_.performed)
          settings_.performed->fetch_add(1, std::memory_order_relaxed);
      }
    }
    return outcomes;
  }

private:
  /// Until the latency has passed, the shortest job has run out of time, or all are cancelled.
  void wait(const std::vector<job>& jobs) {
    auto how_long = settings_.latency;
    for (const auto& j : jobs)
      how_long = std::min(how_long, std::max(j.time_left, milliseconds::zero()));
    std::mutex mutex;
    std::condition_variable raised;
    for (const auto& j : jobs)
      if (j.cancel)
        j.cancel->set_hook([&mutex, &raised] {
          std::lock_guard lock{mutex};
          raised.notify_one();
        });
    {
      std::unique_lock lock{mutex};
      raised.wait_for(lock, how_long, [&jobs] {
        return std::all_of(jobs.begin(), jobs.end(), [](const job& j) { return j.cancelled() != cancel_reason::none; });
      });
    }
    for (const auto& j : jobs)
      if (j.cancel)
        j.cancel->clear_hook();
  }

  settings settings_;
};

} // namespace

result<void> check(const settings& s) {
  std::string faults;
  if (s.latency < milliseconds::zero())
    faults += "latency must not be negative\n";
  if (s.batch_max == 0 || s.batch_max > 1024)
    faults += "batch_max must be 1 to 1024\n";
  if (s.workers == 0 || s.workers > 64)
    faults += "workers must be 1 to 64\n";
  if (s.result.size() > result_bytes_max)
    faults += "result must be at most 256 KiB\n";
  return faults.empty() ? result<void>{} : result<void>{errc::invalid_config, faults.substr(0, faults.size() - 1)};
}

factory make_factory(const settings& s) {
  return {{.kind = "null",
           .effect = wire::effect_promise::idempotent,
           .fingerprint = "null:",
           .batch_max = s.batch_max,
           .workers = s.workers,
           .blocks = s.latency > milliseconds::zero()},
          [s]() -> std::unique_ptr<adapter> { return std::make_unique<null_adapter>(s); }};
}

} // namespace sallyport::adapters::null
