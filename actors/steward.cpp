#include "actors/steward.hpp"

#include "actors/adapter_host.hpp"
#include "actors/agent_context.hpp"
#include "actors/hub_link.hpp"
#include "actors/lease_manager.hpp"
#include "actors/poller.hpp"
#include "actors/supervisor.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace sallyport::actors {

namespace {

constexpr milliseconds grace_of_drain{2'000}; // For running work to heed its signal when the drain's time is up.
constexpr milliseconds grace_of_stop{500};
constexpr milliseconds last_words{5'000}; // To the hub.

using runtime::agent_event;
using runtime::end_reason;

template <class Handle>
Handle as(const caf::actor& a) {
  return a ? caf::actor_cast<Handle>(a) : Handle{};
}

void report_restarts(supervisor_spec& spec, const steward_actor& steward) {
  spec.on_failure = [steward](const std::string& child, const std::string& why, const runtime::restart_decision& d) {
    if (!d.give_up)
      caf::anon_send(steward,
                     event_ptr{std::make_shared<agent_event>(agent_event{agent_event::kind::restarted, {}, child + ": " + why})});
  };
}

runtime::restart_limits limits_of(std::uint32_t restarts, milliseconds period) {
  runtime::restart_limits l;
  l.restarts = restarts;
  l.period = period;
  l.wait_max = std::min(l.wait_max, std::max(period / 4, l.wait_min));
  return l;
}

/// hub_link, lease_manager and poller: one life of the agent's session. If one of them crashes all start anew.
supervisor_spec session_unit_spec(const std::shared_ptr<agent_context>& context, const steward_actor& steward) {
  supervisor_spec spec;
  spec.name = "session-unit";
  spec.strategy = runtime::restart_strategy::one_for_all;
  spec.limits = limits_of(context->settings.restarts, context->settings.restart_period);
  spec.now = [context] { return context->now(); };
  spec.longest_nap = context->time->longest_nap();
  spec.children = {
    {"hub-link",
     [context, steward](caf::actor_system& system) {
       ++context->unit_life;
       return caf::actor_cast<caf::actor>(spawn_hub_link(system, context, steward));
     },
     {}},
    {"lease-manager",
     [context](caf::actor_system& system) { return caf::actor_cast<caf::actor>(spawn_lease_manager(system, context)); },
     {}},
    {"poller", [context](caf::actor_system& system) { return caf::actor_cast<caf::actor>(spawn_poller(system, context)); }, {}},
  };
  spec.on_change = [steward](const child_list& list) {
    auto unit = std::make_shared<session_unit>();
    unit->link = as<hub_link_actor>(list.children[0].handle);
    unit->leases = as<lease_manager_actor>(list.children[1].handle);
    unit->poll = as<poller_actor>(list.children[2].handle);
    const bool whole = unit->link && unit->leases && unit->poll;
    caf::anon_send(steward, whole ? unit_ptr{std::move(unit)} : std::make_shared<const session_unit>());
  };
  report_restarts(spec, steward);
  return spec;
}

/// One host per connection, each with a budget of its own.
supervisor_spec adapters_spec(const std::shared_ptr<agent_context>& context, const steward_actor& steward) {
  supervisor_spec spec;
  spec.name = "adapters";
  spec.strategy = runtime::restart_strategy::one_for_one;
  spec.now = [context] { return context->now(); };
  spec.longest_nap = context->time->longest_nap();
  for (runtime::connection_index i = 0; i < context->connections.size(); ++i) {
    const auto& c = context->connections[i].settings;
    spec.children.push_back({"adapter host " + c.name.value,
                             [context, steward, i](caf::actor_system& system) {
                               return caf::actor_cast<caf::actor>(spawn_adapter_host(system, context, i, steward));
                             },
                             limits_of(c.restarts, c.restart_period)});
  }
  spec.on_change = [steward](const child_list& list) {
    auto roster = std::make_shared<host_roster>();
    for (const auto& c : list.children)
      roster->hosts.push_back(as<adapter_host_actor>(c.handle));
    caf::anon_send(steward, roster_ptr{std::move(roster)});
  };
  report_restarts(spec, steward);
  return spec;
}

supervisor_spec root_spec(const std::shared_ptr<agent_context>& context, const steward_actor& steward) {
  supervisor_spec spec;
  spec.name = "root";
  spec.strategy = runtime::restart_strategy::one_for_one;
  spec.stop_timeout = milliseconds{10'000}; // Its children have children.
  spec.now = [context] { return context->now(); };
  spec.longest_nap = context->time->longest_nap();
  const auto limits = limits_of(context->settings.restarts, context->settings.restart_period);
  // Errors of these specs are errors of ours; the embedder's settings were checked before.
  auto subtree = [](supervisor_spec (*make)(const std::shared_ptr<agent_context>&, const steward_actor&), auto context,
                    auto steward) {
    return [make, context, steward](caf::actor_system& system) {
      auto made = spawn_supervisor(system, make(context, steward));
      return made.ok() ? *made : caf::actor{};
    };
  };
  spec.children = {{"session unit", subtree(session_unit_spec, context, steward), limits},
                   {"adapters", subtree(adapters_spec, context, steward), limits}};
  report_restarts(spec, steward);
  return spec;
}

struct steward_state {
  static inline const char* name = "steward";
  using pointer = steward_actor::stateful_pointer<steward_state>;

  enum class phase : std::uint8_t { running, draining, stopping };

  explicit steward_state(pointer p) : self(p) {}

  pointer self;
  std::shared_ptr<agent_context> context;
  caf::actor root;
  unit_ptr unit; // Null while the session unit is down.
  roster_ptr roster = std::make_shared<const host_roster>();
  phase at = phase::running;
  drain_order order; // While draining.
  std::uint64_t alarm = 0;
  end_reason reason = end_reason::escalated;
  std::string why;

  void wake_in(milliseconds time) { self->delayed_send(steward_actor{self}, time, atom::tick{}, ++alarm); }

  void introduce(const unit_ptr& members) {
    unit = members->leases ? members : nullptr;
    if (!unit)
      return;
    // The lease manager first: the hub link asks it at once.
    self->send(unit->leases, unit);
    self->send(unit->leases, roster);
    self->send(unit->poll, unit);
    self->send(unit->link, unit);
    if (at == phase::draining)
      send_drain(); // Its predecessor did not live to see the end.
  }

  void hear(const event_ptr& e) {
    if (context->on_event)
      context->on_event(*e);
    if (e->what == agent_event::kind::session_replaced)
      stop_tree(end_reason::session_replaced, e->detail);
    else if (e->what == agent_event::kind::drain_wanted)
      drain(context->settings.drain, grace_of_drain);
  }

  void drain(milliseconds time, milliseconds grace) {
    if (at == phase::stopping)
      return;
    const auto until = context->now() + time;
    if (at == phase::running)
      spdlog::info("draining: no new work, {} ms to finish what is held", time.count());
    order.until = at == phase::draining ? std::min(order.until, until) : until;
    order.grace = at == phase::draining ? std::min(order.grace, grace) : grace;
    at = phase::draining;
    send_drain();
    wake_in(std::max(order.until - context->now(), milliseconds{0}) + order.grace + last_words);
  }

  void send_drain() {
    if (!unit)
      return; // As soon as it has been restarted, or the alarm rings.
    const auto limit = std::max(order.until - context->now(), milliseconds{0}) + order.grace + 2 * last_words;
    self->request(unit->leases, limit, atom::drain{}, order)
      .then([this](atom::done) { stop_tree(end_reason::drained, ""); },
            [this](const caf::error& e) {
              spdlog::warn("the drain was interrupted: {}",
                           self->system().render(e)); // The unit is being restarted, or the alarm rings.
            });
  }

  void stop_tree(end_reason r, std::string detail) {
    if (at == phase::stopping)
      return;
    at = phase::stopping;
    reason = r;
    why = std::move(detail);
    self->send_exit(root, caf::exit_reason::user_shutdown);
  }

  void rang(std::uint64_t number) {
    if (number != alarm || at != phase::draining)
      return;
    spdlog::warn("stopping without the hub's last word");
    stop_tree(end_reason::stopped, "the hub could not be told everything in time");
  }

  void root_is_down(const caf::error& e) {
    if (at != phase::stopping) {
      reason = end_reason::escalated;
      why = self->system().render(e);
      spdlog::critical("the agent gives up: {}", why);
      if (context->on_event)
        context->on_event({agent_event::kind::escalated, {}, why});
    }
    if (context->on_end)
      context->on_end(reason, why);
    self->quit();
  }
};

steward_actor::behavior_type steward(steward_state::pointer self, std::shared_ptr<agent_context> context) {
  auto& s = self->state;
  s.context = std::move(context);
  auto root = spawn_supervisor(self->system(), root_spec(s.context, steward_actor{self}));
  SALLYPORT_ASSERT(root.ok()); // The plan is ours.
  s.root = std::move(*root);
  self->monitor(s.root);
  self->set_down_handler([self](caf::down_msg& m) { self->state.root_is_down(m.reason); });
  self->set_exit_handler([self](caf::exit_msg& m) {
    self->state.stop_tree(end_reason::stopped, "the steward was told to exit: " + self->system().render(m.reason));
  });
  return {
    [self](const unit_ptr& unit) { self->state.introduce(unit); },
    [self](const roster_ptr& roster) {
      auto& s = self->state;
      s.roster = roster;
      if (s.unit)
        self->send(s.unit->leases, roster);
    },
    [self](const event_ptr& e) { self->state.hear(e); },
    [self](atom::drain) { self->state.drain(self->state.context->settings.drain, grace_of_drain); },
    [self](atom::stop) { self->state.drain(milliseconds{0}, grace_of_stop); },
    [self](atom::tick, std::uint64_t number) { self->state.rang(number); },
    [self](atom::children) { return self->delegate(caf::actor_cast<supervisor_actor>(self->state.root), atom::children{}); },
    [self](atom::status) -> caf::result<status_ptr> {
      auto& s = self->state;
      if (!s.unit)
        return status_ptr{std::make_shared<runtime::agent_status>()};
      return self->delegate(s.unit->leases, atom::status{});
    },
  };
}

} // namespace

steward_actor spawn_steward(caf::actor_system& system, std::shared_ptr<agent_context> context) {
  return system.spawn(steward, std::move(context));
}

} // namespace sallyport::actors
