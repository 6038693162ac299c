// sallyport_chaos: rounds of load and harm, each followed by peace, a look at everything, and the judgement. See README.md.
#include "protocol/codec.hpp"
#include "tests/chaos/cast.hpp"
#include "tests/chaos/clients.hpp"
#include "tests/chaos/nemesis.hpp"
#include "tests/chaos/verdict.hpp"
#include "tests/support/temp_dir.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <future>
#include <sstream>

namespace sallyport::chaos {

namespace fs = std::filesystem;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

volatile std::sig_atomic_t interrupted = 0;

constexpr milliseconds round_length = minutes(2);
constexpr milliseconds drain_bound = minutes(3);

struct run_options {
  double minutes = 2;
  std::uint64_t seed = 1;
  bool keep = false;
  bool inbox = true;
  double rate = 640; // Events per second, over all producers.
};

/// A folder for everything of the run; gone at its end unless somebody wants to look at it.
class run_folder {
public:
  explicit run_folder(std::uint64_t seed) {
    auto name = (fs::temp_directory_path() / fmt::format("sallyport-chaos-{}-XXXXXX", seed)).string();
    if (!::mkdtemp(name.data()))
      throw std::runtime_error("no temporary directory " + name);
    path_ = name;
    fs::permissions(path_, fs::perms(0755));
  }
  ~run_folder() {
    std::error_code ignored;
    if (!kept_)
      fs::remove_all(path_, ignored);
  }
  run_folder(const run_folder&) = delete;
  run_folder& operator=(const run_folder&) = delete;
  void keep() { kept_ = true; }
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
  bool kept_ = false;
};

/// Clients whose threads end with it, whatever happens.
struct clients_at_work : std::vector<std::unique_ptr<client>> {
  clients_at_work() = default;
  clients_at_work(const clients_at_work&) = delete;
  clients_at_work& operator=(const clients_at_work&) = delete;
  ~clients_at_work() {
    for (auto& c : *this)
      c->finish();
  }
};

class run {
public:
  run(run_options o, run_folder& folder)
    : options_(o),
      folder_(folder),
      began_(clock::now()),
      cast_({folder.path(), o.seed, o.inbox, milliseconds(2'000), disk_bytes_}, [this](auto& text) { say(text); }),
      nemesis_(cast_, o.seed, [this](auto& text) { say(text); }),
      admin_(cast_.hub_url()),
      random_(o.seed) {}

  /// The exit code.
  int perform() {
    if (!prepare())
      return 1;
    auto left = milliseconds(static_cast<std::int64_t>(options_.minutes * 60'000));
    while (left.count() > 0 && interrupted == 0 && total_.violations.empty()) {
      const auto length = left < round_length * 5 / 4 ? left : round_length;
      one_round(length);
      left -= length;
      performed_ += length;
    }
    return conclude();
  }

private:
  void say(const std::string& text) {
    const auto at = std::chrono::duration<double>(clock::now() - began_).count();
    fmt::print("[{:7.1f}s] {}\n", at, text);
    std::fflush(stdout);
    if (record_)
      record_->note("nemesis", text);
  }

  /// Looks after the cast until the condition holds.
  template <class Condition>
  bool wait_until(Condition&& holds, milliseconds bound) {
    const auto give_up = clock::now() + bound;
    while (!holds()) {
      if (clock::now() > give_up || interrupted != 0)
        return false;
      cast_.tick();
      std::this_thread::sleep_for(milliseconds(20));
    }
    return true;
  }

  bool prepare() {
    for (auto q : queues)
      if (!wait_until([&] { return policy(q, {}); }, seconds(30))) {
        say(fmt::format("the hub did not make the connection {}", to_string(q)));
        return false;
      }
    return wait_until([this] { return agents_up() == agents; }, seconds(30)) || (say("not all agents came up"), false);
  }

  bool policy(queue q, const wire::policy_patch& patch) {
    const auto a = admin_.ask("PUT", fmt::format("/v1/groups/plant/connections/{}", to_string(q)), wire::encode(patch));
    return a.how == ending::ok;
  }

  int agents_up() {
    const auto a = admin_.ask("GET", "/v1/groups/plant", {});
    auto g = wire::decode<wire::group_view>(a.body);
    if (a.how != ending::ok || !g)
      return 0;
    int up = 0;
    for (auto& one : g->agents)
      up += one.live && one.connections.size() == 3
            && std::all_of(one.connections.begin(), one.connections.end(), [](auto& c) { return c.state == wire::reach::up; });
    return up;
  }

  std::optional<wire::connection_view> look_at(queue q) {
    const auto a = admin_.ask("GET", fmt::format("/v1/groups/plant/connections/{}", to_string(q)), {});
    auto c = wire::decode<wire::connection_view>(a.body);
    if (a.how != ending::ok || !c)
      return std::nullopt;
    return *std::move(c);
  }

  bool is_drained() {
    return std::all_of(std::begin(queues), std::end(queues), [this](queue q) {
      const auto c = look_at(q);
      return c && c->ready + c->delayed + c->behind_key + c->granted == 0;
    });
  }

  void one_round(milliseconds length) {
    ++round_;
    const auto path = fmt::format("{}/record-{}.jsonl", folder_.path(), round_);
    record_ = std::make_unique<record>(path, began_);
    say(fmt::format("round {}: load and harm for {} s", round_, length.count() / 1000));
    clients_at_work clients;
    const auto options = [&](const std::string& name) {
      client_options o;
      o.name = name, o.hub = cast_.hub_url_of(name), o.seed = random_(), o.round = round_;
      o.rate = options_.rate / producers, o.session_ttl = cast_.options().session_ttl;
      return o;
    };
    for (int i = 0; i < producers; ++i)
      clients.push_back(make_producer(*record_, options(producer_name_of(i))));
    for (int i = 0; i < hands; ++i)
      clients.push_back(make_agent_by_hand(*record_, options(hand_name_of(i))));
    for (auto& c : clients)
      c->start();

    nemesis_.plan(length);
    const auto end = clock::now() + length;
    while (clock::now() < end && interrupted == 0) {
      cast_.tick();
      nemesis_.tick();
      std::this_thread::sleep_for(milliseconds(10));
    }

    for (auto& c : clients)
      c->calm();
    nemesis_.heal();
    say("everything is mended; waiting until all is worked off");
    const auto healed = clock::now();
    // Producers first: they may have doubts to clear.
    bool drained = wait_until([this] { return cast_.all_run(); }, seconds(60));
    for (int i = 0; i < producers && interrupted == 0; ++i) {
      auto done = std::async(std::launch::async, [&, i] { clients[static_cast<std::size_t>(i)]->wait(); });
      wait_until([&] { return done.wait_for(seconds(0)) == std::future_status::ready; }, seconds(60));
      done.wait();
    }
    drained = wait_until([this] { return is_drained(); }, drain_bound) && drained;
    for (auto& c : clients)
      c->finish();
    clients.clear();
    if (interrupted != 0)
      return;
    say(fmt::format("worked off after {:.1f} s; looking at everything",
                    std::chrono::duration<double>(clock::now() - healed).count()));
    judge_round(drained);
    if (total_.violations.empty()) {
      forget();
      record_ = nullptr;
      if (!options_.keep)
        fs::remove(path);
    }
  }

  void judge_round(bool drained) {
    const auto looked = clock::now();
    evidence e;
    e.drained = drained, e.inbox = options_.inbox;
    if (!drained)
      for (auto q : queues)
        if (const auto c = look_at(q))
          say(fmt::format("{}: {} ready, {} delayed, {} behind a key, {} granted, target {}", to_string(q), c->ready, c->delayed,
                          c->behind_key, c->granted, c->target_state));
    read_messages(e);
    read_table(e);
    e.orders = cast_.orders->take();
    const auto files = fmt::format("{}/r{}", cast_.file_root(), round_);
    if (fs::exists(files))
      for (auto& f : fs::directory_iterator(files))
        if (const auto name = f.path().filename().string(); name.rfind("r", 0) == 0)
          e.files[name] = testing::content_of(f.path().string());
    std::error_code ignored;
    fs::remove_all(files, ignored);
    e.events = std::move(record_->events);
    e.grants = std::move(record_->grants), e.started = std::move(record_->started), e.done = std::move(record_->done);
    e.verdicts = std::move(record_->verdicts), e.seen_at_once = record_->violations();
    for (auto& c : cast_.crashes())
      e.seen_at_once.push_back({"crash", c});
    const auto counts = fmt::format("{} events, {} rows, {} orders, {} files, {} grants by hand", e.events.size(), e.rows.size(),
                                    e.orders.size(), e.files.size(), e.grants.size());
    const auto v = weigh(std::move(e));

    ops_ += record_->counted.ok, failed_ += record_->counted.failed, unknown_ += record_->counted.unknown;
    total_.lost += v.lost, total_.settled_twice += v.settled_twice, total_.sql_effects_doubled += v.sql_effects_doubled;
    total_.others += v.others, total_.expired_grants += v.expired_grants;
    total_.violations = v.violations, total_.histories = v.histories;
    std::string states;
    for (auto& [state, n] : v.states)
      states += fmt::format(" {}={}", state, n);
    say(fmt::format(
      "round {} judged in {:.1f} s: {};{}; {} events never acknowledged, {} of them took effect; {} orders came again; "
      "ops={} failed={} unknown={} expired_grants={}",
      round_, std::chrono::duration<double>(clock::now() - looked).count(), counts, states, v.never_acknowledged,
      v.of_those_took_effect, v.http_repeated, record_->counted.ok.load(), record_->counted.failed.load(),
      record_->counted.unknown.load(), v.expired_grants));
    say(fmt::format("memory: hub {} MiB, agent-0 {} MiB; the hub's disk {} MiB", cast_.memory_kib(cast_.hub()) / 1024,
                    cast_.memory_kib(cast_.agent(0)) / 1024, cast_.disk_used() >> 20));
  }

  /// The hub's last word on every acknowledged message, over several connections at once.
  void read_messages(evidence& e) {
    std::vector<message_id> wanted;
    for (auto& one : record_->events)
      if (!one.told.empty())
        wanted.push_back(one.told.front());
    constexpr int readers = 4;
    std::vector<std::future<std::map<message_id, wire::message_view>>> parts;
    for (int part = 0; part < readers; ++part)
      parts.push_back(std::async(std::launch::async, [&, part] {
        std::map<message_id, wire::message_view> out;
        hub_api hub(cast_.hub_url());
        for (auto i = static_cast<std::size_t>(part); i < wanted.size() && interrupted == 0; i += readers)
          for (int attempt = 0; attempt < 5; ++attempt) {
            const auto a = hub.ask("GET", "/v1/messages/" + to_string(wanted[i]), {}, {}, seconds(10));
            if (auto v = wire::decode<wire::message_view>(a.body); a.how == ending::ok && v.ok())
              out.emplace(wanted[i], *std::move(v));
            else if (a.status != 404)
              continue;
            break;
          }
        return out;
      }));
    for (auto& p : parts)
      e.at_end.merge(p.get());
  }

  void read_table(evidence& e) {
    const auto ours = fmt::format("id LIKE 'r{}-%'", round_);
    testing::postgres_client db(cast_.database.conninfo(cast_.database_name()));
    std::istringstream rows(
      db.run("SELECT string_agg(id || ' ' || message || ' ' || fence, E'\\n' ORDER BY serial) FROM effects WHERE " + ours));
    std::string id, message, fence;
    while (rows >> id >> message >> fence)
      e.rows.push_back({id, parse_message_id(message).value_or(message_id{}), parse_fence(fence).value_or(fence_token{})});
    if (options_.inbox)
      e.inbox_rows = std::stoull(db.run("SELECT count(*) FROM sallyport_inbox WHERE " + ours));
    // Of earlier rounds, what should come again after its judgement would show here.
    if (const auto again = std::stoull(db.run("SELECT count(*) FROM (SELECT id FROM effects WHERE NOT (" + ours
                                              + ") GROUP BY id HAVING count(*) > 1) AS doubled"));
        again != 0)
      record_->violate("sql_once", fmt::format("{} events of earlier rounds have more than one row now", again));
  }

  /// The hub lets go of what has been judged, so that an hour needs no more room than a round.
  void forget() {
    wire::policy_patch brief, usual;
    brief.retention = milliseconds(1'000), usual.retention = milliseconds(7'200'000);
    for (auto q : queues)
      policy(q, brief);
    if (!wait_until(
          [this] {
            return std::all_of(std::begin(queues), std::end(queues), [this](queue q) {
              const auto c = look_at(q);
              return c && c->retained == 0;
            });
          },
          seconds(60)))
      say("the hub has not forgotten everything within a minute");
    for (auto q : queues)
      wait_until([&] { return policy(q, usual); }, seconds(10));
  }

  int conclude() {
    const auto& harm = nemesis_.done();
    std::string others = fmt::format("resets={}", cast_.net.resets());
    for (auto& [name, n] : harm.others)
      others += fmt::format(" {}={}", name, n);
    say(fmt::format("also: {} failed={}{}", others, failed_,
                    !cast_.disk_can_be_full() ? " (disk full was skipped: no file system of its own)" : ""));
    std::vector<std::string> faults;
    const auto floor = [&](const char* what, std::uint64_t is, double per_two_minutes) {
      const auto wanted = static_cast<std::uint64_t>(per_two_minutes * static_cast<double>(performed_.count()) / 120'000);
      if (is < wanted)
        faults.push_back(fmt::format("too little to judge by: {}={}, below the floor of {}", what, is, wanted));
    };
    if (interrupted == 0) {
      floor("ops", ops_, 20'000), floor("kills", harm.kills, 10), floor("pauses", harm.pauses, 4);
      floor("partitions", harm.partitions, 8);
      if (unknown_ == 0 || total_.expired_grants == 0)
        faults.push_back("too little to judge by: no operation ended unknown, or no grant expired");
    }
    std::map<std::string, int> shown;
    for (auto& v : total_.violations)
      if (++shown[v.law] <= 20)
        say(fmt::format("VIOLATION of {}: {}", v.law, v.what));
    for (auto& text : total_.histories)
      say(text);
    for (auto& [law, n] : shown)
      faults.push_back(fmt::format("{} violations of {}", n, law));
    for (auto& f : faults)
      say("FAILED: " + f);
    if (interrupted != 0)
      say(fmt::format("interrupted by signal {}: the last round was not judged", static_cast<int>(interrupted)));
    if (!faults.empty() || options_.keep) {
      folder_.keep();
      say(fmt::format("kept for you: {} (record of every operation, logs of every process)", folder_.path()));
    }
    fmt::print("chaos: ops={} unknown={} kills={} pauses={} partitions={} expired_grants={} lost={} settled_twice={} "
               "sql_effects_doubled={}\n",
               ops_, unknown_, harm.kills, harm.pauses, harm.partitions, total_.expired_grants, total_.lost, total_.settled_twice,
               total_.sql_effects_doubled);
    return faults.empty() && interrupted == 0 ? 0 : 1;
  }

  static constexpr std::uint64_t disk_bytes_ = 512u << 20;

  run_options options_;
  run_folder& folder_;
  clock::time_point began_;
  std::unique_ptr<record> record_;
  cast cast_;
  nemesis nemesis_;
  hub_api admin_;
  std::mt19937_64 random_;
  int round_ = 0;
  milliseconds performed_{};
  std::uint64_t ops_ = 0, failed_ = 0, unknown_ = 0;
  verdict total_;
};

int usage(const std::string& why) {
  fmt::print(stderr,
             "{}\nusage: sallyport_chaos [--minutes M] [--seed S] [--rate EVENTS_PER_SECOND] [--keep] [--without-inbox]\n", why);
  return 2;
}

int main_of(const std::vector<std::string>& words) {
  run_options o;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto value = [&] {
      if (++i == words.size())
        throw std::invalid_argument(words[i - 1] + " needs a value");
      return words[i];
    };
    if (words[i] == "--minutes")
      o.minutes = std::stod(value());
    else if (words[i] == "--seed")
      o.seed = std::stoull(value());
    else if (words[i] == "--rate")
      o.rate = std::stod(value());
    else if (words[i] == "--keep")
      o.keep = true;
    else if (words[i] == "--without-inbox")
      o.inbox = false;
    else
      return usage("what is " + words[i] + "?");
  }
  if (o.minutes <= 0 || o.minutes > 24 * 60 || o.rate <= 0)
    return usage("minutes are above 0 and at most a day, the rate is above 0");
  // What we mount is seen by us and our children alone, and is gone with the last of us.
  if (::unshare(CLONE_NEWNS) == 0)
    ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  struct sigaction action {};
  action.sa_handler = [](int number) { interrupted = number; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  fmt::print("chaos: {} minutes of load and harm, seed {}\n", o.minutes, o.seed);
  run_folder folder(o.seed);
  run r(o, folder);
  return r.perform();
}

} // namespace

} // namespace sallyport::chaos

int main(int argc, char** argv) {
  try {
    return sallyport::chaos::main_of({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "chaos: %s\n", e.what());
    return 2;
  }
}
