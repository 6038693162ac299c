#include "actors/adapter_worker.hpp"

#include "actors/agent_context.hpp"

#include <spdlog/spdlog.h>

#include <exception>
#include <stdexcept>
#include <utility>

namespace sallyport::actors {

namespace {

// The one JSON reader the agent has reads events: a text is one JSON value exactly if it is the whole data of an event around it.
bool is_one_json_value(const std::string& text) {
  std::string event = R"({"specversion":"1.0","id":"1","source":"1","type":"1","data":)";
  event += text;
  event += '}';
  event_limits limits;
  limits.event_bytes = event.size();
  if (!parse_event(event, limits).ok())
    return false;
  const auto data = raw_data(event);
  const auto first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return data && first != std::string::npos && data->size() == last - first + 1;
}

struct worker_state {
  static inline const char* name = "adapter-worker";
  using pointer = worker_actor::stateful_pointer<worker_state>;

  explicit worker_state(pointer p) : self(p) {}

  pointer self;
  std::shared_ptr<agent_context> context;
  runtime::connection_index connection = 0;
  std::size_t number = 0;
  adapter_host_actor host;
  std::unique_ptr<adapters::adapter> adapter;

  [[nodiscard]] const agent_context::connection& about() const { return context->connections[connection]; }

  adapters::adapter& ready_adapter() {
    if (!adapter)
      adapter = about().adapter.make();
    if (!adapter)
      throw std::runtime_error{"the factory made no adapter"};
    return *adapter;
  }

  void report(worker_report r) {
    r.worker = number;
    const bool last = r.threw;
    self->send(host, worker_report_ptr{std::make_shared<worker_report>(std::move(r))});
    if (last)
      self->quit();
  }

  /// Runs what the embedder wrote; whatever it throws becomes words.
  template <class F>
  bool guarded(worker_report& r, F f) {
    try {
      f();
      return true;
    } catch (const std::exception& e) {
      r.error = e.what();
    } catch (...) {
      r.error = "something that is no std::exception";
    }
    r.threw = true;
    return false;
  }

  void probe() {
    worker_report r;
    r.was_probe = true;
    guarded(r, [&] { r.probe = ready_adapter().probe(); });
    report(std::move(r));
  }

  void work(const work_ptr& order) {
    const auto& jobs = *order->jobs;
    worker_report r;
    auto ended = std::make_shared<runtime::outcome_batch>();
    ended->id = jobs.id;
    ended->connection = connection;
    ended->items.reserve(jobs.grants.size());
    const auto now = context->now();
    if (now >= jobs.start_before) {
      // We were stopped or starved on the way here: the lease may be another's by now.
      for (const auto& g : jobs.grants)
        ended->items.push_back(runtime::give_back(g.message, g.fence));
    } else if (!guarded(r, [&] { perform(order, now, *ended, r); })) {
      ended->items.clear();
      ended->crashed = true;
      for (const auto& g : jobs.grants)
        ended->items.push_back(runtime::settle_crashed({g.message, g.fence}, about().adapter.about.effect, jobs.grants.size(),
                                                       "the adapter threw: " + r.error));
    }
    r.outcomes = std::move(ended);
    report(std::move(r));
  }

  void perform(const work_ptr& order, mono_time now, runtime::outcome_batch& ended, worker_report& r) {
    const auto& grants = order->jobs->grants;
    const auto timeout = order->jobs->attempt_timeout;
    std::vector<adapters::job> jobs;
    std::vector<std::optional<std::string>> unreadable(grants.size());
    jobs.reserve(grants.size());
    for (std::size_t i = 0; i < grants.size(); ++i) {
      const auto& g = grants[i];
      event_limits limits;
      limits.event_bytes = g.event ? g.event->size() : 0;
      auto event = parse_event(g.event ? std::string_view{*g.event} : std::string_view{}, limits);
      if (!event.ok()) {
        unreadable[i] = to_string(event.err());
        continue;
      }
      adapters::job j;
      j.message = g.message;
      j.fence = g.fence;
      j.group = context->settings.group;
      j.connection = g.connection;
      j.attempt = g.attempt;
      j.deadline = timeout > milliseconds{0} ? now + timeout : mono_time::max();
      j.time_left = timeout > milliseconds{0} ? timeout : milliseconds::max();
      j.call = g.call;
      j.attributes = std::move(event->attributes);
      j.event = g.event;
      j.cancel = {order, &order->signals[i]};
      jobs.push_back(std::move(j));
    }
    auto outcomes = jobs.empty() ? std::vector<adapters::outcome>{} : ready_adapter().perform(jobs);
    if (outcomes.size() != jobs.size())
      throw std::logic_error{"it returned " + std::to_string(outcomes.size()) + " outcomes for " + std::to_string(jobs.size())
                             + " jobs"};
    auto next = outcomes.begin();
    for (std::size_t i = 0; i < grants.size(); ++i) {
      if (unreadable[i]) {
        ended.items.push_back(to_settlement(grants[i], adapters::failed({.error = "the event cannot be read: " + *unreadable[i],
                                                                         .retryable = false,
                                                                         .effect = wire::effect_state::none})));
        continue;
      }
      r.target_failed |= next->what == adapters::outcome::kind::failed && next->scope == wire::failure_scope::target;
      ended.items.push_back(to_settlement(grants[i], std::move(*next++)));
    }
  }
};

worker_actor::behavior_type worker(worker_state::pointer self, std::shared_ptr<agent_context> context,
                                   runtime::connection_index connection, std::size_t number, adapter_host_actor host) {
  auto& s = self->state;
  s.context = std::move(context);
  s.connection = connection;
  s.number = number;
  s.host = std::move(host);
  return {
    [self](const work_ptr& order) { self->state.work(order); },
    [self](atom::probe) { self->state.probe(); },
  };
}

} // namespace

wire::settlement to_settlement(const wire::grant& grant, adapters::outcome o) {
  wire::settlement s;
  s.message = grant.message;
  s.fence = grant.fence;
  s.started = true;
  if (o.what == adapters::outcome::kind::failed) {
    s.outcome = wire::outcome_kind::failed;
    s.error = std::move(o.error);
    s.scope = o.scope;
    s.retryable = o.retryable;
    s.effect = o.effect;
    s.delay = o.retry_after;
    return s;
  }
  s.outcome = wire::outcome_kind::done;
  if (o.result.size() > adapters::result_bytes_max)
    spdlog::warn("message {}: the result of {} bytes is larger than {} and is not reported", to_string(grant.message),
                 o.result.size(), adapters::result_bytes_max);
  else if (!o.result.empty() && !is_one_json_value(o.result))
    spdlog::warn("message {}: the adapter's result is not JSON and is not reported", to_string(grant.message));
  else
    s.result = std::move(o.result);
  return s;
}

worker_actor spawn_worker(caf::actor_system& system, std::shared_ptr<agent_context> context, runtime::connection_index connection,
                          std::size_t number, adapter_host_actor host) {
  if (context->own_threads && context->connections[connection].adapter.about.blocks)
    return system.spawn<caf::detached>(worker, std::move(context), connection, number, std::move(host));
  return system.spawn(worker, std::move(context), connection, number, std::move(host));
}

} // namespace sallyport::actors
