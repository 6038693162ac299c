#include "actors/supervisor.hpp"

#include "actors/interfaces.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <map>
#include <optional>

namespace sallyport::actors {

namespace {

struct supervisor_state {
  static inline const char* name = "supervisor";
  using pointer = supervisor_actor::stateful_pointer<supervisor_state>;

  enum class life : std::uint8_t { down, up, stopping };
  struct child {
    caf::actor handle;
    life at = life::down;
  };

  struct restart {
    mono_time due;
    std::vector<std::size_t> which;
  };

  explicit supervisor_state(pointer p) : self(p) {}

  pointer self;
  supervisor_spec spec;
  std::optional<runtime::restart_policy> policy;
  std::vector<child> children;
  std::deque<std::size_t> to_stop; // One at a time, from the front.
  std::uint64_t stopping = 0;      // The order to stop that is being waited for.
  std::vector<std::size_t> start_after_stops;
  milliseconds wait_after_stops{};
  std::map<std::uint64_t, restart> waits; // Restarts whose wait is not over.
  std::uint64_t last_number = 0;
  std::optional<caf::error> ending; // Nothing is started any more.

  void tell() const {
    if (!spec.on_change)
      return;
    child_list list;
    for (std::size_t i = 0; i < children.size(); ++i)
      list.children.push_back({spec.children[i].name, children[i].at == life::up ? children[i].handle : caf::actor{}});
    spec.on_change(list);
  }

  [[nodiscard]] std::optional<std::string> start(std::size_t i) {
    try {
      children[i].handle = spec.children[i].start(self->system());
    } catch (const std::exception& e) {
      return e.what();
    } catch (...) {
      return "its start threw something that is no exception";
    }
    if (!children[i].handle)
      return "it could not be started";
    children[i].at = life::up;
    self->monitor(children[i].handle);
    return std::nullopt;
  }

  void start_all(const std::vector<std::size_t>& which) {
    for (auto i : which)
      if (children[i].at == life::down)
        if (auto why = start(i))
          return failed(i, *why);
    tell();
  }

  void failed(std::size_t i, const std::string& why) {
    const auto decision = policy->failed(i, spec.now());
    if (spec.on_failure)
      spec.on_failure(spec.children[i].name, why, decision);
    if (decision.give_up) {
      spdlog::error("{}: {} failed {} times within {} ms, giving up: {}", spec.name, spec.children[i].name, decision.restarts,
                    policy->plan().limits.period.count(), why);
      return end(caf::make_error(caf::sec::runtime_error, spec.children[i].name + " failed too often: " + why));
    }
    spdlog::warn("{}: {} failed ({}); starting it again in {} ms", spec.name, spec.children[i].name, why, decision.wait.count());
    tell();
    if (decision.stop.empty())
      return start_later(decision.start, decision.wait);
    waits.clear();
    to_stop.assign(decision.stop.begin(), decision.stop.end());
    start_after_stops = decision.start;
    wait_after_stops = decision.wait;
    stop_next();
  }

  void start_later(std::vector<std::size_t> which, milliseconds wait) {
    waits.emplace(++last_number, restart{spec.now() + wait, std::move(which)});
    self->delayed_send(supervisor_actor{self}, std::min(wait, spec.longest_nap), atom::start{}, last_number);
  }

  void end(caf::error why) {
    if (ending)
      return;
    ending = std::move(why);
    waits.clear();
    to_stop.clear();
    for (auto i = children.size(); i-- > 0;)
      to_stop.push_back(i);
    stop_next();
  }

  // One after the other: a child may need those that were started before it until its end.
  void stop_next() {
    while (!to_stop.empty() && children[to_stop.front()].at == life::down)
      to_stop.pop_front();
    if (!to_stop.empty()) {
      auto& c = children[to_stop.front()];
      if (c.at == life::stopping)
        return;
      c.at = life::stopping;
      stopping = ++last_number;
      self->send_exit(c.handle, caf::exit_reason::user_shutdown);
      self->delayed_send(supervisor_actor{self}, spec.stop_timeout, atom::stop{}, stopping);
      return;
    }
    if (ending) {
      tell();
      self->quit(*ending);
    } else if (!start_after_stops.empty()) {
      tell();
      start_later(std::exchange(start_after_stops, {}), wait_after_stops);
    }
  }

  void stop_took_too_long(std::uint64_t number) {
    if (number != stopping || to_stop.empty() || children[to_stop.front()].at != life::stopping)
      return;
    const auto i = to_stop.front();
    spdlog::warn("{}: {} did not stop within {} ms, killing it", spec.name, spec.children[i].name, spec.stop_timeout.count());
    self->send_exit(children[i].handle, caf::exit_reason::kill);
  }

  void is_down(const caf::down_msg& m) {
    auto c = std::find_if(children.begin(), children.end(), [&](const child& x) { return x.handle && x.handle == m.source; });
    if (c == children.end())
      return;
    const auto i = static_cast<std::size_t>(c - children.begin());
    const bool unasked = c->at == life::up && std::find(to_stop.begin(), to_stop.end(), i) == to_stop.end();
    c->handle = nullptr;
    c->at = life::down;
    if (unasked)
      failed(i, self->system().render(m.reason));
    else
      stop_next();
  }
};

supervisor_actor::behavior_type supervisor(supervisor_state::pointer self, const std::shared_ptr<supervisor_spec>& spec,
                                           const runtime::supervision& plan) {
  auto& s = self->state;
  s.spec = std::move(*spec);
  s.policy.emplace(plan);
  s.children.resize(s.spec.children.size());
  self->set_down_handler([self](caf::down_msg& m) { self->state.is_down(m); });
  self->set_exit_handler([self](caf::exit_msg& m) { self->state.end(m.reason); });
  std::vector<std::size_t> everyone;
  for (std::size_t i = 0; i < s.children.size(); ++i)
    everyone.push_back(i);
  s.waits.emplace(++s.last_number, supervisor_state::restart{s.spec.now(), std::move(everyone)});
  self->send(supervisor_actor{self}, atom::start{}, s.last_number);
  return {
    [self](atom::start, std::uint64_t number) {
      auto& s = self->state;
      const auto found = s.waits.find(number);
      if (found == s.waits.end())
        return;
      const auto left = found->second.due - s.spec.now();
      if (left > s.spec.longest_nap) // Woken only to look whether somebody has stepped the time.
        return self->delayed_send(supervisor_actor{self}, s.spec.longest_nap, atom::start{}, number);
      const auto which = std::move(found->second.which);
      s.waits.erase(found);
      s.start_all(which);
    },
    [self](atom::stop, std::uint64_t number) { self->state.stop_took_too_long(number); },
    [self](atom::children) {
      auto list = std::make_shared<child_list>();
      const auto& s = self->state;
      for (std::size_t i = 0; i < s.children.size(); ++i)
        list->children.push_back({s.spec.children[i].name, s.children[i].handle});
      return children_ptr{list};
    },
  };
}

} // namespace

result<caf::actor> spawn_supervisor(caf::actor_system& system, supervisor_spec spec) {
  runtime::supervision plan{spec.strategy, spec.limits, {}};
  for (const auto& c : spec.children) {
    if (!c.start)
      return {errc::invalid_config, "the supervised child " + c.name + " cannot be started"};
    plan.children.push_back({c.name, c.limits});
  }
  if (auto ok = runtime::validate(plan); !ok)
    return ok.err();
  if (!spec.now)
    return {errc::invalid_config, "the supervisor " + spec.name + " has no clock"};
  return caf::actor_cast<caf::actor>(system.spawn(supervisor, std::make_shared<supervisor_spec>(std::move(spec)), plan));
}

} // namespace sallyport::actors
