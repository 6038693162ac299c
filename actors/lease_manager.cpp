#include "actors/lease_manager.hpp"

#include "actors/agent_context.hpp"
#include "actors/alarm_clock.hpp"

#include <spdlog/spdlog.h>

#include <optional>
#include <set>
#include <utility>

namespace sallyport::actors {

namespace {

// How long an opening waits for hosts that live but have not reported. A host answers at once; one that does not is as good as dead.
constexpr milliseconds reports_within{2'000};
// After a drain is over: how long the last outcomes have to reach the hub.
constexpr milliseconds farewell{3'000};

adapters::cancel_reason for_adapters(runtime::lease::cancel_reason why) {
  switch (why) {
    case runtime::lease::cancel_reason::lost_lease: return adapters::cancel_reason::lost_lease;
    case runtime::lease::cancel_reason::attempt_timeout: return adapters::cancel_reason::attempt_timeout;
    case runtime::lease::cancel_reason::shutdown: return adapters::cancel_reason::shutdown;
  }
  return adapters::cancel_reason::none;
}

bool cancelled_when_lost(const agent_context::connection& c) {
  switch (c.settings.lost_lease) {
    case config::on_lost_lease::finish: return false;
    case config::on_lost_lease::cancel: return true;
    case config::on_lost_lease::by_promise: break;
  }
  return c.adapter.about.effect == wire::effect_promise::at_least_once;
}

runtime::lease_settings settings_of(const agent_context& context) {
  runtime::lease_settings s;
  for (const auto& c : context.connections) {
    runtime::lease_settings::connection l;
    l.name = c.settings.name;
    l.adapter = c.adapter.about.kind;
    l.effect = c.adapter.about.effect;
    l.fingerprint = c.adapter.about.fingerprint;
    l.cancel_when_lost = cancelled_when_lost(c);
    l.credit = c.settings.credit;
    s.connections.push_back(std::move(l));
  }
  s.life = context.unit_life;
  s.window = context.settings.window;
  s.window_bytes = context.settings.window_bytes;
  s.settle_linger = context.settings.settle_linger;
  s.retry_min = context.settings.reconnect_min;
  return s;
}

struct lease_manager_state {
  static inline const char* name = "lease-manager";
  using pointer = lease_manager_actor::stateful_pointer<lease_manager_state>;

  explicit lease_manager_state(pointer p) : self(p) {}

  pointer self;
  std::shared_ptr<agent_context> context;
  std::optional<runtime::lease_keeper> keeper;
  unit_ptr unit;
  session_id session;
  std::vector<adapter_host_actor> hosts;
  bool roster_known = false;
  std::set<runtime::connection_index> unreported; // Hosts that live and have not said what they run.
  std::optional<runtime::presence_ask> opening;   // Waits for them.
  mono_time opening_goes_on_at = mono_time::max();
  alarm_clock clock;

  std::vector<caf::typed_response_promise<atom::done>> drains;
  bool lanes_drained = false, closing = false;
  mono_time close_at = mono_time::max(); // At the latest.

  void wake() { clock.wake(self, std::min({keeper->next_wake(), opening_goes_on_at, close_at}), *context->time); }

  void perform(runtime::lease_keeper::actions actions) {
    bool room_changed = false;
    for (auto& action : actions)
      std::visit([&](auto& a) { carry_out(a, room_changed); }, action);
    if (room_changed && unit)
      self->send(unit->poll, room_ptr{std::make_shared<runtime::room_report>(keeper->room())});
    wake();
  }

  void carry_out(runtime::lease::dispatch& a, bool&) {
    SALLYPORT_ASSERT(hosts[a.jobs->connection]); // Without a host the keeper dispatches nothing.
    self->send(hosts[a.jobs->connection], a.jobs);
  }
  void carry_out(runtime::lease::cancel& a, bool&) {
    spdlog::warn("connection {}: telling {} running messages to stop: {}", context->connections[a.connection].settings.name.value,
                 a.fences.size(), to_string(for_adapters(a.why)));
    if (const auto& host = hosts[a.connection])
      self->send(host, cancel_ptr{std::make_shared<runtime::lease::cancel>(std::move(a))});
  }
  void carry_out(runtime::lease::settle& a, bool&) { self->send(unit->link, a.items); }
  void carry_out(runtime::lease::confirm& a, bool&) {
    if (const auto& host = hosts[a.connection])
      self->send(host, confirm_ptr{std::make_shared<runtime::lease::confirm>(std::move(a))});
  }
  void carry_out(runtime::lease::announce&, bool&) {
    if (unit && !closing)
      self->send(unit->link, atom::announce{});
  }
  void carry_out(runtime::lease::room_changed&, bool& room_changed) { room_changed = true; }
  void carry_out(runtime::lease::remark& a, bool&) { spdlog::warn("{}", a.text); }
  void carry_out(runtime::lease::idle&, bool&) { close_when_done(); }

  void close_when_done() {
    if (closing || !keeper->draining() || !lanes_drained || !keeper->is_idle())
      return;
    closing = true;
    self->send(unit->link, atom::close{});
  }

  void meet(const roster_ptr& roster, mono_time now) {
    roster_known = true;
    runtime::lease_keeper::actions actions;
    for (runtime::connection_index i = 0; i < hosts.size(); ++i) {
      auto host = i < roster->hosts.size() ? roster->hosts[i] : adapter_host_actor{};
      if (host == hosts[i])
        continue;
      if (hosts[i])
        perform(keeper->host_gone(i, now));
      hosts[i] = std::move(host);
      unreported.erase(i);
      if (hosts[i]) {
        unreported.insert(i);
        self->send(hosts[i], unit);
      }
    }
    open_when_ready(now);
  }

  void introduce(const host_report& r, mono_time now) {
    if (!unreported.erase(r.connection))
      return; // Greeted once more than needed.
    perform(keeper->host_joined(r.connection, r.hello, now));
    perform(keeper->host_state(r.connection, r.state, r.detail, now));
    open_when_ready(now);
  }

  void asked(const runtime::presence_ask& ask, mono_time now) {
    if (!ask.opening) {
      self->send(unit->link, std::make_shared<runtime::presence>(keeper->presence_for(ask)));
      return;
    }
    opening = ask;
    opening_goes_on_at = now + reports_within;
    open_when_ready(now);
    wake();
  }

  void open_when_ready(mono_time now) {
    if (!opening || ((!roster_known || !unreported.empty()) && now < opening_goes_on_at))
      return;
    session = {};
    self->send(unit->link, std::make_shared<runtime::presence>(keeper->presence_for(*std::exchange(opening, std::nullopt))));
    opening_goes_on_at = mono_time::max();
  }

  void tick(mono_time now) {
    clock.rang();
    open_when_ready(now);
    perform(keeper->tick(now));
    if (now < close_at || closing)
      return;
    spdlog::warn("the drain is over with {} grants unsettled; the hub takes them back", keeper->held());
    closing = true;
    close_at = mono_time::max();
    self->send(unit->link, atom::close{});
  }

  status_ptr status() const {
    auto s = std::make_shared<runtime::agent_status>();
    s->session_open = !session.is_none();
    if (s->session_open)
      s->session = to_string(session);
    s->held = keeper->held();
    s->connections = keeper->snapshot();
    return s;
  }
};

lease_manager_actor::behavior_type lease_manager(lease_manager_state::pointer self, std::shared_ptr<agent_context> context) {
  auto& s = self->state;
  s.context = std::move(context);
  s.keeper.emplace(settings_of(*s.context), s.context->seed ^ s.context->unit_life);
  s.hosts.resize(s.context->connections.size());
  // Every handler but the last few: what happened goes to the keeper, what it says is carried out.
  return {
    [self](const unit_ptr& unit) { self->state.unit = unit; },
    [self](const roster_ptr& roster) { self->state.meet(roster, self->state.context->now()); },
    [self](const host_report_ptr& r) { self->state.introduce(*r, self->state.context->now()); },
    [self](const host_change_ptr& c) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(c->leaving ? s.keeper->host_leaving(c->connection, now)
                           : s.keeper->host_state(c->connection, c->state, c->detail, now));
    },
    [self](const runtime::presence_ask& ask) { self->state.asked(ask, self->state.context->now()); },
    [self](const session_ptr& session) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.session = session->session;
      s.perform(s.keeper->started(*session, now));
    },
    [self](const runtime::deadline_moved& d) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->deadline(d.deadline, now));
    },
    [self](const lost_ptr& lost) {
      auto& s = self->state;
      const auto now = s.context->now();
      spdlog::warn("the hub has taken {} grants from this agent", lost->size());
      s.perform(s.keeper->lost(*lost, now));
    },
    [self](const grants_ptr& grants) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->granted(std::move(*grants), now));
    },
    [self](const outcomes_ptr& outcomes) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->ended(*outcomes, now));
    },
    [self](const verdicts_ptr& v) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->settled(v->what, now));
    },
    [self](atom::drained) {
      self->state.lanes_drained = true;
      self->state.close_when_done();
    },
    [self](atom::closed) {
      for (auto& d : std::exchange(self->state.drains, {}))
        d.deliver(atom::done{});
    },
    [self](atom::drain, const drain_order& order) {
      auto& s = self->state;
      const auto now = s.context->now();
      auto promise = self->make_response_promise<caf::typed_response_promise<atom::done>>();
      s.drains.push_back(promise);
      s.close_at = std::min(s.close_at, order.until + order.grace + farewell);
      const bool first = !s.keeper->draining();
      s.perform(s.keeper->drain(order.until, order.grace, now));
      if (first)
        self->send(s.unit->link, atom::drain{});
      return promise;
    },
    [self](atom::status) { return self->state.status(); },
    [self](atom::tick) { self->state.tick(self->state.context->now()); },
  };
}

} // namespace

lease_manager_actor spawn_lease_manager(caf::actor_system& system, std::shared_ptr<agent_context> context) {
  return system.spawn(lease_manager, std::move(context));
}

} // namespace sallyport::actors
