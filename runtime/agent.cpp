#include "runtime/agent.hpp"

#include "actors/agent_context.hpp"
#include "actors/interfaces.hpp"
#include "actors/steward.hpp"
#include "runtime/io/https_transport.hpp"
#include "runtime/io/system_time.hpp"
#include "runtime/loop_scheduler.hpp"
#include "runtime/state_dir.hpp"
#include "runtime/typed.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

namespace sallyport {

void prepare(caf::actor_system_config& config, actor_threads threads) {
  config.add_message_types<caf::id_block::sallyport>();
  if (threads == actor_threads::one)
    return runtime::use_loop_scheduler(config);
  if (!caf::get_if<caf::atom_value>(&config, "scheduler.policy"))
    config.set("scheduler.policy", caf::atom("sharing"));
  if (!caf::get_if<std::size_t>(&config, "scheduler.max-threads"))
    config.set("scheduler.max-threads", std::size_t{std::clamp(std::thread::hardware_concurrency(), 2u, 4u)});
}

namespace {

/// How an agent ended, for whoever waits. Outlives it.
struct ending {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<agent_end> end;

  void set(agent_end e) {
    {
      std::lock_guard lock{mutex};
      if (end)
        return;
      end = std::move(e);
    }
    changed.notify_all();
  }
};

void check(const config::agent_settings& s, const std::vector<agent_connection>& connections, const caf::actor_system& system,
           std::string& faults) {
  auto fault = [&faults](const std::string& what) { faults += (faults.empty() ? "" : "; ") + what; };
  if (!system.types().make_value("sallyport::actors::jobs_ptr"))
    fault("sallyport::prepare(config) was not called before the actor system was made");
  if (!is_valid_name(s.group.value))
    fault("the group \"" + s.group.value + "\" is not a valid name");
  if (!is_valid_name(s.name.value))
    fault("the agent's name \"" + s.name.value + "\" is not a valid name");
  if (s.state_dir.empty())
    fault("no state directory is given");
  if (s.hubs.empty())
    fault("no hub address is given");
  if (s.lanes < 1 || s.lanes > runtime::claim_lanes::lanes_max)
    fault("lanes must be 1 to 8");
  if (s.window < 1 || s.window_bytes < 1 || s.claim_max_messages < 1 || s.claim_max_bytes < 1)
    fault("window, window_bytes, claim_max_messages and claim_max_bytes must be at least 1");
  if (s.claim_wait < milliseconds{0} || s.claim_wait > milliseconds{50'000})
    fault("claim_wait must be at most 50 s");
  if (s.restart_period <= milliseconds{0} || s.probe_interval <= milliseconds{0} || s.request_timeout <= milliseconds{0})
    fault("restart_period, probe_interval and request_timeout must be positive");
  if (connections.empty())
    fault("no connection is given");
  std::set<std::string> names;
  for (const auto& c : connections) {
    const auto& name = c.settings.name.value;
    if (!is_valid_name(name))
      fault("the connection \"" + name + "\" has no valid name");
    if (!names.insert(name).second)
      fault("two connections are called " + name);
    if (!c.adapter.make)
      fault("connection " + name + " has no adapter");
    if (c.settings.credit < 1 || c.settings.restart_period <= milliseconds{0})
      fault("connection " + name + ": credit and restart_period must be positive");
  }
}

std::uint64_t random_seed() {
  std::random_device source;
  return std::uint64_t{source()} << 32 | source();
}

} // namespace

struct agent::body {
  ~body() { caf::anon_send(steward, actors::atom::stop{}); }

  actors::steward_actor steward;
  std::shared_ptr<ending> end = std::make_shared<ending>();
  agent_id id;
  std::uint64_t incarnation = 0;
};

result<agent> agent::start(caf::actor_system& system, config::agent_settings settings, std::vector<agent_connection> connections,
                           agent_options options) {
  std::string faults;
  check(settings, connections, system, faults);
  if (!faults.empty())
    return {errc::invalid_config, faults};
  if (!options.connect) {
    auto https = io::make_https_transport_factory(settings, runtime::loop_thread(system));
    if (!https.ok())
      return https.err();
    options.connect = std::move(*https);
  }
  auto opened = runtime::state_dir::open(settings.state_dir);
  if (!opened.ok())
    return opened.err();
  auto lock = std::make_shared<runtime::state_dir>(std::move(*opened));

  auto made = std::shared_ptr<body>(new body);
  made->id = lock->id();
  made->incarnation = lock->incarnation();
  auto context = std::make_shared<actors::agent_context>();
  context->settings = std::move(settings);
  for (auto& c : connections)
    context->connections.push_back({std::move(c.settings), std::move(c.adapter)});
  context->version = options.version.empty() ? SALLYPORT_VERSION : std::move(options.version);
  context->id = made->id;
  context->process = made->incarnation;
  context->connect = std::move(options.connect);
  context->time = options.time ? std::move(options.time) : std::make_shared<io::system_time_source>();
  context->seed = random_seed();
  context->own_threads = options.own_threads;
  context->on_event = std::move(options.on_event);
  // The state directory stays locked until the last actor that could speak for us has ended.
  context->on_end = [end = made->end, lock](runtime::end_reason reason, const std::string& why) { end->set({reason, why}); };
  spdlog::info("agent {} of group {}: start {} of installation {}", context->settings.name.value, context->settings.group.value,
               made->incarnation, made->id.value);
  made->steward = actors::spawn_steward(system, context);
  // Whatever becomes of the steward, whoever waits is told.
  made->steward->attach_functor([end = made->end](const caf::error&) {
    end->set({runtime::end_reason::escalated, "the steward ended unexpectedly"});
  });
  return agent{std::move(made)};
}

void agent::drain() {
  caf::anon_send(body_->steward, actors::atom::drain{});
}
void agent::stop() {
  caf::anon_send(body_->steward, actors::atom::stop{});
}

agent_end agent::wait() const {
  auto& e = *body_->end;
  std::unique_lock lock{e.mutex};
  e.changed.wait(lock, [&e] { return e.end.has_value(); });
  return *e.end;
}

std::optional<agent_end> agent::wait_for(milliseconds at_most) const {
  auto& e = *body_->end;
  std::unique_lock lock{e.mutex};
  e.changed.wait_for(lock, at_most, [&e] { return e.end.has_value(); });
  return e.end;
}

result<runtime::agent_status> agent::status(milliseconds at_most) const {
  if (wait_for(milliseconds{0}))
    return {errc::stopped, "the agent has ended"};
  caf::scoped_actor self{body_->steward.home_system()};
  result<runtime::agent_status> answer{errc::timed_out, "the agent did not say what it is at"};
  self->request(body_->steward, at_most, actors::atom::status{})
    .receive([&answer](const actors::status_ptr& s) { answer = *s; },
             [&answer, &self](const caf::error& e) {
               if (e != caf::sec::request_timeout)
                 answer = make_error(errc::stopped, self->system().render(e));
             });
  return answer;
}

const agent_id& agent::id() const {
  return body_->id;
}
std::uint64_t agent::incarnation() const {
  return body_->incarnation;
}

actors::steward_actor handle_of(const agent& a) {
  return a.inside().steward;
}

namespace {

/// An actor seen as an adapter. On the worker's thread.
class actor_adapter final : public adapters::adapter {
public:
  actor_adapter(caf::actor_system& system, actors::adapter_actor target) : self_(system), target_(std::move(target)) {
    if (!target_)
      throw std::runtime_error{"no actor was spawned"};
  }

  adapters::probe_result probe() override {
    adapters::probe_result found;
    self_->request(target_, milliseconds{10'000}, actors::atom::probe{})
      .receive([&found](const actors::adapter_probe_ptr& p) { found = *p; }, [this](const caf::error& e) { refuse(e); });
    return found;
  }

  std::vector<adapters::outcome> perform(const std::vector<adapters::job>& jobs) override {
    // A little longer than the attempt: an actor that heeds its signal knows best what became of it.
    auto at_most = milliseconds{5'000};
    for (const auto& j : jobs)
      at_most = std::max(at_most, std::min(j.time_left, milliseconds{24 * 3'600'000}) + milliseconds{5'000});
    std::vector<adapters::outcome> outcomes;
    self_->request(target_, at_most, actors::adapter_jobs_ptr{std::make_shared<actors::adapter_jobs>(actors::adapter_jobs{jobs})})
      .receive([&outcomes](const actors::adapter_outcomes_ptr& o) { outcomes = o->outcomes; },
               [this](const caf::error& e) { refuse(e); });
    return outcomes;
  }

private:
  [[noreturn]] void refuse(const caf::error& e) { throw std::runtime_error{"the actor answered " + self_->system().render(e)}; }

  caf::scoped_actor self_;
  actors::adapter_actor target_;
};

} // namespace

adapters::factory make_typed_adapter(caf::actor_system& system, adapters::traits about,
                                     std::function<actors::adapter_actor(caf::actor_system&)> spawn) {
  adapters::factory f;
  f.about = std::move(about);
  f.about.blocks = true; // It waits for the actor.
  f.make = [&system, spawn = std::move(spawn)] { return std::make_unique<actor_adapter>(system, spawn(system)); };
  return f;
}

} // namespace sallyport
