#include "runtime/loop_scheduler.hpp"

#include "protocol/assert.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/detail/thread_safe_actor_clock.hpp>
#include <caf/execution_unit.hpp>
#include <caf/group.hpp>
#include <caf/logger.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduled_actor.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace sallyport::runtime {

namespace {

using caf::scheduler::abstract_coordinator;

/// What is to be run, and where. What is posted to the thread holds it, and finds it stopped when the scheduler has gone.
class run_loop final : public caf::execution_unit, public std::enable_shared_from_this<run_loop> {
public:
  run_loop(caf::actor_system& system, std::size_t messages_at_once)
    : execution_unit(&system),
      messages_at_once_(std::min(messages_at_once, std::size_t{256})) {}

  [[nodiscard]] const std::shared_ptr<io::io_thread>& thread() const { return thread_; }

  void start() {
    thread_->post([self = shared_from_this()] {
      caf::logger::set_current_actor_system(self->system_);
      self->system_->thread_started();
    });
  }

  /// Any thread but this one. Nothing is run any more when it returns.
  void stop() {
    std::promise<void> last;
    thread_->post([&] {
      stopped_ = true;
      system_->thread_terminates();
      caf::logger::set_current_actor_system(nullptr); // The system waits until no thread refers to its logger.
      last.set_value();
    });
    last.get_future().wait();
  }

  /// After stop(): releases what was not run, and what is sent by that.
  void release_the_rest() {
    // CAF's own cleanup_and_release() keeps a reference to whom the end of another wakes.
    struct last_unit final : caf::execution_unit {
      using execution_unit::execution_unit;
      void exec_later(caf::resumable* what) override { woken.push_back(what); }
      std::vector<caf::resumable*> woken;
    } unit{system_};
    for (unit.woken = take_rest(); !unit.woken.empty(); unit.woken = take_rest())
      while (!unit.woken.empty()) {
        auto* what = unit.woken.back();
        unit.woken.pop_back();
        if (what->subtype() == caf::resumable::scheduled_actor)
          static_cast<caf::scheduled_actor*>(what)->cleanup(caf::make_error(caf::exit_reason::user_shutdown), &unit);
        caf::intrusive_ptr_release(what);
      }
  }

  /// Any thread.
  void enqueue(caf::resumable* what) {
    if (thread_->on_thread() && !stopped_)
      return exec_later(what);
    bool first = false;
    {
      const std::lock_guard lock{mutex_};
      first = arrived_.empty();
      arrived_.push_back(what);
    }
    if (first)
      thread_->post([self = shared_from_this()] { self->collect(); });
  }

  // The rest is the thread's alone.

  /// By an actor that runs: whom it sends to runs after it.
  void exec_later(caf::resumable* what) override {
    SALLYPORT_ASSERT(thread_->on_thread());
    ready_.push_back(what);
    if (!running_)
      run_soon();
  }

private:
  void collect() {
    if (stopped_)
      return;
    {
      const std::lock_guard lock{mutex_};
      ready_.insert(ready_.end(), arrived_.begin(), arrived_.end());
      arrived_.clear();
    }
    run();
  }

  void run_soon() {
    if (!std::exchange(asked_, true))
      thread_->post([self = shared_from_this()] {
        self->asked_ = false;
        self->run();
      });
  }

  /// So many actors at most, of so many messages each: then the sockets have a turn.
  void run() {
    constexpr int actors_at_once = 64;
    if (stopped_)
      return;
    running_ = true;
    for (int n = 0; n < actors_at_once && !ready_.empty(); ++n) {
      auto* what = ready_.front();
      ready_.pop_front();
      if (what->resume(this, messages_at_once_) == caf::resumable::resume_later)
        ready_.push_back(what);
      else
        caf::intrusive_ptr_release(what);
    }
    running_ = false;
    if (!ready_.empty())
      run_soon();
  }

  std::vector<caf::resumable*> take_rest() {
    const std::lock_guard lock{mutex_};
    auto rest = std::exchange(arrived_, {});
    rest.insert(rest.end(), ready_.begin(), ready_.end());
    ready_.clear();
    return rest;
  }

  std::shared_ptr<io::io_thread> thread_ = std::make_shared<io::io_thread>();
  const std::size_t messages_at_once_;

  std::mutex mutex_;
  std::vector<caf::resumable*> arrived_; // From other threads.

  std::deque<caf::resumable*> ready_;
  bool running_ = false, asked_ = false, stopped_ = false;
};

/// Who comes to it after its end is no longer waited for: its queue has an edge, and nobody takes from it any more.
class loop_clock final : public caf::detail::thread_safe_actor_clock {
public:
  using super = caf::detail::thread_safe_actor_clock;

  void end() {
    ended_ = true;
    cancel_dispatch_loop(); // Which also forgets what was to come.
  }

  void set_ordinary_timeout(time_point t, caf::abstract_actor* self, caf::atom_value type, std::uint64_t id) override {
    if (!ended_)
      super::set_ordinary_timeout(t, self, type, id);
  }
  void set_request_timeout(time_point t, caf::abstract_actor* self, caf::message_id id) override {
    if (!ended_)
      super::set_request_timeout(t, self, id);
  }
  void set_multi_timeout(time_point t, caf::abstract_actor* self, caf::atom_value type, std::uint64_t id) override {
    if (!ended_)
      super::set_multi_timeout(t, self, type, id);
  }
  void cancel_ordinary_timeout(caf::abstract_actor* self, caf::atom_value type) override {
    if (!ended_)
      super::cancel_ordinary_timeout(self, type);
  }
  void cancel_request_timeout(caf::abstract_actor* self, caf::message_id id) override {
    if (!ended_)
      super::cancel_request_timeout(self, id);
  }
  void cancel_timeouts(caf::abstract_actor* self) override {
    if (!ended_)
      super::cancel_timeouts(self);
  }
  void schedule_message(time_point t, caf::strong_actor_ptr receiver, caf::mailbox_element_ptr content) override {
    if (!ended_)
      super::schedule_message(t, std::move(receiver), std::move(content));
  }
  void schedule_message(time_point t, caf::group target, caf::strong_actor_ptr sender, caf::message content) override {
    if (!ended_)
      super::schedule_message(t, std::move(target), std::move(sender), std::move(content));
  }

private:
  std::atomic<bool> ended_{false};
};

class loop_scheduler final : public abstract_coordinator {
public:
  explicit loop_scheduler(caf::actor_system& system) : abstract_coordinator(system) {}

  void init(caf::actor_system_config& config) override {
    abstract_coordinator::init(config);
    loop_ = std::make_shared<run_loop>(system_, max_throughput_);
  }

  [[nodiscard]] const std::shared_ptr<io::io_thread>& thread() const { return loop_->thread(); }

  void start() override {
    timer_ = io::start_thread("caf.clock", [this] { clock_.run_dispatch_loop(); });
    loop_->start();
    abstract_coordinator::start();
  }

  /// In CAF's own order, but for the clock: the end of an actor of which only a timer knows may wake others, which are released with the rest.
  void stop() override {
    loop_->stop();
    stop_actors();
    clock_.end();
    timer_.join();
    loop_->release_the_rest();
  }

  void enqueue(caf::resumable* what) override { loop_->enqueue(what); }
  caf::actor_clock& clock() noexcept override { return clock_; }

private:
  std::shared_ptr<run_loop> loop_;
  loop_clock clock_;
  std::thread timer_;
};

} // namespace

void use_loop_scheduler(caf::actor_system_config& config) {
  config.module_factories.push_back(
    [](caf::actor_system& system) -> caf::actor_system::module* { return new loop_scheduler{system}; });
}

std::shared_ptr<io::io_thread> loop_thread(caf::actor_system& system) {
  auto* ours = dynamic_cast<loop_scheduler*>(&system.scheduler());
  return ours ? ours->thread() : nullptr;
}

} // namespace sallyport::runtime
