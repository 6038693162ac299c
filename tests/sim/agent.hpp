// An agent for the simulator: speaks the session, claim and settle protocol, works at the target, crashes, stands still, is cut off.
#pragma once

#include "tests/sim/network.hpp"

#include <map>
#include <set>

namespace sallyport::sim {

/// The local system. Its inbox makes an effect once however often it is attempted.
class target {
public:
  explicit target(history& h) : history_(h) {}
  bool down = false;
  /// True: this attempt made the effect. False: an earlier one had.
  bool commit(const effect& e) {
    if (!inbox_.insert(e.id).second)
      return false;
    history_.committed.push_back(e);
    return true;
  }
  [[nodiscard]] bool has(const std::string& id) const { return inbox_.count(id) != 0; }

private:
  history& history_;
  std::set<std::string> inbox_;
};

class agent {
public:
  agent(stage& s, history& h, hub& at, target& t, std::string name);

  void start();                       // A new process.
  void crash();
  void pause(milliseconds how_long);  // SIGSTOP, later SIGCONT.
  [[nodiscard]] bool up() const { return up_; }
  line net;
  bool healthy = false;               // No more failures of its own making.
  std::string poison;                 // The event that ends this process when tried.

private:
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

  void later(milliseconds wait, std::function<void()> what); // In this life of the process, when it is not standing still.
  void ask(decltype(cloud::command::what) what, milliseconds timeout, std::function<void(std::optional<cloud::answer>)> done);
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

  stage& stage_;
  history& history_;
  target& target_;
  std::string name_;
  std::uint64_t process_ = 0, opening_ = 0, life_ = 0;
  bool up_ = false, opening_now_ = false, settling_ = false, list_wanted_ = false;
  mono_time paused_until_{}, deadline_{};
  milliseconds ttl_{10'000};
  std::optional<session_id> session_;
  epoch_number highest_epoch_;
  std::vector<lane> lanes_;
  std::map<fence_token, held> held_;
};

} // namespace sallyport::sim
