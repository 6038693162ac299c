// W8: events into PostgreSQL. Sallyport's sql adapter does it exactly once; beside it the peers with a plain at-least-once consumer.
#include "bench/workloads/scenes.hpp"
#include "bench/workloads/turns.hpp"
#include "bench/workloads/workloads.hpp"

#include "tests/support/postgres.hpp"

#include <algorithm>
#include <optional>

namespace sallyport::bench {

namespace {

void measure_sql(const plan& p, findings& f) {
  const std::uint64_t messages = p.quick ? 40'000 : 200'000;
  const std::size_t rounds = p.quick ? 1 : p.rounds;
  std::optional<testing::postgres_server> target;
  std::string database;
  try {
    // Its own defaults (it syncs every commit), but for memory and log that a server of this use would be given.
    std::filesystem::permissions(p.folder, std::filesystem::perms::others_exec, std::filesystem::perm_options::add);
    target.emplace(std::vector<std::string>{"shared_buffers=128MB", "max_wal_size=2GB"},
                   p.folder); // On the same disk as all the others.
    database = target->create_database();
    target->run(database, "CREATE TABLE effects (id text, body text)");
  } catch (const std::exception& e) {
    f.notes.push_back(std::string("W8: no PostgreSQL to write to: ") + e.what());
    return;
  }
  const auto conninfo = target->conninfo(database);
  const auto ask = [&](const std::string& sql) { return target->run(database, sql); };
  const auto commits = [&] {
    return std::stod(ask("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"));
  };
  turns all(p, f, "W8");
  all.enter_all();
  for (std::size_t round = 1; round <= rounds; ++round)
    all.each("round " + std::to_string(round), [&](turns::entry& e) {
      const auto& what = *e.what;
      ask("TRUNCATE effects");
      if (ask("SELECT to_regclass('sallyport_inbox')") != "")
        ask("TRUNCATE sallyport_inbox");
      ask("CHECKPOINT"); // Whoever comes next does not pay for what the one before left dirty.
      run_spec spec;
      spec.messages = messages;
      spec.database = conninfo;
      spec.take = 256;
      spec.window = 1024; // A batch lasts as long as a sync: with two on their way to a consumer, it would wait for the next.
      const auto commits_before = commits();
      const auto before = cpu_of(family_of(target->pid()));
      const auto went = all.run(e, spec);
      // Its backends tell of their commits when they end.
      (void)wait_until([&] { return ask("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == "1"; },
                       std::chrono::seconds(5));
      const auto database_cpu = cpu_of(family_of(target->pid())) - before;
      const auto add = [&](const char* name, const char* unit, bool more, double value) {
        f.add({.workload = "W8", .system = what.name, .what = name, .unit = unit, .more_is_better = more}, value);
      };
      const auto per_message_us = [&](double seconds) { return seconds * 1e6 / static_cast<double>(messages); };
      add("throughput", "msg/s", true, went.rate());
      add("CPU, all with the database", "us/msg", false, per_message_us(went.cpu.all() + database_cpu));
      add("CPU, server", "us/msg", false, per_message_us(went.cpu.server));
      add("CPU, producer", "us/msg", false, per_message_us(went.cpu.producers));
      add("CPU, consumers", "us/msg", false, per_message_us(went.cpu.consumers));
      add("CPU, database", "us/msg", false, per_message_us(database_cpu));
      add("messages per transaction", "messages", true,
          static_cast<double>(messages) / std::max(1.0, commits() - commits_before));
      const auto rows = std::stoull(ask("SELECT count(*) FROM effects")),
                 distinct = std::stoull(ask("SELECT count(DISTINCT id) FROM effects"));
      add("effects that are there twice", "rows", false, static_cast<double>(rows - distinct));
      if (distinct != messages || (what.package.empty() && rows != messages))
        f.notes.push_back("W8, " + what.name + ": " + std::to_string(messages) + " messages left " + std::to_string(rows)
                          + " rows of " + std::to_string(distinct) + " different messages");
    });

  const auto rate_of = [&](const system& s) {
    const auto* m = f.find("W8", s.name, "", "throughput");
    return m != nullptr ? median(m->rounds) : 0;
  };
  double ours = 0, best = 0, best_durable = 0;
  std::string best_name, best_durable_name;
  for (const auto* s : p.chosen) {
    const auto rate = rate_of(*s);
    if (s->package.empty()) {
      ours = rate;
      continue;
    }
    if (rate > best)
      best = rate, best_name = s->title;
    if (s->durable && rate > best_durable)
      best_durable = rate, best_durable_name = s->title;
  }
  if (ours > 0 && best > 0)
    f.targets.push_back(
      {"W8", "at least 2 x the plain at-least-once consumer of the best peer (" + best_name + ")", 2, ours / best, true});
  if (ours > 0 && best_durable > 0 && best_durable_name != best_name)
    f.targets.push_back(
      {"W8", "the same against the best durable peer (" + best_durable_name + ")", 2, ours / best_durable, true});
}

} // namespace

workload sql_workload() {
  workload w;
  w.name = "W8";
  w.title = "Real work: events into PostgreSQL";
  w.text = "Every event (1 KiB) becomes a row of one table: its id and its data, as text, without an index. One "
           "producer, two consumers, as in W1, but with up to 1,024 events on their way to each consumer, because a "
           "batch lasts as long as a sync. The database is a PostgreSQL of its own on the same machine, which syncs "
           "every commit; it is emptied before each round. Sallyport's sql adapter writes an inbox row per message "
           "in the same transaction, so that the effect happens exactly once; the peers' consumers are plain and at "
           "least once: batches of 256, one transaction of one statement per batch with one array per column in "
           "binary form (as fast here as COPY, and one round trip less), acknowledged after its commit. After each "
           "round the rows are counted. CPU is user and system time of all processes concerned.";
  w.measure = measure_sql;
  w.drawn = {"throughput", "CPU, all with the database"};
  return w;
}

} // namespace sallyport::bench
