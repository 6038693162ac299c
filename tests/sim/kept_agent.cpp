#include "tests/sim/kept_agent.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sallyport::sim {

using namespace cloud;
using namespace runtime;

namespace {

constexpr milliseconds timeout{3'000};
constexpr std::size_t workers = 3;
constexpr std::size_t batch_max = 4;

/// What a transport would have said.
template <class Reply>
result<Reply> reply_of(const std::optional<answer>& a) {
  if (!a)
    return {errc::timed_out, "no answer in time"};
  if (auto* e = std::get_if<error>(&*a))
    return *e;
  if (auto* r = std::get_if<Reply>(&*a))
    return *r;
  return {errc::protocol_violation, "another kind of answer"};
}

} // namespace

void kept_agent::begin() {
  opening_ = 0;
  highest_epoch_ = {};
  start_unit();
}

void kept_agent::end() {
  ++unit_;
  keeper_.reset(), lanes_.reset(), leases_.reset();
  session_ = {};
  running_.clear(), unconfirmed_.clear(), ids_.clear();
}

void kept_agent::crash_a_part() {
  if (!up_)
    return;
  stage_.say(name_ + "'s session unit fails and is restarted");
  ++history_.crashes;
  opening_ = keeper_->opening();
  highest_epoch_ = keeper_->highest_epoch();
  start_unit();
}

void kept_agent::start_unit() {
  ++unit_;
  session_settings s;
  s.group.value = "plant", s.agent.value = name_, s.id.value = "id-" + name_;
  s.process = process_, s.opening = opening_, s.highest_epoch = highest_epoch_, s.version = "sim";
  s.request_timeout = timeout;
  s.reconnect_min = milliseconds{50}, s.reconnect_max = milliseconds{1'000};
  keeper_.emplace(s, stage_.roll());
  lane_settings l;
  l.connections = {{"erp"}};
  l.max_messages = 8, l.wait = milliseconds{2'000}, l.spare_wait = milliseconds{500};
  l.gather = milliseconds{20}, l.gather_from = 1; // Few messages are under way here, and answers come slower than on a network.
  lanes_.emplace(l, stage_.roll());
  lease_settings m;
  m.connections = {{{"erp"}, "sim", wire::effect_promise::exactly_once, "sim://", false, 32}};
  m.life = unit_;
  leases_.emplace(m, stage_.roll());
  lease_keeper::host_hello hello{workers, batch_max, {}, {}};
  for (auto& [id, batch] : running_)
    hello.running.push_back(batch);
  for (auto& [id, outcomes] : unconfirmed_)
    hello.unconfirmed.push_back(outcomes);
  carry(leases_->host_joined(0, hello, now()));
  carry(leases_->host_state(0, wire::reach::up, "", now()));
  carry(keeper_->start(now()));
  wake(); // Nothing was begun yet: there is no session.
}

void kept_agent::wake() {
  const auto at = std::min({keeper_->next_wake(), lanes_->next_wake(), leases_->next_wake()});
  if (at == mono_time::max())
    return;
  later(std::max(milliseconds{1}, at - now()), [this, unit = unit_, turn = ++wakes_] {
    if (unit != unit_ || turn != wakes_)
      return; // Another wake was planned since.
    carry(keeper_->tick(now()));
    if (unit == unit_)
      carry(lanes_->tick(now()));
    if (unit == unit_)
      carry(leases_->tick(now()));
    if (unit == unit_)
      wake();
  });
}

void kept_agent::carry(session_keeper::actions what) {
  const auto unit = unit_;
  const auto answered = [this, unit](auto then) {
    return [this, unit, then](std::optional<answer> a) {
      if (unit != unit_)
        return;
      then(a);
      if (unit == unit_)
        wake();
    };
  };
  for (auto& one : what) {
    if (unit != unit_)
      return;
    if (auto* p = std::get_if<presence_ask>(&one)) {
      if (p->opening)
        carry(lanes_->ended());
      carry(keeper_->on(leases_->presence_for(*p), now()));
    } else if (auto* o = std::get_if<send_open>(&one)) {
      ask(ask::open{o->body, true}, o->timeout,
          answered([this](auto& a) { carry(keeper_->opened(reply_of<wire::session_opened>(a), now())); }));
    } else if (auto* h = std::get_if<send_heartbeat>(&one)) {
      ask(ask::beat{h->session, h->body}, h->timeout, answered([this, session = h->session](auto& a) {
            carry(keeper_->heard(session, reply_of<wire::heartbeat_reply>(a), now()));
          }));
    } else if (auto* started = std::get_if<session_started>(&one)) {
      session_ = started->session;
      stage_.say(fmt::format("{} has session {}, {} lost", name_, to_string(session_), started->lost.size()));
      carry(leases_->started(*started, now()));
      if (unit == unit_) // What it began may have been the end of it.
        carry(lanes_->opened(started->session, now()));
      if (unit == unit_)
        carry(lanes_->room(leases_->room(), now()));
    } else if (auto* d = std::get_if<deadline_moved>(&one)) {
      carry(leases_->deadline(d->deadline, now()));
    } else if (std::holds_alternative<session_over>(one)) {
      carry(lanes_->ended());
    } else if (auto* lost = std::get_if<fences_lost>(&one)) {
      carry(leases_->lost(lost->grants, now()));
    } else if (auto* taken = std::get_if<session_taken>(&one)) {
      history_.violate("replaced_is_silent", name_ + " was told to stop, and nobody has its place: " + taken->why);
    }
  }
}

void kept_agent::carry(claim_lanes::actions what) {
  const auto unit = unit_;
  for (auto& one : what) {
    if (unit != unit_)
      return;
    if (auto* c = std::get_if<send_claim>(&one)) {
      send(*c);
    } else if (auto* g = std::get_if<grant_batch>(&one)) {
      for (auto& grant : g->grants) {
        auto event = parse_event(*grant.event, {});
        SALLYPORT_ASSERT(event.ok());
        grant.partition_key = event->attributes.partition_key;
        if (ids_.emplace(grant.fence, event->attributes.id).second)
          seen(grant, event->attributes.id);
      }
      carry(leases_->granted(std::move(*g), now()));
    }
  }
}

void kept_agent::send(const send_claim& c) {
  const auto sent_at = now();
  ask(ask::claim{c.session, c.body}, timeout + c.body.wait, [this, unit = unit_, c, sent_at](std::optional<answer> a) {
    if (unit != unit_)
      return;
    auto reply = reply_of<wire::claim_reply>(a);
    const auto failure = reply ? std::optional<error>{} : std::optional{reply.err()};
    carry(keeper_->answered(c.session, failure ? &*failure : nullptr, sent_at, true, now()));
    if (unit != unit_)
      return;
    carry(lanes_->answered(c, std::move(reply), now()));
    if (unit == unit_)
      wake();
  });
}

void kept_agent::settle(const std::shared_ptr<const std::vector<wire::settlement>>& items) {
  const auto sent_at = now();
  ask(ask::settle{session_, {{"id-" + name_}, *items}}, timeout,
      [this, unit = unit_, items, sent_at, session = session_](std::optional<answer> a) {
        if (unit != unit_)
          return;
        auto reply = reply_of<wire::settle_reply>(a);
        if (reply)
          for (std::size_t i = 0; i < reply->items.size(); ++i) {
            auto& v = reply->items[i];
            auto& item = (*items)[i];
            history_.verdicts.push_back(
              {name_, v.message, v.fence, item.outcome, item.scope, v.kind, v.outcome, v.state, stage_.steps()});
            stage_.say(fmt::format("{} settled {} fence {} {}: {}", name_, to_string(v.message), to_string(v.fence),
                                   wire::to_string(item.outcome), wire::to_string(v.kind)));
          }
        const auto failure = reply ? std::optional<error>{} : std::optional{reply.err()};
        carry(keeper_->answered(session, failure ? &*failure : nullptr, sent_at, false, now()));
        if (unit != unit_)
          return;
        carry(leases_->settled(reply, now()));
        if (unit == unit_)
          wake();
      });
}

void kept_agent::carry(lease_keeper::actions what) {
  const auto unit = unit_;
  for (auto& one : what) {
    if (unit != unit_)
      return;
    if (auto* d = std::get_if<lease::dispatch>(&one))
      perform(d->jobs);
    else if (auto* s = std::get_if<lease::settle>(&one))
      settle(s->items);
    else if (auto* c = std::get_if<lease::confirm>(&one))
      for (auto& id : c->batches)
        unconfirmed_.erase(id);
    else if (std::holds_alternative<lease::announce>(one))
      carry(keeper_->beat_soon(now()));
    else if (std::holds_alternative<lease::room_changed>(one))
      carry(lanes_->room(leases_->room(), now()));
  }
}

void kept_agent::perform(const std::shared_ptr<const job_batch>& jobs) {
  // A host looks at the time itself: between the order and the start a process may have stood still.
  if (now() >= jobs->start_before) {
    auto back = std::make_shared<outcome_batch>();
    back->id = jobs->id;
    for (auto& g : jobs->grants)
      back->items.push_back(give_back(g.message, g.fence));
    unconfirmed_[back->id] = back;
    return carry(leases_->ended(*back, now()));
  }
  for (auto& g : jobs->grants)
    if (!poison.empty() && ids_[g.fence] == poison && !healthy)
      return crash();
  for (auto& g : jobs->grants)
    began(g, ids_[g.fence]);
  running_[jobs->id] = {jobs, now()};
  later(effort(), [this, jobs] { finish(jobs); });
}

void kept_agent::finish(const std::shared_ptr<const job_batch>& jobs) {
  if (running_.erase(jobs->id) == 0)
    return;
  auto outcomes = std::make_shared<outcome_batch>();
  outcomes->id = jobs->id;
  outcomes->crashed = !healthy && stage_.one_in(60);
  if (outcomes->crashed)
    for (auto& g : jobs->grants)
      outcomes->items.push_back(
        settle_crashed({g.message, g.fence}, wire::effect_promise::exactly_once, jobs->grants.size(), "crashed"));
  else
    outcomes->items = attempt(jobs->grants);
  unconfirmed_[outcomes->id] = outcomes;
  const auto unit = unit_;
  carry(leases_->ended(*outcomes, now()));
  if (unit == unit_)
    wake();
}

} // namespace sallyport::sim
