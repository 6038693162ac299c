// Sallyport itself, as it is shipped: the binary's hub, producers that POST batches over keep-alive connections, agents by the embedding
// API (which is all that `sallyport agent` uses).
#include "bench/harness/clock.hpp"
#include "bench/harness/runner.hpp"
#include "bench/peers/http_wire.hpp"
#include "bench/peers/peers.hpp"
#include "bench/peers/place.hpp"

#include "adapters/null/settings.hpp"
#include "adapters/sql/settings.hpp"
#include "protocol/codec.hpp"
#include "runtime/agent.hpp"
#include "runtime/io/client.hpp"
#include "tests/support/certs.hpp"
#include "tests/support/process.hpp"

#include <libpq-fe.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

namespace sallyport::bench {

namespace {

namespace fs = std::filesystem;
using testing::process;
using testing::process_options;

void write(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  if (!out.flush())
    throw std::runtime_error("cannot write " + file.string());
}

class hub final : public server {
public:
  explicit hub(server_options options) : options_(std::move(options)) {
    fs::create_directories(options_.folder / "data");
    std::string config = "[hub]\ndata_dir = \"" + (options_.folder / "data").string()
                         + "\"\nsession_ttl_ms = " + std::to_string(options_.lease.count() * 1000) + "\n";
    if (options_.tls) {
      testing::certificate_authority authority(options_.folder);
      const auto files = authority.issue();
      place_.ca_file = authority.ca_file();
      config += "[hub.tls]\ncert_file = \"" + files.cert + "\"\nkey_file = \"" + files.key + "\"\n";
      place_.producer_token = token("admin");
      place_.agent_token = place_.producer_token.empty() ? "" : token("agent");
    } else {
      place_.producer_token = place_.agent_token = "dev";
    }
    if (options_.clients > 0)
      config +=
        "[hub.limits]\nsockets = " + std::to_string(options_.clients) + "\nparked = " + std::to_string(options_.clients) + "\n";
    write(options_.folder / "hub.toml", config);
    start();
    // Queues exist before anybody measures: an agent would announce them, a producer may not.
    for (std::size_t i = 0; i < options_.queues; ++i)
      if (const auto reply = ask("PUT", "/v1/groups/" + group_named(i) + "/connections/" + connection_named(i), "{}");
          reply.status >= 300)
        throw std::runtime_error("making a queue: " + reply.body);
  }

  std::string address() const override { return place_.text(); }
  std::vector<pid_t> processes() const override { return {process_->pid()}; }

  std::uint64_t unacknowledged() override {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < options_.queues; ++i) {
      const auto reply = ask("GET", "/v1/groups/" + group_named(i));
      auto view = wire::decode<wire::group_view>(reply.body);
      if (reply.status != 200 || !view)
        throw std::runtime_error("asking the hub for its queues: " + reply.body);
      for (const auto& c : view->connections)
        n += c.ready + c.delayed + c.behind_key + c.granted;
    }
    return n;
  }

  std::chrono::nanoseconds restart() override {
    process_->stop(SIGTERM, std::chrono::seconds(60));
    process_.reset();
    const auto begin = now_ns();
    start();
    while (ask("GET", "/readyz").status != 200)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return std::chrono::nanoseconds(now_ns() - begin);
  }

private:
  std::string token(const std::string& role) {
    const auto out = (options_.folder / ("token-" + role)).string();
    std::vector<std::string> argv{SALLYPORT_BINARY, "token", "new", "--data", (options_.folder / "data").string(),
                                  "--role",         role};
    for (std::size_t i = 0; i < options_.queues; ++i)
      argv.insert(argv.end(), {"--group", group_named(i)});
    process made({.argv = argv, .stdout_file = out, .stderr_file = out + ".err"});
    if (const auto end = made.wait(); !end || end->code != 0)
      throw std::runtime_error("no token: " + made.err());
    const auto text = made.out();
    return text.substr(0, text.find('\n'));
  }

  void start() {
    std::vector<std::string> argv{SALLYPORT_BINARY, "hub",
                                  "--config",       (options_.folder / "hub.toml").string(),
                                  "--listen",       "127.0.0.1:" + std::to_string(port_)};
    if (!options_.tls)
      argv.push_back("--dev");
    const auto life = std::to_string(++lives_);
    process_ = std::make_unique<process>(process_options{.argv = argv,
                                                         .stdout_file = (options_.folder / ("out-" + life)).string(),
                                                         .stderr_file = (options_.folder / ("log-" + life)).string()});
    const auto line = process_->wait_for_line("://", std::chrono::minutes(5));
    if (!line)
      throw std::runtime_error("the hub did not start: " + process_->err());
    port_ = static_cast<std::uint16_t>(std::stoi(line->substr(line->rfind(':') + 1)));
    place_.url = (options_.tls ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(port_);
    client_.reset();
  }

  runtime::http_reply ask(const std::string& method, const std::string& target, const std::string& body = {}) {
    if (!client_) {
      io::transport_settings s;
      s.token = place_.producer_token;
      s.tls.ca_file = place_.ca_file;
      auto made = io::client::make(place_.url, s);
      if (!made)
        throw std::runtime_error(to_string(made.err()));
      client_.emplace(*std::move(made));
    }
    runtime::http_request r;
    r.method = method, r.target = target, r.body = body, r.timeout = milliseconds(60'000);
    auto reply = client_->send(std::move(r));
    if (!reply)
      throw std::runtime_error(method + " " + target + ": " + to_string(reply.err()));
    return *std::move(reply);
  }

  server_options options_;
  place place_;
  std::uint16_t port_ = 0;
  int lives_ = 0;
  std::unique_ptr<process> process_;
  std::optional<io::client> client_;
};

class hub_producer final : public producer {
public:
  hub_producer(const std::string& address, const producer_options& options)
    : place_(place::from(address)),
      wire_({.host = "127.0.0.1", .port = place_.port(), .ca_file = place_.ca_file}, options.in_flight),
      head_("POST /v1/groups/" + group_named(options.queue) + "/connections/" + connection_named(options.queue)
            + "/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + place_.producer_token + "\r\nContent-Type: ") {}

  void send(std::span<const std::string_view> events) override {
    std::string body;
    if (events.size() == 1) {
      body = events.front();
    } else {
      body.reserve(events.size() * (events.front().size() + 1) + 1);
      for (const auto event : events)
        body.append(body.empty() ? "[" : ",").append(event);
      body += ']';
    }
    auto head = head_ + (events.size() == 1 ? "application/cloudevents+json" : "application/cloudevents-batch+json")
                + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    wire_.send(std::move(head), std::move(body));
  }

  std::vector<std::uint64_t> reap(std::chrono::nanoseconds at_most) override {
    std::vector<std::uint64_t> acknowledged;
    for (const auto& answer : wire_.reap(at_most)) {
      if (answer.status != 201)
        throw std::runtime_error("the hub answered " + std::to_string(answer.status) + ": " + answer.body);
      acknowledged.push_back(answer.request);
    }
    return acknowledged;
  }

private:
  place place_;
  http_wire wire_;
  std::string head_;
};

// Lets another adapter work, then tells the benchmark.
class watched_adapter final : public adapters::adapter {
public:
  watched_adapter(std::unique_ptr<adapters::adapter> inner, sink& to) : inner_(std::move(inner)), to_(to) {}

  adapters::probe_result probe() override { return inner_->probe(); }
  std::vector<adapters::outcome> perform(const std::vector<adapters::job>& jobs) override {
    auto outcomes = inner_->perform(jobs);
    std::vector<std::string_view> events;
    for (std::size_t i = 0; i < jobs.size(); ++i)
      if (outcomes[i].what == adapters::outcome::kind::done)
        events.push_back(*jobs[i].event);
    if (!events.empty())
      to_.take(events);
    return outcomes;
  }

private:
  std::unique_ptr<adapters::adapter> inner_;
  sink& to_;
};

adapters::sql::settings sql_settings(const std::string& conninfo) {
  adapters::sql::settings s;
  s.backend = adapters::sql::backend_kind::postgresql;
  char* why = nullptr;
  auto* parts = PQconninfoParse(conninfo.c_str(), &why);
  if (parts == nullptr)
    throw std::runtime_error(std::string("the database's address: ") + (why ? why : ""));
  for (auto* part = parts; part->keyword != nullptr; ++part) {
    const std::string key = part->keyword, value = part->val ? part->val : "";
    if (key == "host")
      s.host = value;
    else if (key == "port")
      s.port = static_cast<std::uint16_t>(std::stoi(value));
    else if (key == "dbname")
      s.database = value;
    else if (key == "user")
      s.user = value;
    else if (key == "password")
      s.password = value;
  }
  PQconninfoFree(parts);
  s.tls = "disable";
  s.batch_max = 256;
  s.workers = 2; // One prepares a batch while the other's commit is synced.
  s.statements["add"] = {.text = "INSERT INTO effects (id, body) VALUES (:id, :body)",
                         .parameters = {{"id", "id"}, {"body", "data"}}};
  s.default_statement = "add";
  return s;
}

// An embedder's adapter: a class of its own, and nothing between it and the agent.
class embedded_adapter final : public adapters::adapter {
public:
  explicit embedded_adapter(sink& to) : to_(to) {}

  adapters::probe_result probe() override { return {wire::reach::up, {}}; }
  std::vector<adapters::outcome> perform(const std::vector<adapters::job>& jobs) override {
    std::vector<std::string_view> events;
    for (const auto& job : jobs)
      events.push_back(*job.event);
    to_.take(events);
    std::vector<adapters::outcome> outcomes;
    for (std::size_t i = 0; i < jobs.size(); ++i)
      outcomes.push_back(adapters::done({}));
    return outcomes;
  }

private:
  sink& to_;
};

// One agent, or an embedder's program with several of them.
class group_agents final : public consumer {
public:
  group_agents(const std::string& address, consumer_options options, std::size_t embedded = 0)
    : place_(place::from(address)),
      options_(std::move(options)),
      embedded_(embedded) {}

  void run(sink& work, std::stop_token until, const std::function<void()>& on_ready) override {
    caf::actor_system_config config;
    prepare(config, embedded_ == 0 ? actor_threads::one : actor_threads::several); // One agent: as the binary has it.
    std::atomic<std::size_t> missing = std::max<std::size_t>(embedded_, 1);        // Actors count it down: it outlives them.
    caf::actor_system system(config);

    std::vector<agent> agents;
    for (auto i = missing.load(); i > 0; --i)
      agents.push_back(
        start(system, work, embedded_ == 0 ? options_.name : options_.name + "-" + std::to_string(i), [&missing, &on_ready] {
          if (--missing == 0)
            on_ready();
        }));
    while (!until.stop_requested())
      for (const auto& a : agents)
        if (const auto end = a.wait_for(milliseconds(20)))
          throw std::runtime_error("the agent ended: " + std::string(to_string(end->reason)) + " " + end->detail);
    for (auto& a : agents)
      a.drain();
    for (const auto& a : agents)
      (void)a.wait();
  }

private:
  agent start(caf::actor_system& system, sink& work, const std::string& name, std::function<void()> on_first_connected) {
    config::agent_settings s;
    s.group = {group_named(options_.queue)};
    s.name = {name};
    s.state_dir = (options_.folder / name).string();
    s.hubs = {place_.url};
    s.token = place_.agent_token;
    s.tls.ca_file = place_.ca_file;
    const auto credit = static_cast<std::uint32_t>(options_.window);
    s.window = 2 * credit; // Outcomes whose verdict is under way count beside the credit.
    s.claim_max_messages = std::min(credit, s.claim_max_messages);
    s.reconnect_min = milliseconds(50), s.reconnect_max = milliseconds(500);

    auto factory = options_.database.empty() ? adapters::null::make_factory({.batch_max = options_.batch})
                                             : adapters::sql::make_factory(sql_settings(options_.database));
    if (embedded_ > 0)
      factory.make = [&work] { return std::make_unique<embedded_adapter>(work); };
    else
      factory.make = [make_inner = std::move(factory.make), &work] {
        return std::make_unique<watched_adapter>(make_inner(), work);
      };
    agent_connection connection{{.name = {connection_named(options_.queue)}, .credit = credit}, std::move(factory)};

    agent_options more;
    more.on_event = [on_first_connected, connected = false](const runtime::agent_event& e) mutable {
      if (e.what == runtime::agent_event::kind::connected && !std::exchange(connected, true))
        on_first_connected();
    };
    auto started = agent::start(system, std::move(s), {std::move(connection)}, std::move(more));
    if (!started)
      throw std::runtime_error("starting the agent: " + to_string(started.err()));
    return *std::move(started);
  }

  place place_;
  consumer_options options_;
  std::size_t embedded_; // How many agents share this process; 0: it is the agent's own.
};

} // namespace

std::vector<system> sallyport_systems() {
  system s;
  s.name = "sallyport";
  s.title = "Sallyport";
  s.durable = true;
  s.durability = "201 and every settlement's verdict leave after what they rest on was synced: one fdatasync of the journal, or "
                 "the two of an LMDB commit";
  s.settings = {
    "hub: defaults, so that producers of batches are held to what agents take; tokens as --dev (W9: TLS 1.3 and tokens)",
    "producer: one keep-alive connection per request in flight, application/cloudevents-batch+json",
    "agents: defaults, but a credit as large as the peers' prefetch and twice that as their window; null adapter, one worker",
    "agents in W8: the sql adapter as shipped, with its inbox; batches of 256, two workers (connections) per agent"};
  s.can_tls = true;
  s.start = [](const server_options& o) { return std::make_unique<hub>(o); };
  s.make_producer = [](const std::string& a, const producer_options& o) { return std::make_unique<hub_producer>(a, o); };
  s.make_consumer = [](const std::string& a, const consumer_options& o) { return std::make_unique<group_agents>(a, o); };

  auto embedded = s;
  embedded.name = "sallyport-embedded";
  embedded.title = "Sallyport, embedded";
  embedded.variant = true;
  embedded.make_consumer = [](const std::string& a, const consumer_options& o) {
    return std::make_unique<group_agents>(a, o, 2);
  };
  return {s, embedded};
}

} // namespace sallyport::bench
