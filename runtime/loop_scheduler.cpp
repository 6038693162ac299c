#include "runtime/loop_scheduler.hpp"

#include "protocol/assert.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/detail/thread_safe_actor_clock.hpp>
#include <caf/execution_unit.hpp>
#include <caf/logger.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <algorithm>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <signal.h>

namespace sallyport::runtime {

namespace {

class loop_scheduler final : public caf::scheduler::abstract_coordinator {
public:
  explicit loop_scheduler(caf::actor_system& system) : abstract_coordinator(system), unit_(*this) {}

  [[nodiscard]] const std::shared_ptr<io::io_thread>& thread() const { return thread_; }

  void start() override {
    // Signals belong to the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    timer_ = std::thread{[this] { clock_.run_dispatch_loop(); }};
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(timer_.native_handle(), "caf.clock");
    thread_->post([this] {
      caf::logger::set_current_actor_system(&system_);
      system_.thread_started();
    });
    abstract_coordinator::start();
  }

  /// All actors of the system have ended, but for those that CAF keeps itself.
  void stop() override {
    stop_actors();
    clock_.cancel_dispatch_loop();
    timer_.join();
    // What is still to be run on the thread knows this object: it goes first.
    std::promise<void> last;
    thread_->post([&] {
      stopped_ = true;
      system_.thread_terminates();
      caf::logger::set_current_actor_system(nullptr); // The system waits until no thread refers to its logger.
      last.set_value();
    });
    last.get_future().wait();
    const std::lock_guard lock{mutex_};
    for (auto* left : arrived_)
      cleanup_and_release(left);
    for (auto* left : ready_)
      cleanup_and_release(left);
    arrived_.clear(), ready_.clear();
  }

  /// Any thread.
  void enqueue(caf::resumable* what) override {
    if (thread_->on_thread())
      return add(what);
    bool first = false;
    {
      const std::lock_guard lock{mutex_};
      first = arrived_.empty();
      arrived_.push_back(what);
    }
    if (first)
      thread_->post([this] { collect(); });
  }

  caf::actor_clock& clock() noexcept override { return clock_; }

private:
  /// What actors are run with: whom they send to is run after them.
  class unit final : public caf::execution_unit {
  public:
    explicit unit(loop_scheduler& owner) : execution_unit(&owner.system_), owner_(owner) {}
    void exec_later(caf::resumable* what) override { owner_.add(what); }

  private:
    loop_scheduler& owner_;
  };

  // The rest is the thread's alone.

  void collect() {
    {
      const std::lock_guard lock{mutex_};
      ready_.insert(ready_.end(), arrived_.begin(), arrived_.end());
      arrived_.clear();
    }
    run();
  }

  void add(caf::resumable* what) {
    ready_.push_back(what);
    if (!running_)
      run_soon();
  }

  void run_soon() {
    if (!std::exchange(asked_, true))
      thread_->post([this] {
        asked_ = false;
        run();
      });
  }

  void run() {
    // Then the next actor, and the sockets, have a turn.
    constexpr std::size_t messages_at_once = 256;
    constexpr int actors_at_once = 64;
    running_ = true;
    for (int n = 0; n < actors_at_once && !ready_.empty() && !stopped_; ++n) {
      auto* what = ready_.front();
      ready_.pop_front();
      if (what->resume(&unit_, std::min(max_throughput_, messages_at_once)) == caf::resumable::resume_later)
        ready_.push_back(what);
      else
        caf::intrusive_ptr_release(what);
    }
    running_ = false;
    if (!ready_.empty() && !stopped_)
      run_soon();
  }

  std::shared_ptr<io::io_thread> thread_ = std::make_shared<io::io_thread>();
  caf::detail::thread_safe_actor_clock clock_;
  std::thread timer_;
  unit unit_;

  std::mutex mutex_;
  std::vector<caf::resumable*> arrived_; // From other threads.

  std::deque<caf::resumable*> ready_;
  bool running_ = false, asked_ = false, stopped_ = false;
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
