// A hub for the simulator: the real shard over a memory disk whose appends take time, fail, or leave their outcome open.
#pragma once

#include "cloud/core/shard.hpp"
#include "cloud/store/memory.hpp"
#include "tests/sim/mouth.hpp"

#include <functional>
#include <memory>
#include <unordered_map>

namespace sallyport::sim {

using judge::history;

class hub {
public:
  using completion = std::function<void(cloud::answer)>;

  hub(stage& s, history& h, cloud::shard_settings settings);

  /// A request has arrived. The completion is called when the answer leaves; never when the hub dies first.
  void arrive(cloud::command what, completion done);
  /// The process dies between two steps. An append under way reaches the disk, or not.
  void crash();
  void start();
  [[nodiscard]] bool up() const { return core_ != nullptr; }
  /// The next append ends badly.
  void fail_next_append() { fail_next_ = true; }
  /// The process stands still: nothing leaves it. What arrives waits, or, when it is deaf, is refused by the kernel.
  void pause(milliseconds how_long, bool deaf);
  /// From now on nothing fails and nobody stands still.
  void heal() { fail_next_ = false, paused_until_ = {}; }
  /// Asks the shard directly, without faults; for the end of a run.
  cloud::answer ask(decltype(cloud::command::what) what);
  [[nodiscard]] const cloud::memory_disk& disk() const { return *disk_; }
  [[nodiscard]] epoch_number epoch() const { return core_->epoch(); }

private:
  void turn(); // Everything that has arrived, then the sweep, then the duties.
  void plan_turn(milliseconds wait);
  void finish_append(cloud::duty::append what, std::uint64_t life);
  void reopen(epoch_number at_least);
  void fetch_events(cloud::answer& what);

  stage& stage_;
  history& history_;
  mouth mouth_;
  cloud::shard_settings settings_;
  std::shared_ptr<cloud::memory_disk> disk_ = std::make_shared<cloud::memory_disk>();
  std::unique_ptr<cloud::memory_store> store_;
  std::unique_ptr<cloud::shard> core_;
  std::unordered_map<std::uint64_t, completion> waiting_;
  std::vector<std::pair<cloud::ticket, cloud::command>> arrived_;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t life_ = 0; // Events of an earlier life do nothing.
  bool appending_ = false, fail_next_ = false, deaf_ = false;
  std::optional<epoch_number> reopen_after_append_;
  mono_time paused_from_{}, paused_until_{};
  mono_time turn_at_ = mono_time::max();
};

} // namespace sallyport::sim
