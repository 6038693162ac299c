#include "cli/commands.hpp"
#include "cli/config_file.hpp"
#include "cli/report.hpp"
#include "cli/service.hpp"
#include "runtime/agent.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <cstdio>
#include <thread>
#include <utility>

namespace sallyport::cli {

namespace {

struct agent_variables {
  std::string config_file, log_level = "info";
};

// On an actor's thread. The actors keep the log themselves; `systemctl status` shows what holds the agent up without a look at it.
void tell_systemd(const runtime::agent_event& e) {
  using kind = runtime::agent_event::kind;
  if (e.what == kind::connected || e.what == kind::disconnected || e.what == kind::refused || e.what == kind::waiting)
    service::notify("STATUS=" + std::string(to_string(e.what)) + (e.detail.empty() ? "" : ": " + log_value(e.detail)));
}

exit_code code_of(const agent_end& end) {
  switch (end.reason) {
    case runtime::end_reason::drained:
    case runtime::end_reason::stopped: return exit_code::ok;
    case runtime::end_reason::session_replaced: return exit_code::session_replaced;
    case runtime::end_reason::escalated: return exit_code::failure;
  }
  return exit_code::failure;
}

// Until the agent has ended, by itself or as told: the first signal drains, the second gives everything back at once.
agent_end attend(service& system, agent& running) {
  // The watchdog hears of us only while the actors answer: a process that lives and does nothing is to be restarted.
  const auto alive = [&running] { return running.status().ok(); };
  bool draining = false;
  while (true) {
    const auto why = system.wait_watched(std::nullopt, alive);
    if (auto ended = running.wait_for(milliseconds(0)))
      return *ended;
    if (why != wake_reason::stop)
      continue;
    service::notify("STOPPING=1");
    if (std::exchange(draining, true))
      running.stop();
    else
      running.drain();
  }
}

exit_code run_agent(const agent_variables& v, const adapter_kinds& kinds) {
  std::string warnings;
  auto loaded = load_agent_file(v.config_file, kinds, warnings);
  if (!loaded)
    return report("agent", loaded.err());
  std::fputs(warnings.c_str(), stderr);
  // Before the first thread, which would not inherit the blocked signals otherwise.
  service system(v.log_level);
  std::vector<agent_connection> connections;
  for (auto& c : loaded->connections)
    connections.push_back({std::move(c.settings), std::move(c.factory)});

  caf::actor_system_config config;
  prepare(config, actor_threads::one);
  caf::actor_system actors(config);
  agent_end end;
  {
    agent_options options;
    options.on_event = tell_systemd;
    auto running = agent::start(actors, std::move(loaded->agent), std::move(connections), std::move(options));
    if (!running)
      return report("agent", running.err());
    std::thread watcher([copy = *running] {
      (void)copy.wait();
      service::wake();
    });
    service::notify("READY=1"); // The hub may be away: then it is tried for ever, and that is no reason to fail a start.
    end = attend(system, *running);
    watcher.join();
  }
  log_info("event=agent_ended reason=" + log_value(to_string(end.reason))
           + (end.detail.empty() ? "" : " detail=" + log_value(end.detail)));
  return code_of(end);
}

} // namespace

void add_agent_command(command& program, const adapter_kinds& kinds) {
  auto v = std::make_shared<agent_variables>();
  program.sub("agent", "Run an agent: takes messages from the hub and does them on local systems.")
    .required_option("--config FILE", v->config_file, "The agent's file (`sallyport config example agent`).")
    .choice("--log-level LEVEL", v->log_level, log_levels(), "How much to log on stderr (default: info).")
    .examples(
      "  sallyport agent --config /etc/sallyport/agent.toml\n"
      "SIGTERM drains: it takes no more, works off what it holds (agent.drain_ms), gives back the rest. A second one gives "
      "everything\n"
      "back at once. Exit code 70 says that a newer process of this agent has taken over: do not start it again.")
    .runs([v, &kinds] { return run_agent(*v, kinds); });
}

} // namespace sallyport::cli
