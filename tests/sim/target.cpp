#include "tests/sim/target.hpp"

#include "protocol/probe.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

using namespace adapters;
using sql::execution;
using sql::sql_failure;
using kind = sql::step::kind;

namespace {

sql::settings one_statement() {
  sql::settings s;
  s.path = "/sim";
  s.statements["keep"] = {
    "INSERT INTO kept (id, fence) VALUES (:id, :fence)", sql::result_kind::row, false, {{"id", "id"}, {"fence", "$fence"}}};
  s.default_statement = "keep";
  return s;
}

} // namespace

target::target(stage& s, history& h) : stage_(s), history_(h), statements_(*sql::catalog::make(one_statement())) {}

/// What may go wrong at a statement, or at the commit.
std::optional<execution> target::stumble(bool commit) {
  if (down)
    return execution{execution::end::aborted, {}, {sql_failure::kind::lost, {}, "the database went away"}};
  if (healthy || !stage_.one_in(commit ? 25 : 40))
    return std::nullopt;
  if (commit) // Carried out or not: its answer does not come.
    return execution{execution::end::unknown, {}, {sql_failure::kind::lost, {}, "the connection broke"}};
  switch (stage_.below(5)) {
    case 0: return execution{execution::end::aborted, {}, {sql_failure::kind::lost, {}, "the connection broke"}};
    case 1: return execution{execution::end::aborted, {}, {sql_failure::kind::refused, "5", "database is locked"}};
    case 2: return execution{execution::end::aborted, {}, {sql_failure::kind::refused, "19", "constraint failed"}};
    default: return execution{execution::end::aborted, {}, {sql_failure::kind::refused, "1", "no such table"}};
  }
}

void target::publish(const std::vector<judge::effect>& effects) {
  for (auto& e : effects)
    history_.committed.push_back(e);
}

execution target::execute(const sql::transaction& t, const std::string& agent) {
  // Inside a transaction, changes are kept apart until the commit; a statement outside of one is there at once.
  std::map<key, row> inbox = inbox_;
  std::vector<judge::effect> effects;
  std::vector<bool> known(t.items.size());
  std::vector<std::string> results(t.items.size());
  bool inside = false;
  bool committed = false;
  for (auto& step : t.steps) {
    auto fault = stumble(step.what == kind::commit);
    if (fault && fault->ended == execution::end::aborted) {
      if (committed)
        fault->ended = execution::end::unknown;
      return *std::move(fault);
    }
    const auto place = [&] { return key{t.items[step.item].source, t.items[step.item].id}; };
    switch (step.what) {
      case kind::begin: inside = true; break;
      case kind::claim_inbox: {
        auto& rows = inside ? inbox : inbox_;
        auto [it, fresh] = rows.try_emplace(place());
        known[step.item] = !fresh;
        if (!fresh) {
          SALLYPORT_MARK(inbox_knew);
          results[step.item] = it->second.result;
        }
        break;
      }
      case kind::run: {
        if (known[step.item])
          break;
        auto& w = t.items[step.item];
        results[step.item] = fmt::format("{{\"fence\":\"{}\"}}", to_string(w.fence));
        effects.push_back({w.message, w.fence, w.id, agent, stage_.steps()});
        break;
      }
      case kind::keep_result: (inside ? inbox : inbox_)[place()].result = results[step.item]; break;
      case kind::commit:
        inside = false;
        if (fault && stage_.one_in(2))
          return *std::move(fault); // Not carried out, and nobody knows.
        inbox_ = inbox;
        publish(effects);
        effects.clear();
        committed = true;
        if (fault)
          return *std::move(fault);
        break;
    }
  }
  execution how;
  how.ended = execution::end::committed;
  how.results = std::move(results);
  return how;
}

void target::run(sql::transaction t, const std::string& agent, std::vector<wire::settlement>& out) {
  const auto how = execute(t, agent);
  if (how.ended == execution::end::aborted && t.items.size() > 1 && worth_trying_alone(sql::backend_kind::sqlite, how.why)) {
    for (auto& item : t.items)
      run(sql::make_transaction({item}, t.queue, true), agent, out);
    return;
  }
  for (std::size_t i = 0; i < t.items.size(); ++i) {
    auto& s = out[t.items[i].job];
    if (how.ended == execution::end::committed) {
      s.outcome = wire::outcome_kind::done;
      s.result = how.results[i];
      continue;
    }
    const auto f = classify(sql::backend_kind::sqlite, how, "keep");
    s.outcome = wire::outcome_kind::failed;
    s.error = f.error, s.scope = f.scope, s.retryable = f.retryable, s.effect = f.effect;
  }
}

std::vector<wire::settlement> target::perform(const std::string& agent, const std::vector<attempt>& batch) {
  std::vector<wire::settlement> out(batch.size());
  std::vector<sql::work> works;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto& [grant, event] = batch[i];
    out[i].message = grant.message, out[i].fence = grant.fence;
    job j;
    j.message = grant.message, j.fence = grant.fence, j.connection = grant.connection, j.group.value = "plant";
    j.attempt = grant.attempt, j.attributes = event, j.event = grant.event;
    works.push_back(std::get<sql::work>(sql::plan_work(statements_, j, i)));
  }
  for (auto& t : sql::plan_transactions(std::move(works), "plant/erp", true, 64))
    run(std::move(t), agent, out);
  return out;
}

} // namespace sallyport::sim
