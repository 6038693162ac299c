#include "tests/sim/agent.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

using namespace cloud;

namespace {
const group_name plant{"plant"};
const connection_name erp{"erp"};
constexpr milliseconds timeout{3'000};
constexpr std::size_t window = 16;

} // namespace

void agent::later(milliseconds wait, std::function<void()> what) {
  stage_.after(wait, [this, life = life_, what = std::move(what)] {
    if (life != life_)
      return;
    if (stage_.now().mono < paused_until_)
      return later(paused_until_ - stage_.now().mono + milliseconds{1}, what);
    what();
  });
}

void agent::ask(decltype(command::what) what, milliseconds limit, std::function<void(std::optional<answer>)> done) {
  net.send(std::move(what), limit, [this, life = life_, done = std::move(done)](std::optional<answer> a) {
    if (life == life_)
      later(milliseconds{0}, [done, a = std::move(a)] { done(a); });
  });
}

void agent::start() {
  ++life_, ++process_;
  up_ = true;
  stage_.say(fmt::format("{} starts, incarnation {}", name_, process_));
  begin();
}

void agent::crash() {
  stage_.say(name_ + " dies");
  ++history_.crashes;
  ++life_;
  up_ = false;
  end();
}

void agent::pause(milliseconds how_long) {
  stage_.say(fmt::format("{} stands still for {} ms", name_, how_long.count()));
  paused_until_ = stage_.now().mono + how_long;
  ++history_.faults;
}

void agent::seen(const wire::grant& g, const std::string& id) {
  stage_.say(fmt::format("{} is granted {} ({}) fence {}", name_, to_string(g.message), id, to_string(g.fence)));
  history_.grants.push_back({name_, g.message, g.fence, stage_.steps()});
}

void agent::began(const wire::grant& g, const std::string& id) {
  stage_.say(fmt::format("{} begins {} ({})", name_, to_string(g.message), id));
  history_.started.push_back({g.message, g.fence, id, name_, stage_.steps()});
}

std::vector<wire::settlement> agent::attempt(const std::vector<wire::grant>& grants) {
  std::vector<target::attempt> batch;
  for (auto& g : grants) {
    auto event = parse_event(*g.event, {});
    SALLYPORT_ASSERT(event.ok());
    batch.push_back({g, std::move(event->attributes)});
  }
  auto outcomes = target_.perform(name_, batch);
  for (auto& s : outcomes)
    if (s.outcome == wire::outcome_kind::failed && !healthy && stage_.one_in(10)) { // It was told to stop half-way.
      s = {s.message, s.fence};
      s.outcome = wire::outcome_kind::release, s.started = true;
    }
  return outcomes;
}

// ---- by hand -----------------------------------------------------------------------------------------------------------------

void plain_agent::begin() {
  careless_ = stage_.one_in(3);
  if (careless_)
    history_.careless.insert(name_);
  opening_ = 0;
  open();
}

void plain_agent::end() {
  opening_now_ = settling_ = list_wanted_ = false;
  session_.reset();
  held_.clear();
  lanes_.clear();
  deadline_ = {};
}

void plain_agent::open() {
  if (opening_now_ || session_)
    return;
  opening_now_ = true;
  ++opening_;
  ask::open o;
  o.body.group = plant, o.body.agent.value = name_, o.body.id.value = "id-" + name_;
  o.body.life = {process_, opening_};
  o.body.highest_epoch = highest_epoch_;
  o.body.connections.push_back({erp, "sim", wire::effect_promise::exactly_once, "sim://", wire::reach::up, {}});
  for (auto& [fence, h] : held_)
    if (!h.lost)
      o.body.held.push_back({h.grant.message, fence});
  const auto sent = stage_.now().mono;
  ask(std::move(o), timeout, [this, sent](std::optional<answer> a) {
    opening_now_ = false;
    if (a)
      if (auto* reply = std::get_if<wire::session_opened>(&*a)) {
        ttl_ = reply->ttl;
        deadline_ = {};
        heard(sent);
        return opened(*reply);
      }
    later(stage_.between(50, 500), [this] { open(); });
  });
}

void plain_agent::opened(const wire::session_opened& o) {
  session_ = o.session;
  highest_epoch_ = std::max(highest_epoch_, o.epoch);
  stage_.say(fmt::format("{} has session {}, {} lost", name_, to_string(o.session), o.lost.size()));
  drop(o.lost);
  lanes_ = {{fmt::format("l{}", stage_.roll()), 0, false}, {fmt::format("l{}", stage_.roll()), 0, false}};
  beat();
  claim(0), claim(1);
  work();
  settle();
}

void plain_agent::lose_session() {
  session_.reset();
  later(stage_.between(1, 100), [this] { open(); });
}

void plain_agent::beat() {
  if (!session_)
    return;
  wire::heartbeat h;
  held_summary summary;
  for (auto& [fence, one] : held_)
    if (!one.lost)
      summary.add(fence);
  h.held_count = summary.count(), h.held_hash = summary.hash();
  if (std::exchange(list_wanted_, false)) {
    h.list.emplace();
    for (auto& l : lanes_)
      h.list->lanes.push_back({{l.name}, l.asking ? l.seq - 1 : l.seq});
    for (auto& [fence, one] : held_)
      if (!one.lost)
        h.list->held.push_back({one.grant.message, fence});
  }
  const auto sent = stage_.now().mono;
  ask(ask::beat{*session_, std::move(h)}, timeout, [this, sent, session = *session_](std::optional<answer> a) {
    if (session_ != session)
      return;
    if (a) {
      if (auto* e = std::get_if<error>(&*a);
          e && (e->code == errc::session_expired || e->code == errc::unknown_session || e->code == errc::session_replaced))
        return lose_session();
      if (auto* reply = std::get_if<wire::heartbeat_reply>(&*a)) {
        heard(sent);
        highest_epoch_ = std::max(highest_epoch_, reply->epoch);
        drop(reply->lost);
        if (!reply->commands.empty()) {
          list_wanted_ = true;
          return beat();
        }
      }
    }
    later(ttl_ / 4, [this, session] {
      if (session_ == session)
        beat();
    });
  });
}

void plain_agent::drop(const std::vector<wire::held_grant>& lost) {
  for (auto& l : lost)
    if (auto found = held_.find(l.fence); found != held_.end()) {
      if (found->second.running)
        found->second.lost = true; // It finishes: the target's inbox keeps it harmless.
      else if (!found->second.outcome)
        held_.erase(found);
    }
}

void plain_agent::claim(std::size_t which) {
  auto& l = lanes_[which];
  if (!session_ || l.asking || held_.size() >= window)
    return;
  l.asking = true;
  ++l.seq;
  const auto credit = static_cast<std::uint32_t>(1 + stage_.below(window));
  repeat({*session_, {{l.name}, l.seq, credit, 1 << 20, stage_.between(0, 2'000), {{erp, credit}}}}, which);
}

void plain_agent::repeat(const cloud::ask::claim& c, std::size_t which) {
  const auto sent = stage_.now().mono;
  ask(c, timeout + c.body.wait, [this, c, which, sent](std::optional<answer> a) {
    if (session_ != c.session)
      return;
    auto* e = a ? std::get_if<error>(&*a) : nullptr;
    if (e && (e->code == errc::session_expired || e->code == errc::unknown_session || e->code == errc::session_replaced))
      return lose_session();
    if (!a || e) // The same seq until it is answered.
      return later(stage_.between(10, 200), [this, c, which] {
        if (session_ == c.session)
          repeat(c, which);
      });
    heard(sent);
    lanes_[which].asking = false;
    received(std::get<wire::claim_reply>(*a));
    later(stage_.between(0, 20), [this, which, s = c.session] {
      if (session_ == s)
        claim(which);
    });
  });
}

void plain_agent::received(const wire::claim_reply& reply) {
  for (auto& g : reply.grants) {
    auto event = parse_event(*g.event, {});
    SALLYPORT_ASSERT(event.ok());
    const auto id = event->attributes.id, key = event->attributes.partition_key;
    auto [found, fresh] = held_.try_emplace(g.fence, held{g, id, key});
    if (!fresh)
      continue; // Repeated.
    seen(g, id);
    for (auto& [fence, h] : held_) // A newer fence of the same message: the older is gone, whoever will say so.
      if (h.grant.message == g.message && fence < g.fence && !h.running)
        h.lost = true;
  }
  work();
}

void plain_agent::work() {
  std::set<std::string> busy; // Keys in execution, or ahead in line.
  for (auto& [fence, h] : held_) {
    const bool blocked = !h.key.empty() && !busy.insert(h.key).second;
    if (h.running || h.outcome || h.lost || blocked || !may_start())
      continue;
    perform(fence);
    if (!up_)
      return;
  }
}

void plain_agent::perform(fence_token fence) {
  auto& h = held_.at(fence);
  if (!poison.empty() && h.id == poison && !healthy)
    return crash();
  h.running = true;
  began(h.grant, h.id);
  later(effort(), [this, fence] { finish(fence); });
}

void plain_agent::finish(fence_token fence) {
  auto found = held_.find(fence);
  if (found == held_.end())
    return;
  auto& h = found->second;
  h.running = false;
  const auto s = attempt({h.grant}).front();
  if (!h.key.empty() && s.outcome != wire::outcome_kind::done && (!careless_ || healthy))
    for (auto& [f, other] : held_) // The rest of the key's run goes back with it.
      if (other.key == h.key && f != fence && !other.running && !other.outcome && fence < f) {
        wire::settlement back;
        back.message = other.grant.message, back.fence = f, back.outcome = wire::outcome_kind::release;
        other.outcome = back;
      }
  h.outcome = s;
  settle();
  work();
}

void plain_agent::settle() {
  if (settling_ || !session_)
    return;
  ask::settle s{*session_, {{"id-" + name_}, {}}};
  for (auto& [fence, h] : held_)
    if (h.outcome)
      s.body.items.push_back(*h.outcome);
  if (s.body.items.empty())
    return;
  settling_ = true;
  ask(s, timeout, [this, s](std::optional<answer> a) {
    settling_ = false;
    auto* reply = a ? std::get_if<wire::settle_reply>(&*a) : nullptr;
    if (!reply)
      return later(stage_.between(10, 300), [this] { settle(); });
    // Not heard(): settlements are answered for sessions that have ended as well.
    for (std::size_t i = 0; i < reply->items.size(); ++i) {
      auto& v = reply->items[i];
      auto& item = s.body.items[i];
      history_.verdicts.push_back(
        {name_, v.message, v.fence, item.outcome, item.scope, v.kind, v.outcome, v.state, stage_.steps()});
      stage_.say(fmt::format("{} settled {} fence {} {}: {}", name_, to_string(v.message), to_string(v.fence),
                             wire::to_string(item.outcome), wire::to_string(v.kind)));
      held_.erase(v.fence);
    }
    work();
    claim(0), claim(1);
    settle();
  });
}

} // namespace sallyport::sim
