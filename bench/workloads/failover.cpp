// W7: how long is a message in nobody's hands when the one that held it is killed?
#include "bench/harness/clock.hpp"
#include "bench/workloads/scenes.hpp"
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include <signal.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t window = 512;
constexpr std::uint64_t never_us = 600'000'000; // A take() that outlasts the round.
constexpr std::size_t producer_seat = 0, victim_seat = 1, other_seat = 2;

double seconds_between(std::uint64_t from_ns, std::uint64_t to_ns) {
  return to_ns > from_ns ? static_cast<double>(to_ns - from_ns) / 1e9 : 0;
}

run_spec failover_spec() {
  run_spec spec;
  spec.window = window;
  return spec;
}

void expect(const system& what, bool held, const std::string& otherwise) {
  if (!held)
    throw std::runtime_error(what.name + ": " + otherwise);
}

// The victim alone gets what its window takes and never finishes it.
void give_to_victim(stage& on, stage::step& s) {
  s.clients.consume(victim_seat, failover_spec(), 0, never_us);
  s.clients.wait_ready(s.b, victim_seat, 1);
  s.clients.produce(producer_seat, s.first(), window, failover_spec(), 0);
  s.clients.wait_ready(s.b, producer_seat, 1);
  s.b.page().go.store(1);
  expect(on.what(),
         wait_until([&] { return s.b.seat(producer_seat).acked.load() == window && s.b.seat(victim_seat).held.load() > 0; },
                    seconds(30)),
         "the consumer that is to be killed got no work within 30 s");
  std::this_thread::sleep_for(milliseconds(300)); // What is pushed into its window is on its way; nobody says when it has come.
}

// From the kill to the moment when another, hungry consumer had the last of the victim's messages.
double take_over(stage& on, seconds lease) {
  stage::step s(on, window);
  give_to_victim(on, s);
  s.clients.consume(other_seat, failover_spec(), 0);
  s.clients.wait_ready(s.b, other_seat, 1);
  // What the victim had not taken is not its work: the other has it all before the kill.
  auto seen = ~std::uint64_t{0};
  for (int quiet = 0; quiet < 5; std::this_thread::sleep_for(milliseconds(100))) {
    const auto now = s.b.marked();
    quiet = now == seen ? quiet + 1 : 0;
    seen = now;
  }
  expect(on.what(), seen < window, "there was no work in hand to be killed with");
  const auto killed = now_ns();
  s.clients.kill(victim_seat);
  expect(on.what(), wait_until([&] { return s.b.marked() == window; }, 4 * lease + seconds(60)),
         std::to_string(window - s.b.marked()) + " of the killed consumer's messages did not come to the other one");
  const auto last = s.b.seat(other_seat).last_ns.load();
  s.end();
  return seconds_between(killed, last);
}

// The same, but the killed one is started again at once, with its name and folder, and nobody else is there.
double restart_agent(stage& on) {
  stage::step s(on, window);
  give_to_victim(on, s);
  s.clients.kill(victim_seat);
  const auto begin = now_ns();
  s.clients.consume(victim_seat, failover_spec(), 0);
  expect(on.what(), wait_until([&] { return s.b.marked() == window; }, seconds(60)),
         "the restarted agent did not get its work back");
  const auto last = s.b.seat(victim_seat).last_ns.load();
  s.end();
  return seconds_between(begin, last);
}

struct hub_restart {
  double served = 0, flowing = 0; // Seconds from the kill.
};

// The hub is killed under two agents and started again: until it serves, and until an event sent then is with an agent.
hub_restart kill_hub(stage& on) {
  constexpr std::uint64_t before = 2'000, after = 256;
  stage::step s(on, before + after);
  s.clients.consume(victim_seat, failover_spec(), 0);
  s.clients.consume(other_seat, failover_spec(), 0);
  s.clients.wait_ready(s.b, victim_seat, 2);
  s.clients.produce(producer_seat, s.first(), before, failover_spec(), 0);
  s.b.page().go.store(1);
  expect(on.what(), wait_until([&] { return s.b.marked() == before; }, seconds(60)), "messages did not flow before the kill");
  const auto killed = now_ns();
  for (const auto process : on.at().processes())
    ::kill(process, SIGKILL);
  (void)on.at().restart();
  hub_restart took;
  took.served = seconds_between(killed, now_ns());
  constexpr std::size_t second_producer = 3;
  s.clients.produce(second_producer, s.first() + before, after, failover_spec(), 0);
  expect(on.what(), wait_until([&] { return s.b.marked() == before + after; }, seconds(60)),
         "messages did not flow after the hub's restart");
  took.flowing = seconds_between(killed, std::max(s.b.seat(victim_seat).last_ns.load(), s.b.seat(other_seat).last_ns.load()));
  s.end();
  return took;
}

double longest(const findings& f, const std::string& point, const char* what) {
  const auto* m = f.find("W7", "sallyport", point, what);
  return m != nullptr && !m->rounds.empty() ? *std::max_element(m->rounds.begin(), m->rounds.end()) : -1;
}

void measure_failover(const plan& p, findings& f) {
  const std::size_t rounds = p.quick ? 1 : std::min<std::size_t>(p.rounds, 3);
  const auto leases = p.quick ? std::vector{seconds(2)} : std::vector{seconds(2), seconds(10)};
  for (const auto lease : leases) {
    const auto point = "lease " + std::to_string(lease.count()) + " s";
    const auto add = [&](const system& what, const char* name, double value) {
      f.add({.workload = "W7",
             .system = what.name,
             .point = point,
             .x = static_cast<double>(lease.count()),
             .what = name,
             .unit = "s",
             .more_is_better = false},
            value);
    };
    turns all(p, f, "W7");
    all.enter_all({.lease = lease});
    for (std::size_t round = 1; round <= rounds; ++round)
      all.each(point + ", round " + std::to_string(round), [&](turns::entry& e) {
        const own_folder folder(e.folder, "scene");
        stage on(*e.what, *e.at, folder.path());
        add(*e.what, "killed consumer's work is taken over", take_over(on, lease));
        if (!e.what->package.empty())
          return;
        add(*e.what, "restarted agent has its work again", restart_agent(on));
        const auto hub = kill_hub(on);
        add(*e.what, "killed hub serves again", hub.served);
        add(*e.what, "messages flow after the hub was killed", hub.flowing);
      });
    if (const auto worst = longest(f, point, "killed consumer's work is taken over"); worst >= 0)
      f.targets.push_back({"W7",
                           "a killed agent's work is with another within TTL + 1 s (" + point + ", the longest of all rounds)",
                           static_cast<double>(lease.count()) + 1, worst, false});
    if (const auto worst = longest(f, point, "restarted agent has its work again"); worst >= 0)
      f.targets.push_back({"W7", "a restarted agent has its work again within 0.5 s (" + point + ", the longest of all rounds)",
                           0.5, worst, false});
  }
}

} // namespace

workload fail_over_workload() {
  workload w;
  w.name = "W7";
  w.title = "Fail-over";
  w.text = "A consumer with its window full of messages that it never finishes is ended by SIGKILL while another "
           "waits for work: the time from the kill until the other has the last of them. The lease is how long a "
           "system was told to wait for a silent consumer. RabbitMQ, PostgreSQL and beanstalkd hang on a TCP "
           "connection: they see it close when the process dies and need not wait at all; had the whole machine "
           "gone, they would have waited for their heartbeat, or TCP. Redis and NATS count from the delivery, which "
           "was about a second before the kill; work that lasts longer than their lease is given twice unless its "
           "consumer says so in time. Sallyport counts from the agent's latest heartbeat and on nothing else, so it "
           "takes as long whether a process or a machine has gone. For Sallyport also: the killed agent started "
           "again at once (from its start until it has taken all it held), and the hub killed and started again "
           "(from the kill until it serves, and until an event sent then is with an agent).";
  w.x_title = "lease, s";
  w.measure = measure_failover;
  w.drawn = {"killed consumer's work is taken over"};
  return w;
}

} // namespace sallyport::bench
