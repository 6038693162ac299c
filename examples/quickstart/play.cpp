#include "examples/quickstart/play.hpp"

#include "protocol/codec.hpp"

#include <fmt/core.h>
#include <signal.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace quickstart {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t rate = 600;   // Records a second: with those that are sent at once the run lasts some twenty seconds.
constexpr std::size_t burst = 1280; // Records sent at once, so that there is work in hand when somebody is killed.
constexpr auto patience = 60s;      // For anything that ought to happen sooner.
const std::string group = "demo", connection = "iso-db", token = "dev";

/// Set by SIGINT, SIGTERM and SIGHUP; looked at wherever we wait.
volatile sig_atomic_t interrupted = 0;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  file << text;
  file.close();
  if (!file)
    throw std::runtime_error("cannot write " + path);
}

} // namespace

play::play(options o) : options_(std::move(o)) {
  struct sigaction on_signal {};
  on_signal.sa_handler = [](int) { interrupted = 1; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    ::sigaction(number, &on_signal, nullptr);

  auto records = read_records(options_.iso_codes);
  if (!records)
    throw std::runtime_error(to_string(records.err()) + " (Debian package iso-codes)");
  records_ = std::move(*records);
  target_ = std::make_unique<target>(options_.folder + "/target.db");
  write_file(options_.folder + "/token", token + '\n');
  for (const auto* name : {"agent-a", "agent-b"})
    agents_.push_back({name, options_.folder + '/' + name + ".toml"});
}

play::~play() = default;

// ---- the stage ------------------------------------------------------------------------------------------------------------------

void play::start_hub() {
  const std::string data = options_.folder + "/hub", port_file = data + "/hub.port";
  hub_ = process({options_.binary, "hub", "--dev", "--listen", "127.0.0.1:" + std::to_string(port_), "--data", data},
                 options_.folder + "/hub.log", options_.keep);
  if (port_ == 0) { // The first start takes a free port; every later one has to take the same, or the agents would not find it.
    until("the hub has a port", patience, [&] { return read_file(port_file).ends_with('\n'); });
    port_ = static_cast<std::uint16_t>(std::stoul(read_file(port_file)));
    url_ = "http://127.0.0.1:" + std::to_string(port_);
    watch_ = std::make_unique<hub_watch>(url_, group, token);
  }
  hub_state_ = "up";
}

void play::write_agent_config(agent& a) {
  const auto parameters = [](const dataset& set) {
    std::string text;
    for (const auto& column : set.columns)
      text += (text.empty() ? "" : ", ") + column + " = \"data." + column + '"';
    return text;
  };
  const auto columns = [](const dataset& set, const char* before) {
    std::string text;
    for (const auto& column : set.columns)
      text += (text.empty() ? "" : ", ") + std::string(before) + column;
    return text;
  };
  std::string config = fmt::format(R"(# Written by scripts/quickstart.
[agent]
group = "{group}"
name = "{name}"
state_dir = "{folder}/{name}"
hubs = ["{hub}"]
token = "file:{folder}/token"
window = 128
reconnect_max_ms = 1000

[[connection]]
name = "{connection}"
adapter = "sql"
credit = 128

[connection.sql]
backend = "sqlite"
path = "{folder}/target.db"
inbox = {inbox}
)",
                                   fmt::arg("group", group), fmt::arg("name", a.name), fmt::arg("folder", options_.folder),
                                   fmt::arg("hub", url_), fmt::arg("connection", connection), fmt::arg("inbox", options_.inbox));
  config += "\n[connection.sql.statement_by_type]\n";
  for (const auto& set : datasets())
    config += fmt::format("\"{0}\" = \"add_{1}\"\n\"{0}.get\" = \"get_{1}\"\n", set.event_type, set.table);
  for (const auto& set : datasets()) {
    config +=
      fmt::format("\n[connection.sql.statement.add_{}]\ntext = \"INSERT INTO {} ({}) VALUES ({})\"\nparameters = {{ {} }}\n",
                  set.table, set.table, columns(set, ""), columns(set, ":"), parameters(set));
    config += fmt::format("\n[connection.sql.statement.get_{}]\ntext = \"SELECT {} FROM {} WHERE {} = :key\"\nparameters = {{ "
                          "key = \"data.key\" }}\n"
                          "result = \"row\"\nread_only = true\n",
                          set.table, columns(set, ""), set.table, set.columns.front());
  }
  write_file(a.config_file, config);
}

void play::start_agent(agent& a) {
  a.life = process({options_.binary, "agent", "--config", a.config_file}, options_.folder + '/' + a.name + ".log", options_.keep);
  a.state = "up";
}

void play::finish(process& life, const std::string& name) {
  std::optional<int> code;
  until(name + " has ended", patience, [&] { return (code = life.wait(0ms)).has_value(); });
  if (*code != 0)
    throw std::runtime_error(name + " ended with code " + std::to_string(*code) + " when asked to stop");
}

void play::ask_to_stop(agent& a) {
  a.life.signal(SIGTERM); // Drains.
  a.state = "down";
}

void play::stop_everything() {
  for (auto& a : agents_)
    ask_to_stop(a);
  for (auto& a : agents_)
    finish(a.life, a.name);
  hub_.signal(SIGTERM);
  hub_state_ = "down";
  finish(hub_, "the hub");
}

// ---- watching -------------------------------------------------------------------------------------------------------------------

void play::counter::update(std::uint64_t since_hub_start) {
  if (before_ + since_hub_start < value_)
    before_ = value_;
  value_ = before_ + since_hub_start;
}

void play::check_alive() {
  if (interrupted)
    throw std::runtime_error("interrupted");
  if (hub_state_ == "up" && !hub_.running())
    throw std::runtime_error("the hub has ended by itself");
  for (auto& a : agents_)
    if (a.state == "up" && !a.life.running())
      throw std::runtime_error(a.name + " has ended by itself");
}

std::optional<sallyport::wire::group_view> play::look() {
  check_alive();
  auto view = watch_ && hub_state_ == "up" ? watch_->look() : std::nullopt;
  if (view) {
    depth_ = waiting(*view);
    arrived_.update(enqueued(*view));
    for (auto& a : agents_)
      if (const auto* seen = find_agent(*view, a.name)) {
        a.held = seen->held;
        a.settled.update(seen->settled_total);
      }
  }
  if (screen_.is_due()) {
    picture now{arrived_.value(), records_.size(), depth_, target_->rows(), hub_state_, {}};
    for (const auto& a : agents_)
      now.agents.push_back({a.name, a.state, a.held, a.settled.value()});
    screen_.show(now);
  }
  return view;
}

void play::until(const std::string& what, std::chrono::seconds at_most, const std::function<bool()>& condition) {
  const auto end = clock::now() + at_most;
  while (!condition()) {
    if (clock::now() >= end)
      throw std::runtime_error("waited " + std::to_string(at_most.count()) + " s in vain until " + what);
    check_alive();
    std::this_thread::sleep_for(10ms);
  }
}

// ---- the acts -------------------------------------------------------------------------------------------------------------------

process play::start_sending(std::size_t end, std::vector<std::string> how) {
  std::string lines;
  for (; sending_ < std::min(end, records_.size()); ++sending_)
    lines += event_of(records_[sending_]) + '\n';
  const std::string file = options_.folder + "/records.jsonl";
  write_file(file, lines);
  // It goes on when the hub is away. Ids are stable: what the hub had stored already is not stored again.
  how.insert(how.begin(), {options_.binary, "send", group, connection, file, "--hub", url_, "--token", token});
  return process(how, options_.folder + "/send.log");
}

process play::start_burst(std::size_t size) {
  if (sending_ == records_.size())
    throw std::runtime_error("all records are sent, and nobody was seen in the state to be killed in");
  return start_sending(sending_ + size, {});
}

void play::finish_sending(process sender) {
  std::optional<int> code;
  until("the records up to " + std::to_string(sending_) + " are sent", patience, [&] {
    look();
    return (code = sender.wait(0ms)).has_value();
  });
  if (*code != 0)
    throw std::runtime_error("sallyport send ended with code " + std::to_string(*code));
  sent_ = sending_;
}

void play::feed(std::size_t end, double at_second) {
  if (end <= sending_)
    return;
  const auto rate = static_cast<double>(end - sending_) / std::max(0.5, at_second - screen_.seconds());
  finish_sending(start_sending(end, {"--batch", "32", "--rate", fmt::format("{:.0f}", std::max(1.0, rate))}));
}

void play::kill_agent(agent& a, std::size_t burst_size) {
  while (a.state == "up") {
    const auto settled_before = settled(drain());
    const auto rows_before = target_->rows();
    auto sender = start_burst(burst_size);
    bool busy = true;
    std::uint64_t held = 0, committed = 0; // Held by the agent; of what is held, already in the database.
    const auto has_work = [&] {
      const auto rows = target_->rows(); // First, so that a settlement in between is not taken for a missing one.
      const auto view = look();
      busy = sender.running() || !view || unsettled(*view) > 0;
      const auto* seen = view ? find_agent(*view, a.name) : nullptr;
      held = seen ? seen->held : 0;
      const auto done = view ? settled(*view) - settled_before : 0;
      committed = rows - rows_before > done ? rows - rows_before - done : 0;
      return held > 0 && committed > 0;
    };
    while (a.state == "up" && busy) {
      if (!has_work())
        continue;
      // Frozen, it can settle nothing between the hub's answer and its death: the number is the one it dies with. And the worst moment to
      // die is when the database has what the hub has not heard of.
      a.life.signal(SIGSTOP);
      std::this_thread::sleep_for(10ms); // What it had just sent is still counted.
      if (has_work()) {
        a.life.kill();
        a.state = "killed";
        ++agent_kills_;
        held_at_kill_ = std::max(held_at_kill_, held);
        screen_.say(
          fmt::format("killed {} (SIGKILL) while it held {} unsettled grants; the database had {} unsettled ones already", a.name,
                      held, committed));
      } else {
        a.life.signal(SIGCONT);
      }
    }
    finish_sending(std::move(sender));
  }
}

void play::kill_hub() {
  while (hub_kills_ == 0) {
    auto sender = start_burst(burst);
    for (bool busy = true; busy;) {
      const auto view = look();
      busy = sender.running() || !view || unsettled(*view) > 0;
      if (!view || waiting(*view) < burst / 8) // So many that some still wait a moment after the answer.
        continue;
      hub_.kill();
      hub_state_ = "killed";
      ++hub_kills_;
      depth_at_hub_kill_ = waiting(*view);
      screen_.say(fmt::format("killed the hub (SIGKILL) while {} messages waited", depth_at_hub_kill_));
      for (const auto end = clock::now() + 1s; clock::now() < end; std::this_thread::sleep_for(10ms))
        look();
      start_hub();
      screen_.say("started the hub again, on the same port and data");
      break;
    }
    finish_sending(std::move(sender));
  }
}

void play::kill_agent_until_doubled(agent& victim, agent& other) {
  // Alone, so that what the database has and the hub has not heard of is the victim's, and not the other's who will settle it.
  ask_to_stop(other);
  finish(other.life, other.name);
  while (target_->duplicates() == 0 && sending_ < records_.size()) {
    kill_agent(victim, burst / 5);
    start_agent(victim);
    drain();
  }
  start_agent(other);
}

sallyport::wire::group_view play::drain() {
  std::optional<sallyport::wire::group_view> view;
  until("the queue is empty", patience, [&] {
    view = look();
    if (view && dead(*view) > 0)
      throw std::runtime_error(std::to_string(dead(*view)) + " messages have become dead letters");
    return view && unsettled(*view) == 0;
  });
  return std::move(*view);
}

bool play::call_reads_a_row_back() {
  const auto wanted = std::find_if(records_.begin(), records_.end(), [](const record& r) { return r.key == "deu"; });
  if (wanted == records_.end())
    throw std::runtime_error("iso_639-3.json has no record \"deu\"");
  const std::string answer_file = options_.folder + "/call.out";
  process call({options_.binary, "call", group, connection, R"({"key": "deu"})", "--type", wanted->set->event_type + ".get",
                "--hub", url_, "--token", token},
               answer_file);
  std::optional<int> code;
  until("the call is answered", patience, [&] {
    look();
    return (code = call.wait(0ms)).has_value();
  });
  const std::string answer = read_file(answer_file);
  fields values;
  simdjson::dom::parser parser;
  simdjson::dom::object row;
  if (*code == 0 && parser.parse(simdjson::padded_string(answer)).get(row) == simdjson::SUCCESS)
    for (const auto member : row)
      if (std::string_view text; member.value.get(text) == simdjson::SUCCESS)
        values.emplace(member.key, text);
  const bool right = content_of(*wanted->set, values) == wanted->content;
  screen_.say((right ? "a call read a row back: " : "a call did not read the row back: ") + answer.substr(0, answer.find('\n')));
  return right;
}

int play::judge(bool call_answered) {
  const auto found = target_->compare(records_);
  for (const auto& example : found.examples)
    screen_.say(example);
  const bool clean = found.lost == 0 && found.duplicated == 0 && found.foreign == 0;
  const bool played = agent_kills_ > 0 && hub_kills_ > 0 && held_at_kill_ > 0 && depth_at_hub_kill_ > 0;
  if (options_.keep)
    say_how_to_go_on();
  fmt::print("quickstart: sent={} delivered={} lost={} duplicated={} agents={} agent_kills={} hub_kills={} held_at_kill={} "
             "depth_at_hub_kill={} seconds={:.0f}\n",
             sent_, found.delivered, found.lost, found.duplicated, agents_.size(), agent_kills_, hub_kills_, held_at_kill_,
             depth_at_hub_kill_, screen_.seconds());
  return clean && played && call_answered && sent_ == records_.size() ? 0 : 1;
}

void play::say_how_to_go_on() const {
  fmt::print(R"(
Hub and agents are still up. Try:

  curl -s -H 'Authorization: Bearer dev' {hub}/v1/groups/{group}
  curl -s -H 'Authorization: Bearer dev' -H 'Content-Type: application/cloudevents+json' {hub}/v1/groups/{group}/connections/{connection}/messages \
    -d '{{"specversion":"1.0","id":"qaa-1","source":"/me","type":"iso.language","data":{{"alpha_3":"qaa","name":"Mine"}}}}'
  curl -s -H 'Authorization: Bearer dev' -H 'Content-Type: application/cloudevents+json' {hub}/v1/groups/{group}/connections/{connection}/calls \
    -d '{{"specversion":"1.0","id":"ask-1","source":"/me","type":"iso.language.get","data":{{"key":"qaa"}}}}'
  curl -s -H 'Authorization: Bearer dev' {hub}/v1/messages/ID-FROM-ABOVE

  the database: {folder}/target.db    logs and settings: {folder}
  the end:      kill {pids}; rm -r {folder}

)",
             fmt::arg("hub", url_), fmt::arg("group", group), fmt::arg("connection", connection),
             fmt::arg("folder", options_.folder),
             fmt::arg("pids", fmt::format("{} {} {}", agents_[0].life.pid(), agents_[1].life.pid(), hub_.pid())));
}

int play::perform() {
  screen_.say(fmt::format("{} records of iso-codes, for two tables without any key, in {}", records_.size(), options_.folder));
  start_hub();
  screen_.say(fmt::format("started the hub (pid {}) on port {}", hub_.pid(), port_));
  for (auto& a : agents_) {
    write_agent_config(a);
    start_agent(a);
    screen_.say(fmt::format("started {} (pid {})", a.name, a.life.pid()));
  }
  until("both agents are there", patience, [&] {
    const auto view = look();
    return view && std::all_of(agents_.begin(), agents_.end(), [&](const agent& a) {
             const auto* seen = find_agent(*view, a.name);
             return seen && seen->live;
           });
  });

  auto& victim = agents_.front();
  feed(records_.size() / 5, 5);
  kill_agent(victim, burst / 2);
  feed(records_.size() * 2 / 5, 8);
  start_agent(victim);
  screen_.say("started " + victim.name + " again");
  feed(records_.size() * 3 / 5, 11.5);
  kill_hub();
  if (!options_.inbox)
    kill_agent_until_doubled(victim, agents_.back());
  feed(records_.size(), 18);
  drain();
  screen_.say("everything is settled");
  const bool call_answered = call_reads_a_row_back();
  if (!options_.keep)
    stop_everything();
  const int code = judge(call_answered);
  if (options_.keep) {
    for (auto& a : agents_)
      a.life.release();
    hub_.release();
  }
  return code;
}

} // namespace quickstart
