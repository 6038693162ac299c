#include "actors/adapter_host.hpp"

#include "actors/adapter_worker.hpp"
#include "actors/agent_context.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace sallyport::actors {

namespace {

struct adapter_host_state {
  static inline const char* name = "adapter-host";
  using pointer = adapter_host_actor::stateful_pointer<adapter_host_state>;

  struct worker {
    worker_actor handle;
    work_ptr order; // While it works.
    mono_time started_at{};
    bool probing = false;
  };

  explicit adapter_host_state(pointer p) : self(p) {}

  pointer self;
  std::shared_ptr<agent_context> context;
  runtime::connection_index connection = 0;
  steward_actor steward;
  unit_ptr unit;
  std::vector<worker> workers;
  std::map<runtime::batch_id, outcomes_ptr> unconfirmed;
  wire::reach state = wire::reach::unknown;
  std::string detail;
  std::optional<std::string> failure; // Leaving.

  [[nodiscard]] const agent_context::connection& about() const { return context->connections[connection]; }
  [[nodiscard]] const std::string& connection_name() const { return about().settings.name.value; }
  [[nodiscard]] std::size_t busy() const {
    return static_cast<std::size_t>(std::count_if(workers.begin(), workers.end(), [](auto& w) { return w.order != nullptr; }));
  }

  void set_up() {
    const auto n = std::max<std::size_t>(about().adapter.about.workers, 1);
    for (std::size_t i = 0; i < n; ++i) {
      workers.emplace_back().handle = spawn_worker(self->system(), context, connection, i, self);
      self->link_to(workers.back().handle); // None of them outlives us, but for the batch it is at.
    }
    // A worker ends after it has said why; then it is the report that counts.
    self->set_exit_handler([this](caf::exit_msg& m) {
      if (m.reason != caf::exit_reason::normal)
        self->quit(m.reason);
    });
    look();
  }

  void greet(unit_ptr who) {
    unit = std::move(who);
    auto r = std::make_shared<host_report>();
    r->connection = connection;
    r->hello.workers = workers.size();
    r->hello.batch_max = about().adapter.about.batch_max;
    for (const auto& w : workers)
      if (w.order)
        r->hello.running.push_back({w.order->jobs, w.started_at});
    for (const auto& [id, outcomes] : unconfirmed)
      r->hello.unconfirmed.push_back(outcomes);
    r->state = state;
    r->detail = detail;
    self->send(unit->leases, host_report_ptr{std::move(r)});
    if (failure)
      say_leaving();
  }

  void work(const jobs_ptr& jobs) {
    auto free = std::find_if(workers.begin(), workers.end(), [](auto& w) { return !w.order && !w.probing; });
    if (free == workers.end()) // One that probes will be free soon.
      free = std::find_if(workers.begin(), workers.end(), [](auto& w) { return !w.order; });
    if (failure || free == workers.end())
      return give_back(*jobs); // It was on its way when we began to leave.
    auto order = std::make_shared<work_order>();
    order->jobs = jobs;
    order->signals = std::make_unique<adapters::cancel_signal[]>(jobs->grants.size());
    free->order = std::move(order);
    free->started_at = context->now();
    self->send(free->handle, free->order);
  }

  void give_back(const runtime::job_batch& jobs) {
    auto back = std::make_shared<runtime::outcome_batch>();
    back->id = jobs.id;
    back->connection = connection;
    for (const auto& g : jobs.grants)
      back->items.push_back(runtime::give_back(g.message, g.fence));
    tell(std::move(back));
  }

  void tell(outcomes_ptr outcomes) {
    unconfirmed.emplace(outcomes->id, outcomes);
    if (unit)
      self->send(unit->leases, std::move(outcomes));
  }

  void heard(const worker_report& r) {
    auto& w = workers[r.worker];
    if (r.threw) {
      spdlog::error("connection {}: the adapter threw: {}", connection_name(), r.error);
      if (!failure) {
        failure = r.error;
        say_leaving(); // Before the outcomes, which would be taken for a worker that is free.
      }
    }
    if (r.was_probe) {
      w.probing = false;
      if (r.threw && w.order) // Handed over while it probed; it has ended without a look at it.
        give_back(*std::exchange(w.order, nullptr)->jobs);
    }
    if (r.outcomes) {
      w.order = nullptr;
      tell(r.outcomes);
    }
    if (r.was_probe && !r.threw)
      reached(r.probe.state, r.probe.detail);
    if (r.target_failed)
      look(); // Before the next interval: the hub will want to know who reaches the target.
    // What the other workers are at is worth waiting for: their effects are being made.
    if (failure && busy() == 0)
      self->quit(
        caf::make_error(caf::sec::runtime_error, "the adapter of connection " + connection_name() + " threw: " + *failure));
  }

  void say_leaving() {
    change(wire::reach::unknown, "the adapter is restarting");
    if (unit)
      self->send(unit->leases, host_change_ptr{std::make_shared<host_change>(host_change{connection, state, detail, true})});
  }

  void reached(wire::reach now, std::string why) {
    if (failure || !change(now, std::move(why)) || !unit)
      return;
    self->send(unit->leases, host_change_ptr{std::make_shared<host_change>(host_change{connection, state, detail, false})});
  }

  bool change(wire::reach now, std::string why) {
    if (state == now && detail == why)
      return false;
    using kind = runtime::agent_event::kind;
    if (state != now && (now == wire::reach::up || state == wire::reach::up || now == wire::reach::down)) {
      const auto what = now == wire::reach::up ? kind::connection_up : kind::connection_down;
      spdlog::info("{} {}{}{}", to_string(what), connection_name(), why.empty() ? "" : ": ", why);
      self->send(steward,
                 event_ptr{std::make_shared<runtime::agent_event>(runtime::agent_event{what, about().settings.name, why})});
    }
    state = now;
    detail = std::move(why);
    return true;
  }

  // Asks an idle worker; while all are at work, their outcomes tell how the target is.
  void look() {
    const bool asked = std::any_of(workers.begin(), workers.end(), [](auto& w) { return w.probing; });
    auto idle = std::find_if(workers.begin(), workers.end(), [](auto& w) { return !w.order && !w.probing; });
    if (failure || asked || idle == workers.end())
      return;
    idle->probing = true;
    self->send(idle->handle, atom::probe{});
  }

  void cancel(const runtime::lease::cancel& c) {
    adapters::cancel_reason why = adapters::cancel_reason::none;
    switch (c.why) {
      case runtime::lease::cancel_reason::lost_lease: why = adapters::cancel_reason::lost_lease; break;
      case runtime::lease::cancel_reason::attempt_timeout: why = adapters::cancel_reason::attempt_timeout; break;
      case runtime::lease::cancel_reason::shutdown: why = adapters::cancel_reason::shutdown; break;
    }
    for (const auto& w : workers) {
      if (!w.order || w.order->jobs->id != c.batch)
        continue;
      const auto& grants = w.order->jobs->grants;
      for (std::size_t i = 0; i < grants.size(); ++i)
        if (std::find(c.fences.begin(), c.fences.end(), grants[i].fence) != c.fences.end())
          w.order->signals[i].raise(why);
    }
  }
};

adapter_host_actor::behavior_type adapter_host(adapter_host_state::pointer self, std::shared_ptr<agent_context> context,
                                               runtime::connection_index connection, steward_actor steward) {
  auto& s = self->state;
  s.context = std::move(context);
  s.connection = connection;
  s.steward = std::move(steward);
  s.set_up();
  self->delayed_send(adapter_host_actor{self}, s.context->settings.probe_interval, atom::probe{});
  return {
    [self](const unit_ptr& unit) { self->state.greet(unit); },
    [self](const jobs_ptr& jobs) { self->state.work(jobs); },
    [self](const cancel_ptr& c) { self->state.cancel(*c); },
    [self](const confirm_ptr& c) {
      for (auto id : c->batches)
        self->state.unconfirmed.erase(id);
    },
    [self](const worker_report_ptr& r) { self->state.heard(*r); },
    [self](atom::probe) {
      self->state.look();
      self->delayed_send(adapter_host_actor{self}, self->state.context->settings.probe_interval, atom::probe{});
    },
  };
}

} // namespace

adapter_host_actor spawn_adapter_host(caf::actor_system& system, std::shared_ptr<agent_context> context,
                                      runtime::connection_index connection, steward_actor steward) {
  return system.spawn(adapter_host, std::move(context), connection, std::move(steward));
}

} // namespace sallyport::actors
