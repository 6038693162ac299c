#include "actors/poller.hpp"

#include "actors/agent_context.hpp"
#include "actors/alarm_clock.hpp"

#include <optional>
#include <utility>

namespace sallyport::actors {

namespace {

struct poller_state {
  static inline const char* name = "poller";
  using pointer = poller_actor::stateful_pointer<poller_state>;

  explicit poller_state(pointer p) : self(p) {}

  pointer self;
  std::shared_ptr<agent_context> context;
  std::optional<runtime::claim_lanes> lanes;
  unit_ptr unit;
  alarm_clock clock;

  void perform(runtime::claim_lanes::actions actions) {
    for (auto& action : actions)
      std::visit([this](auto& a) { carry_out(a); }, action);
    clock.wake(self, lanes->next_wake(), *context->time);
  }
  void carry_out(runtime::send_claim& a) {
    self->send(unit->link, claim_ptr{std::make_shared<runtime::send_claim>(std::move(a))});
  }
  void carry_out(runtime::grant_batch& a) { self->send(unit->leases, std::make_shared<runtime::grant_batch>(std::move(a))); }
  void carry_out(runtime::lanes_drained&) { self->send(unit->leases, atom::drained{}); }
};

poller_actor::behavior_type poller(poller_state::pointer self, std::shared_ptr<agent_context> context) {
  auto& s = self->state;
  s.context = std::move(context);
  const auto& from = s.context->settings;
  runtime::lane_settings l;
  for (const auto& c : s.context->connections)
    l.connections.push_back(c.settings.name);
  l.lanes = from.lanes;
  l.max_messages = from.claim_max_messages;
  l.max_bytes = from.claim_max_bytes;
  l.wait = from.claim_wait;
  l.retry_min = from.reconnect_min;
  // Lane names must differ between lives of one session's agent, and between agents they need not.
  s.lanes.emplace(std::move(l), s.context->seed * 31 + s.context->unit_life);
  return {
    [self](const unit_ptr& unit) { self->state.unit = unit; },
    [self](const session_ptr& session) {
      auto& s = self->state;
      s.perform(s.lanes->opened(session->session, s.context->now()));
    },
    [self](atom::ended) { self->state.perform(self->state.lanes->ended()); },
    [self](const room_ptr& room) {
      auto& s = self->state;
      s.perform(s.lanes->room(*room, s.context->now()));
    },
    [self](const claim_answer_ptr& a) {
      auto& s = self->state;
      s.perform(s.lanes->answered(*a->asked, std::move(a->what), s.context->now()));
    },
    [self](atom::drain) { self->state.perform(self->state.lanes->drain()); },
    [self](atom::tick) {
      auto& s = self->state;
      s.clock.rang();
      s.perform(s.lanes->tick(s.context->now()));
    },
  };
}

} // namespace

poller_actor spawn_poller(caf::actor_system& system, std::shared_ptr<agent_context> context) {
  return system.spawn(poller, std::move(context));
}

} // namespace sallyport::actors
