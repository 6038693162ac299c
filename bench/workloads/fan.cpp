// W6: what do agents cost that only wait?
#include "bench/harness/clock.hpp"
#include "bench/harness/event.hpp"
#include "bench/peers/http_wire.hpp"
#include "bench/workloads/parked.hpp"
#include "bench/workloads/scenes.hpp"
#include "bench/workloads/workloads.hpp"

#include "protocol/codec.hpp"
#include "tests/support/process.hpp"

#include <algorithm>
#include <deque>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct report {
  findings& f;
  const system& what;

  void add(const std::string& point, double x, const char* name, const char* unit, bool more, double value) const {
    f.add({.workload = "W6", .system = what.name, .point = point, .x = x, .what = name, .unit = unit, .more_is_better = more},
          value);
  }
};

sallyport::wire::group_view group_at(const place& hub, std::size_t queue) {
  http_wire wire({.port = hub.port()}, 1);
  wire.send("GET /v1/groups/" + group_named(queue) + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + hub.producer_token
              + "\r\n\r\n",
            "");
  const auto answers = wire.reap(seconds(60));
  if (answers.empty() || answers.front().status != 200)
    throw std::runtime_error("the hub does not tell of its agents"
                             + (answers.empty() ? std::string() : ": " + answers.front().body));
  auto view = sallyport::wire::decode<sallyport::wire::group_view>(answers.front().body);
  if (!view)
    throw std::runtime_error("the hub's list of agents: " + to_string(view.err()));
  return *std::move(view);
}

std::size_t live_agents(const place& hub) {
  const auto view = group_at(hub, 0);
  return static_cast<std::size_t>(std::count_if(view.agents.begin(), view.agents.end(), [](const auto& a) { return a.live; }));
}

void measure_parked(const plan& p, const report& out, std::size_t agents) {
  const auto point = short_number(agents) + (agents == 1 ? " agent" : " agents");
  const auto files = raise_file_limit();
  constexpr std::size_t others = 500, pool = 64; // Other files of a hub; connections when they are shared.
  parked_options options;
  options.agents = agents;
  if (agents * 3 + others > files) {
    options.control_connections = pool;
    options.lanes = agents * 2 + pool + others <= files ? 2 : 1;
    out.f.notes.push_back("W6: " + point + " have " + std::to_string(options.lanes) + " parked claim(s) each and share "
                          + std::to_string(pool) + " connections for their heartbeats: this machine lets a process open "
                          + std::to_string(files) + " files, and three connections each would need "
                          + std::to_string(agents * 3));
    if (agents * options.lanes + pool + others > files)
      throw std::runtime_error(point + " do not fit into " + std::to_string(files) + " files");
  }
  const own_folder folder(p.folder, "w6");
  const auto at = out.what.start({.folder = folder.path(), .clients = 4 * agents + 1'000});
  const auto hub = at->processes();
  options.hub = place::from(at->address());
  const auto empty = own_memory_of(hub);
  p.say("W6: parking " + point);
  const auto begin = now_ns();
  parked_agents crowd(options);
  crowd.wait_parked(seconds(120));
  out.add(point, static_cast<double>(agents), "all parked after", "s", false, static_cast<double>(now_ns() - begin) / 1e9);

  std::this_thread::sleep_for(seconds(2)); // What opening them left to do is done.
  const auto window = p.quick ? seconds(4) : seconds(30);
  const auto from = crowd.figures().heartbeats;
  const auto cpu = fine_cpu_of(hub);
  const auto clock = now_ns();
  std::this_thread::sleep_for(window);
  const auto used = (fine_cpu_of(hub) - cpu) / (static_cast<double>(now_ns() - clock) / 1e9);
  const auto beats = crowd.figures().heartbeats - from;
  out.add(point, static_cast<double>(agents), "idle processor time of the hub", "% of a core", false, used * 100);
  const auto memory = own_memory_of(hub);
  out.add(point, static_cast<double>(agents), "hub memory", "MB", false, static_cast<double>(memory) / 1e6);
  if (agents >= 100)
    out.add(point, static_cast<double>(agents), "hub memory per agent", "kB", false,
            static_cast<double>(memory > empty ? memory - empty : 0) / 1e3 / static_cast<double>(agents));
  if (beats < agents * static_cast<std::uint64_t>(window.count()) / 4) // One each 2.5 s.
    out.f.notes.push_back("W6: " + point + " sent only " + std::to_string(beats) + " heartbeats in "
                          + std::to_string(window.count()) + " s");

  // A message for a crowd that waits: one at a time, to whichever agent the hub chooses.
  constexpr std::uint64_t probes = 20;
  const auto sender = out.what.make_producer(at->address(), {.in_flight = 1, .batch = 1});
  event_maker maker(1024);
  std::vector<double> took_ms;
  for (std::uint64_t n = 0; n < probes; ++n) {
    const auto sent = now_ns();
    const auto event = maker.make(n, sent);
    sender->send({&event, 1});
    if (!wait_until([&] { return crowd.figures().taken > n; }, seconds(10)))
      throw std::runtime_error("a message did not reach one of " + point + " within 10 s");
    (void)sender->reap(seconds(10));
    took_ms.push_back(static_cast<double>(crowd.figures().last_taken_ns - sent) / 1e6);
  }
  out.add(point, static_cast<double>(agents), "a message reaches one of them", "ms", false, median(took_ms));
  const auto now = crowd.figures();
  const auto live = live_agents(options.hub);
  if (live != agents || now.failed > 0)
    out.f.notes.push_back("W6: of " + point + " " + std::to_string(live) + " were alive at the end, " + std::to_string(now.failed)
                          + " requests failed; the first: " + now.first_failure);
  out.add(point, static_cast<double>(agents), "alive at the end", "agents", true, static_cast<double>(live));
}

// One producer's requests go round over the groups, as in W1 256 events each and 8 in flight; an agent in each group.
void measure_groups(const plan& p, const report& out, std::size_t groups) {
  constexpr std::size_t in_flight = 8, batch = 256;
  const auto point = short_number(groups) + (groups == 1 ? " group" : " groups");
  p.say("W6: " + point);
  const own_folder folder(p.folder, "w6");
  const auto at = out.what.start({.folder = folder.path(), .queues = groups, .clients = 4 * groups + 1'000});
  parked_agents crowd({.hub = place::from(at->address()), .agents = std::max<std::size_t>(groups, 2), .queues = groups});
  crowd.wait_parked(seconds(60));
  const auto each = groups == 1 ? in_flight : 1;
  std::vector<std::unique_ptr<producer>> senders;
  for (std::size_t i = 0; i < groups; ++i)
    senders.push_back(out.what.make_producer(at->address(), {.in_flight = each, .batch = batch, .queue = i}));
  event_maker maker(1024);
  std::vector<std::string> texts(batch);
  std::vector<std::string_view> events(batch);
  std::deque<std::size_t> open; // Whose request, oldest first.
  std::uint64_t sent = 0, requests = 0;
  const auto reap_one = [&] {
    const auto of = open.front();
    const auto answered = senders[of]->reap(seconds(30)).size();
    if (answered == 0)
      throw std::runtime_error("no acknowledge within 30 s");
    for (std::size_t i = 0; i < answered; ++i)
      open.erase(std::find(open.begin(), open.end(), of));
  };
  const auto begin = now_ns();
  const auto until = begin + (p.quick ? 2'000'000'000u : 6'000'000'000u);
  while (now_ns() < until) {
    for (std::size_t i = 0; i < batch; ++i) {
      texts[i] = maker.make(sent + i, begin);
      events[i] = texts[i];
    }
    const auto queue = requests++ % groups;
    if (open.size() == in_flight)
      reap_one();
    senders[queue]->send(events);
    open.push_back(queue);
    sent += batch;
  }
  while (!open.empty())
    reap_one();
  if (!wait_until([&] { return crowd.figures().settled >= sent; }, seconds(60)))
    throw std::runtime_error("of " + std::to_string(sent) + " messages for " + point + " only "
                             + std::to_string(crowd.figures().settled)
                             + " were settled; the first failure: " + crowd.figures().first_failure);
  out.add(point, static_cast<double>(groups), "throughput over groups", "msg/s", true,
          static_cast<double>(sent) * 1e9 / static_cast<double>(crowd.figures().last_settled_ns - begin));
}

// The real binary, with nothing to do.
void measure_agent(const plan& p, const report& out) {
  p.say("W6: one idle agent");
  const own_folder folder(p.folder, "w6");
  std::filesystem::create_directories(folder.path() / "server");
  const auto at = out.what.start({.folder = folder.path() / "server"});
  const auto hub = place::from(at->address());
  const auto file = folder.path() / "agent.toml";
  std::ofstream(file) << "[agent]\ngroup = \"" << group_named(0) << "\"\nname = \"idle\"\nstate_dir = \""
                      << (folder.path() / "state").string() << "\"\nhubs = [\"" << hub.url
                      << "\"]\ntoken = \"env:AGENT_TOKEN\"\n\n[[connection]]\nname = \"" << connection_named(0)
                      << "\"\nadapter = \"null\"\n";
  testing::process agent({.argv = {SALLYPORT_BINARY, "agent", "--config", file.string()},
                          .env = {"AGENT_TOKEN=" + hub.agent_token},
                          .stdout_file = (folder.path() / "agent.log").string()});
  if (!wait_until([&] { return agent.running() && live_agents(hub) == 1; }, seconds(30)))
    throw std::runtime_error("the agent did not come up: " + agent.out());
  std::this_thread::sleep_for(seconds(3));
  const std::vector<pid_t> it{agent.pid()};
  const auto cpu = fine_cpu_of(it);
  const auto clock = now_ns();
  std::this_thread::sleep_for(p.quick ? seconds(5) : seconds(30));
  const auto used = (fine_cpu_of(it) - cpu) / (static_cast<double>(now_ns() - clock) / 1e9);
  out.add("one idle agent process", 0, "idle processor time of an agent", "% of a core", false, used * 100);
  out.add("one idle agent process", 0, "resident memory of an agent", "MB", false,
          static_cast<double>(resident_memory_of(agent.pid())) / 1e6);
}

void measure_fan(const plan& p, findings& f) {
  const auto ours = std::find_if(p.chosen.begin(), p.chosen.end(), [](const system* s) { return s->package.empty(); });
  if (ours == p.chosen.end())
    return;
  const report out{f, **ours};
  const auto guarded = [&](const std::string& part, const std::function<void()>& work) {
    try {
      work();
    } catch (const std::exception& e) {
      f.notes.push_back("W6, " + part + ": " + e.what());
    }
  };
  const auto crowds = p.quick ? std::vector<std::size_t>{100, 1'000} : std::vector<std::size_t>{1, 10, 100, 1'000, 10'000};
  for (const auto agents : crowds)
    guarded(std::to_string(agents) + " agents", [&] { measure_parked(p, out, agents); });
  guarded("an idle agent", [&] { measure_agent(p, out); });
  for (std::size_t round = 0; round < (p.quick ? 1 : std::min<std::size_t>(p.rounds, 3)); ++round)
    for (const std::size_t groups : {1, 100})
      guarded(std::to_string(groups) + " groups", [&] { measure_groups(p, out, groups); });

  const auto value = [&](const std::string& point, const char* what) {
    const auto* m = f.find("W6", out.what.name, point, what);
    return m != nullptr ? median(m->rounds) : -1;
  };
  const auto at_most = [&](const std::string& point, const char* what, const std::string& text, double wanted) {
    if (const auto got = value(point, what); got >= 0)
      f.targets.push_back({"W6", text, wanted, got, false});
  };
  at_most("1 k agents", "idle processor time of the hub", "1,000 parked agents cost less than 5 % of a core", 5);
  if (const auto alive = value("10 k agents", "alive at the end"); !p.quick)
    f.targets.push_back(
      {"W6", "10,000 parked agents work: all alive at the end, and messages reach them", 10'000, std::max(alive, 0.0), true});
  at_most("one idle agent process", "resident memory of an agent", "an idle agent has at most 20 MB", 20);
  at_most("one idle agent process", "idle processor time of an agent", "an idle agent takes less than 0.5 % of a core", 0.5);
}

} // namespace

workload fan_workload() {
  workload w;
  w.name = "W6";
  w.title = "Fan";
  w.text = "Sallyport alone. Agents that only wait: each with a session, a heartbeat every 2.5 s (a quarter of the "
           "default lease) and two claims parked for 25 s, on three connections, all in one group. They are sockets "
           "of one thread, not processes. Counted are the hub's processor time while nothing happens, its own "
           "memory, and how long a message takes that is sent to the crowd. Then messages for a hundred groups, one "
           "agent and queue in each, beside the same for one group with two agents: requests of 256 events of 1 KiB, "
           "8 in flight, going round over the groups. And one real agent process, idle.";
  w.x_title = "agents";
  w.x_log = true;
  w.measure = measure_fan;
  w.drawn = {"idle processor time of the hub", "hub memory", "a message reaches one of them"};
  w.headline_points = {"1 k agents"};
  return w;
}

} // namespace sallyport::bench
