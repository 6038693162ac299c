// An agent for the simulator: speaks the session, claim and settle protocol, works at the target, crashes, stands still, is cut off.
#pragma once

#include "tests/sim/network.hpp"
#include "tests/sim/target.hpp"

#include <map>
#include <set>

namespace sallyport::sim {

/// What every agent of the play has: a process that starts, dies and stands still, and a way to the hub.
class agent {
public:
  agent(stage& s, history& h, hub& at, target& t, std::string name)
    : net(s, h, at),
      stage_(s),
      history_(h),
      target_(t),
      name_(std::move(name)) {}
  virtual ~agent() = default;

  void start(); // A new process.
  void crash();
  void pause(milliseconds how_long); // SIGSTOP, later SIGCONT.
  virtual void crash_a_part() {}     // Something inside fails and is restarted; the process lives.
  [[nodiscard]] bool up() const { return up_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  line net;
  bool healthy = false; // No more failures of its own making.
  std::string poison;   // The event that ends this process when tried.

protected:
  virtual void begin() = 0; // The process has started.
  virtual void end() = 0;   // It is dead: forget everything but the state directory.

  void later(milliseconds wait, std::function<void()> what); // In this life of the process, when it is not standing still.
  void ask(decltype(cloud::command::what) what, milliseconds timeout, std::function<void(std::optional<cloud::answer>)> done);
  /// Attempts a batch at the target: what the adapter reports.
  [[nodiscard]] std::vector<wire::settlement> attempt(const std::vector<wire::grant>& grants);
  [[nodiscard]] milliseconds effort() { return stage_.one_in(40) ? stage_.between(1'000, 15'000) : stage_.between(1, 100); }
  void seen(const wire::grant& g, const std::string& id);
  void began(const wire::grant& g, const std::string& id);

  stage& stage_;
  history& history_;
  target& target_;
  std::string name_;
  std::uint64_t process_ = 0; // In the state directory.
  std::uint64_t life_ = 0;
  bool up_ = false;
  mono_time paused_until_{};
};

/// An agent written by hand after the wire's description, as somebody with curl would: keeps to the rules, knows no tricks.
class plain_agent final : public agent {
public:
  using agent::agent;

private:
  void begin() override;
  void end() override;
  struct held {
    wire::grant grant;
    std::string id, key;
    bool running = false, lost = false;
    std::optional<wire::settlement> outcome; // Settled until answered.
  };
  struct lane {
    std::string name;
    std::uint64_t seq = 0;
    bool asking = false;
  };

  void open();
  void opened(const wire::session_opened& o);
  void lose_session();
  void beat();
  void claim(std::size_t which);
  void repeat(const cloud::ask::claim& c, std::size_t which); // Until it is answered.
  void received(const wire::claim_reply& reply);
  void work();
  void perform(fence_token fence);
  void finish(fence_token fence);
  void settle();
  void drop(const std::vector<wire::held_grant>& lost);
  [[nodiscard]] bool may_start() const { return session_ && stage_.now().mono < deadline_; }
  void heard(mono_time sent_at) { deadline_ = std::max(deadline_, sent_at + ttl_ - milliseconds{500}); }

  bool careless_ = false; // Goes on with the rest of a key's run when its head has failed.
  std::uint64_t opening_ = 0;
  bool opening_now_ = false, settling_ = false, list_wanted_ = false;
  mono_time deadline_{};
  milliseconds ttl_{10'000};
  std::optional<session_id> session_;
  epoch_number highest_epoch_;
  std::vector<lane> lanes_;
  std::map<fence_token, held> held_;
};

} // namespace sallyport::sim
