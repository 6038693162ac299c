// What the agent's actors cost: a batch of grants arrives at the poller, goes through lease manager and adapter host to a null adapter's
// worker on a thread of its own, and its outcomes leave for the hub. Real scheduler, real clock; the hub is a few lines in this process,
// whose own work is kept out of the time. Decoding the claim's answer and encoding the settlements is in it: the hub link does that.
//
// Time is from the answer to the claim until the settlements arrive; CPU is of the whole process. Items are messages.
#include "adapters/null/settings.hpp"
#include "bench/micro/samples.hpp"
#include "bench/micro/scratch.hpp"
#include "protocol/assert.hpp"
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"
#include "runtime/agent.hpp"

#include <benchmark/benchmark.h>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace {

using namespace sallyport;
using steady = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{20}; // For whatever the agent is to do next.

/// Opens sessions, hears heartbeats and parks claims; grants and verdicts are given by the benchmark. Handlers run on a thread of its own.
/// Owned by the benchmark, and outlives the agent.
class small_hub {
public:
  small_hub() : thread_([this] { run(); }) {}
  small_hub(const small_hub&) = delete;
  small_hub& operator=(const small_hub&) = delete;
  ~small_hub() {
    {
      std::lock_guard lock{mutex_};
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  runtime::transport_factory factory() {
    return [this](const std::string&) -> result<std::shared_ptr<runtime::transport>> {
      return std::shared_ptr<runtime::transport>{std::make_shared<line>(*this)};
    };
  }

  /// Waits until a claim is parked that asks for so many, and answers it. False: there was none.
  bool grant(std::size_t count, std::string body, steady::time_point& answered_at) {
    std::unique_lock lock{mutex_};
    const auto fitting = [&] {
      return std::find_if(parked_.begin(), parked_.end(), [&](const parked& p) { return p.max_messages >= count; });
    };
    const bool found = changed_.wait_for(lock, patience, [&] {
      if (fitting() != parked_.end())
        return true;
      unpark(); // They were asked when the agent had less room; it asks anew.
      return false;
    });
    if (!found)
      return false;
    const auto at = fitting();
    answers_.push_back({std::move(at->on_reply), framed(std::move(body))});
    parked_.erase(at);
    answered_at = steady::now();
    changed_.notify_all();
    return true;
  }
  /// Waits for the settlements of so many messages, each request answered with its verdicts. Nothing: they did not all come.
  std::optional<steady::time_point> settle(std::size_t count) {
    std::optional<steady::time_point> last;
    while (count > 0) {
      std::unique_lock lock{mutex_};
      if (!changed_.wait_for(lock, patience, [&] { return !settlements_.empty(); }))
        return std::nullopt;
      auto one = std::move(settlements_.front());
      settlements_.pop_front();
      lock.unlock();
      last = one.arrived_at;
      const auto asked = wire::decode_frames<wire::settle>(one.body); // In frames, as the grants came.
      SALLYPORT_ASSERT(asked.ok());
      count -= std::min(count, asked->items.size());
      auto verdicts = wire::encode_frames(bench::verdicts_of(asked->items));
      lock.lock();
      answers_.push_back({std::move(one.on_reply), framed(std::move(verdicts))});
      changed_.notify_all();
    }
    return last;
  }

private:
  struct parked {
    std::uint32_t max_messages = 0;
    runtime::transport::handler on_reply;
  };
  struct settlement_request {
    std::string body;
    runtime::transport::handler on_reply;
    steady::time_point arrived_at;
  };
  struct answer {
    runtime::transport::handler on_reply;
    result<runtime::http_reply> what;
  };

  class line final : public runtime::transport {
  public:
    explicit line(small_hub& hub) : hub_(hub) {}
    void send(runtime::http_request request, handler on_reply) override { hub_.take(std::move(request), std::move(on_reply)); }
    void close() override { hub_.hang_up(); }

  private:
    small_hub& hub_;
  };

  static result<runtime::http_reply> ok(std::string body) {
    runtime::http_reply r;
    r.status = 200;
    r.content_type = "application/json";
    r.body = std::move(body);
    return r;
  }

  static result<runtime::http_reply> framed(std::string body) {
    auto r = ok(std::move(body));
    r->content_type = wire::frames_type;
    return r;
  }

  void take(runtime::http_request r, runtime::transport::handler on_reply) {
    const auto arrived_at = steady::now();
    std::lock_guard lock{mutex_};
    if (r.target.ends_with("/settlements")) {
      settlements_.push_back({std::move(r.body), std::move(on_reply), arrived_at});
    } else if (r.target.ends_with("/claims")) {
      const auto claim = wire::decode<wire::claim>(r.body);
      SALLYPORT_ASSERT(claim.ok());
      parked_.push_back({claim->max_messages, std::move(on_reply)});
    } else {
      if (r.target.ends_with("/heartbeat"))
        unpark(); // Sent out of turn, when a connection comes up or nothing more is wanted.
      answers_.push_back({std::move(on_reply), ok(answer_to(r))});
    }
    changed_.notify_all();
  }
  static std::string answer_to(const runtime::http_request& r) {
    constexpr milliseconds ttl{3'600'000}; // No heartbeats while we measure.
    if (r.method == "DELETE")
      return wire::encode(wire::session_closed{});
    if (r.target.ends_with("/heartbeat"))
      return wire::encode(wire::heartbeat_reply{ttl, {7}, {}, {}});
    return wire::encode(wire::session_opened{{7, 1}, ttl, ttl / 4, {7}, {}});
  }
  /// Answers every parked claim with nothing. Under the mutex.
  void unpark() {
    if (parked_.empty())
      return;
    for (auto& p : parked_)
      answers_.push_back({std::move(p.on_reply), ok(wire::encode(wire::claim_reply{}))});
    parked_.clear();
    changed_.notify_all();
  }
  void hang_up() {
    std::unique_lock lock{mutex_};
    const auto stopped = make_error(errc::stopped, "the benchmark is over");
    for (auto& p : parked_)
      answers_.push_back({std::move(p.on_reply), stopped});
    for (auto& s : settlements_)
      answers_.push_back({std::move(s.on_reply), stopped});
    parked_.clear(), settlements_.clear();
    changed_.notify_all();
    changed_.wait(lock, [&] { return answers_.empty() && !answering_; });
  }
  void run() {
    std::unique_lock lock{mutex_};
    while (!ended_ || !answers_.empty()) {
      if (answers_.empty()) {
        changed_.wait(lock);
        continue;
      }
      auto next = std::move(answers_.front());
      answers_.pop_front();
      answering_ = true;
      lock.unlock();
      next.on_reply(std::move(next.what));
      lock.lock();
      answering_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<parked> parked_;
  std::deque<settlement_request> settlements_;
  std::deque<answer> answers_;
  bool answering_ = false, ended_ = false;
  std::thread thread_;
};

struct prepared_config : caf::actor_system_config {
  prepared_config() { prepare(*this); }
};

/// Argument: grants in a batch.
void grants_to_outcomes(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  spdlog::set_level(spdlog::level::warn);
  bench::scratch_directory directory;
  small_hub hub;
  prepared_config config;
  caf::actor_system system{config};
  config::agent_settings settings;
  settings.group = {"g"}, settings.name = {"a"}, settings.state_dir = (directory.path() / "state").string(),
  settings.hubs = {"http://localhost"};
  settings.window = 2048; // Both lanes may ask for a whole batch.
  agent_connection connection;
  connection.settings.name = {"erp-db"};
  connection.settings.credit = 1024;
  connection.adapter = adapters::null::make_factory({});
  connection.adapter.about.blocks = true; // As most adapters: with a thread of its own.
  agent_options options;
  options.connect = hub.factory();
  auto agent = agent::start(system, settings, {std::move(connection)}, std::move(options));
  if (!agent)
    return state.SkipWithError(to_string(agent.err()).c_str());

  auto reply = bench::claim_reply_of_256(false);
  reply.grants.resize(count);
  for (auto _ : state) {
    for (auto& g : reply.grants)
      g.message.serial += bench::batch_events, g.fence.counter += bench::batch_events;
    steady::time_point begin;
    std::optional<steady::time_point> end;
    if (!hub.grant(count, wire::encode_frames(reply), begin) || !(end = hub.settle(count))) {
      state.SkipWithError("the agent did not claim, or did not settle, within 20 s");
      break;
    }
    state.SetIterationTime(std::chrono::duration<double>(*end - begin).count());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(count));
  agent->stop();
  if (!agent->wait_for(patience))
    state.SkipWithError("the agent did not stop");
}
BENCHMARK(grants_to_outcomes)->Arg(1)->Arg(16)->Arg(256)->UseManualTime()->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

} // namespace

BENCHMARK_MAIN();
