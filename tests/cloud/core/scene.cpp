#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

scene::scene() {
  settings.policy.backoff_min = milliseconds{1000};
  start({1});
  get<configured>(ask::configure{plant, erp, {}});
}

void scene::start(epoch_number at_least) {
  store = std::make_unique<memory_store>(disk);
  auto opened = store->open(at_least);
  ASSERT_TRUE(opened.ok());
  if (!core)
    core = std::make_unique<shard>(settings);
  core->reopened(*opened);
  auto replayed = store->replay([&](std::string_view key, std::string_view value) { ASSERT_TRUE(core->restore(key, value)); });
  ASSERT_TRUE(replayed.ok());
  core->started(now);
}

void scene::restart() {
  store->close();
  core = nullptr; // A killed process keeps nothing.
  under_way.reset();
  commits = true;
  start({});
  pump();
}

void scene::pump() {
  for (bool more = true; more;) {
    more = false;
    for (auto& d : core->take_duties()) {
      more = true;
      if (auto* r = std::get_if<duty::reply>(&d))
        answers.emplace(r->to.value, std::move(r->what));
      else if (auto* a = std::get_if<duty::append>(&d))
        under_way = std::move(*a);
      else if (auto* o = std::get_if<duty::reopen>(&d)) {
        store->close();
        under_way.reset();
        start(o->at_least);
      } else if (auto* s = std::get_if<duty::stop>(&d))
        stops.push_back(s->why);
      else if (auto* a2 = std::get_if<duty::alarm>(&d))
        alarms.push_back(a2->what);
    }
    if (under_way && commits) {
      auto append = std::move(*under_way);
      under_way.reset();
      core->appended(store->append(append.epoch, append.tail, append.changes), now);
      more = true;
    }
  }
}

void scene::pass(milliseconds span) {
  for (; span.count() > 0; span -= milliseconds{250}) {
    const auto step = std::min(span, milliseconds{250});
    now.mono += step, now.wall += step;
    core->tick(now);
    pump();
  }
}

void scene::leap(milliseconds span) {
  now.mono += span, now.wall += span;
  core->tick(now);
  pump();
}

ticket scene::submit(decltype(command::what) what, std::optional<group_scope> scope) {
  const ticket t{next_ticket_++};
  core->submit(t, {scope.value_or(group_scope{true, {}}), 42, std::move(what)}, now);
  pump();
  return t;
}

std::optional<answer> scene::take(ticket t) {
  auto found = answers.find(t.value);
  if (found == answers.end())
    return std::nullopt;
  auto a = std::move(found->second);
  answers.erase(found);
  return a;
}

event_item scene::event(const std::string& id, const std::string& data, const std::string& key) {
  event_item item;
  item.attributes.id = id, item.attributes.source = "/test", item.attributes.type = "t", item.attributes.partition_key = key;
  item.bytes = std::make_shared<const std::string>("{\"id\":\"" + id + "\",\"data\":" + data + "}");
  item.content = content_digest(*item.bytes);
  return item;
}

std::vector<message_id> scene::enqueue_events(std::vector<event_item> items, connection_name to) {
  std::vector<message_id> ids;
  for (auto& m : get<wire::enqueue_reply>(ask::enqueue{plant, std::move(to), std::move(items)}).messages)
    ids.push_back(m.message);
  return ids;
}
std::vector<message_id> scene::enqueue_all(const std::vector<std::string>& ids) {
  std::vector<event_item> items;
  for (auto& id : ids)
    items.push_back(event(id));
  return enqueue_events(std::move(items));
}

ask::open scene::opening_of(const opening& o) {
  ask::open a;
  a.body.group = plant, a.body.agent.value = o.agent, a.body.id.value = o.id.empty() ? "id-" + o.agent : o.id;
  a.body.life = {o.process, o.turn}, a.body.held = o.held, a.body.highest_epoch.value = o.highest_epoch;
  for (auto& c : o.connections)
    a.body.connections.push_back({{c}, "null", wire::effect_promise::idempotent, o.fingerprint, o.state, {}});
  return a;
}

ask::claim scene::claim_of(session_id s, const asked_claim& c) const {
  ask::claim a{s, {{c.lane}, c.seq, c.most, c.bytes, c.wait, {}}};
  for (auto& name : c.connections)
    a.body.connections.push_back({{name}, c.most});
  return a;
}

wire::settlement scene::done(const wire::grant& g, std::string result) {
  wire::settlement s;
  s.message = g.message, s.fence = g.fence, s.result = std::move(result);
  return s;
}
wire::settlement scene::failed(const wire::grant& g, bool retryable, wire::failure_scope scope) {
  wire::settlement s;
  s.message = g.message, s.fence = g.fence, s.outcome = wire::outcome_kind::failed;
  s.retryable = retryable, s.scope = scope, s.error = "no luck";
  return s;
}
wire::settlement scene::release(const wire::grant& g) {
  wire::settlement s;
  s.message = g.message, s.fence = g.fence, s.outcome = wire::outcome_kind::release;
  return s;
}
std::vector<wire::verdict> scene::settle(session_id s, std::vector<wire::settlement> items, const std::string& agent) {
  auto expected = items.size();
  auto got = get<wire::settle_reply>(ask::settle{s, {{"id-" + agent}, std::move(items)}}).items;
  EXPECT_EQ(got.size(), expected);
  got.resize(expected);
  return got;
}
wire::heartbeat_reply scene::beat(session_id s, const std::vector<wire::grant>& held) {
  held_summary summary;
  for (auto& g : held)
    summary.add(g.fence);
  return get<wire::heartbeat_reply>(ask::beat{s, {{}, summary.count(), summary.hash(), {}}});
}

std::string scene::told(message_id m) {
  std::string line;
  for (auto& e : look(m).history)
    line += (line.empty() ? "" : " ") + e.what + (e.agent.empty() ? "" : "(" + e.agent + ")");
  return line;
}

} // namespace sallyport::cloud::test
