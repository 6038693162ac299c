// An agent inside a program that has an actor system of its own.
//
//   embed HUB_URL STATE_DIR        serves the connection "greetings" of the group "demo" until SIGTERM
#include "greeter.hpp"

#include <sallyport/runtime/agent.hpp>

#include <caf/all.hpp>

#include <csignal>
#include <iostream>

namespace {

/// An actor that was here before Sallyport was.
caf::behavior printer(caf::event_based_actor*) {
  return {[](const std::string& name) { std::cout << "greeting " << name << std::endl; }};
}

int run(caf::actor_system& system, const std::string& hub_url, const std::string& state_dir, const sigset_t& stop_signals) {
  const auto output = system.spawn(printer);

  sallyport::config::agent_settings settings;
  settings.group = {"demo"};
  settings.name = {"embedder"};
  settings.hubs = {hub_url};
  settings.state_dir = state_dir; // Who we are, over restarts.
  settings.token = "dev";

  sallyport::agent_connection greetings;
  greetings.settings.name = {"greetings"};
  greetings.adapter = embed::make_greeter_factory([output](const std::string& name) { caf::anon_send(output, name); });

  sallyport::agent_options options;
  options.on_event = [](const sallyport::runtime::agent_event& event) {
    std::clog << to_string(event.what) << ' ' << event.connection.value << ' ' << event.detail << std::endl;
  };

  auto agent = sallyport::agent::start(system, settings, {greetings}, options);
  if (!agent) {
    std::cerr << "embed: " << to_string(agent.err()) << '\n';
    return 1;
  }

  int received = 0;
  ::sigwait(&stop_signals, &received);
  agent->drain(); // Finishes what it holds, takes nothing new, closes its session.
  const auto end = agent->wait();
  std::clog << "the agent has ended: " << to_string(end.reason) << ' ' << end.detail << std::endl;
  return end.reason == sallyport::runtime::end_reason::drained ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: embed HUB_URL STATE_DIR\n";
    return 2;
  }
  // Blocked before the actor system starts its threads, so that they leave these to us.
  sigset_t stop_signals;
  ::sigemptyset(&stop_signals);
  ::sigaddset(&stop_signals, SIGINT);
  ::sigaddset(&stop_signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  caf::actor_system_config config;
  sallyport::prepare(config); // Before the system exists: its message types have to be known.
  caf::actor_system system{config};
  return run(system, argv[1], argv[2], stop_signals);
}
