// The product's agent on the stage: its session keeper, claim lanes and lease keeper, with the stage in place of actors, sockets and
// threads. What the actors do between the keepers is done here in a few lines; what the keepers decide is the real thing.
#pragma once

#include "runtime/core/lease_keeper.hpp"
#include "tests/sim/agent.hpp"

namespace sallyport::sim {

class kept_agent final : public agent {
public:
  using agent::agent;

  void crash_a_part() override; // The session unit: hub link, lease manager, poller. Adapters go on.

private:
  void begin() override;
  void end() override;
  void start_unit();
  void carry(runtime::session_keeper::actions what);
  void carry(runtime::claim_lanes::actions what);
  void carry(runtime::lease_keeper::actions what);
  void perform(const std::shared_ptr<const runtime::job_batch>& jobs);
  void finish(const std::shared_ptr<const runtime::job_batch>& jobs);
  void send(const runtime::send_claim& c);
  void settle(const std::shared_ptr<const std::vector<wire::settlement>>& items);
  void wake();
  [[nodiscard]] mono_time now() const { return stage_.now().mono; }

  std::uint64_t opening_ = 0, unit_ = 0;
  epoch_number highest_epoch_;
  std::optional<runtime::session_keeper> keeper_;
  std::optional<runtime::claim_lanes> lanes_;
  std::optional<runtime::lease_keeper> leases_;
  session_id session_; // The last one there was.
  std::map<runtime::batch_id, runtime::running_batch> running_;
  std::map<runtime::batch_id, std::shared_ptr<const runtime::outcome_batch>> unconfirmed_;
  std::map<fence_token, std::string> ids_; // Of events, for the history.
  std::uint64_t wakes_ = 0;
};

} // namespace sallyport::sim
