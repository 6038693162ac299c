// The quickstart's play, in three acts: records flow from iso-codes through a hub and two agents into a database; an agent is killed
// while it holds work, the hub while work waits; and in the end the database is compared with what was sent. One thread.
#pragma once

#include "examples/quickstart/hub_watch.hpp"
#include "examples/quickstart/process.hpp"
#include "examples/quickstart/records.hpp"
#include "examples/quickstart/screen.hpp"
#include "examples/quickstart/target.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace quickstart {

struct options {
  std::string binary; // sallyport
  std::string iso_codes = "/usr/share/iso-codes/json";
  std::string folder; // For everything: data, state, logs, the database.
  bool keep = false;  // Leave hub and agents up.
  bool inbox = true;  // Without it agents double what they repeat: shows that the end can be a bad one.
};

class play {
public:
  explicit play(options o);
  ~play();

  /// The exit code: 0 if nothing was lost or doubled, 1 otherwise. Throws std::exception when the play cannot go on.
  int perform();

private:
  /// Goes on counting where the hub, which counts from its own start, begins anew.
  class counter {
  public:
    void update(std::uint64_t since_hub_start);
    [[nodiscard]] std::uint64_t value() const { return value_; }

  private:
    std::uint64_t before_ = 0, value_ = 0;
  };
  struct agent {
    std::string name;
    std::string config_file;
    process life{};
    std::string state = "down";
    counter settled{};
    std::uint64_t held = 0;
  };

  // -- the stage
  void start_hub();
  void start_agent(agent& a);
  void write_agent_config(agent& a);
  void ask_to_stop(agent& a);
  /// Waits for one that was asked to stop.
  void finish(process& life, const std::string& name);
  void stop_everything();

  // -- watching
  std::optional<sallyport::wire::group_view> look();
  void until(const std::string& what, std::chrono::seconds at_most, const std::function<bool()>& condition);
  void check_alive();

  // -- the acts
  /// At an even pace, so that the records up to this one are sent at that second of the run.
  void feed(std::size_t end, double at_second);
  /// The next records, as fast as the hub takes them.
  process start_burst(std::size_t size);
  process start_sending(std::size_t end, std::vector<std::string> how);
  void finish_sending(process sender);
  void kill_agent(agent& a, std::size_t burst_size);
  void kill_hub();
  void kill_agent_until_doubled(agent& victim, agent& other);
  /// Waits until everything sent is settled; what the hub said then.
  sallyport::wire::group_view drain();
  bool call_reads_a_row_back();
  int judge(bool call_answered);
  void say_how_to_go_on() const;

  options options_;
  std::vector<record> records_;
  std::unique_ptr<target> target_;
  screen screen_;
  std::uint16_t port_ = 0;
  std::string url_;
  process hub_;
  std::string hub_state_ = "down";
  std::unique_ptr<hub_watch> watch_;
  std::vector<agent> agents_;

  std::size_t sending_ = 0; // Records given to a sender.
  std::size_t sent_ = 0;    // Of those: acknowledged.
  counter arrived_;         // The same as the hub counts it.
  std::uint64_t depth_ = 0;
  std::uint64_t agent_kills_ = 0, hub_kills_ = 0, held_at_kill_ = 0, depth_at_hub_kill_ = 0;
};

} // namespace quickstart
