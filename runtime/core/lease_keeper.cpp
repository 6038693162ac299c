#include "runtime/core/lease_keeper.hpp"

#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::runtime {

namespace {

constexpr connection_index nowhere = static_cast<connection_index>(-1);

// A settlement the hub will refuse each time it is repeated.
bool is_about_the_body(const error& e) {
  auto status = http_status(e.code);
  return (status == 400 || status == 413) && e.code != errc::invalid_config;
}

} // namespace

lease_keeper::lease_keeper(lease_settings settings, std::uint64_t seed)
  : settings_(std::move(settings)),
    chance_(seed),
    settle_items_now_(settings_.settle_items_max),
    settle_pause_(settings_.retry_min, settings_.retry_max) {
  SALLYPORT_ASSERT(settings_.settle_items_max > 0);
  for (const auto& c : settings_.connections)
    connections_.emplace_back(c.credit);
}

connection_index lease_keeper::index_of(const connection_name& name) const {
  for (connection_index i = 0; i < settings_.connections.size(); ++i)
    if (settings_.connections[i].name == name)
      return i;
  return nowhere;
}

// -- the session -----------------------------------------------------------------------------------------------------------------

presence lease_keeper::presence_for(const presence_ask& ask) {
  presence p;
  for (connection_index i = 0; i < connections_.size(); ++i) {
    const auto& about = settings_.connections[i];
    const auto& c = connections_[i];
    wire::announced_connection a;
    a.name = about.name;
    a.adapter = about.adapter;
    a.effect = about.effect;
    a.fingerprint = about.fingerprint;
    a.state = draining() ? wire::reach::down : c.state;
    a.detail = draining() ? "the agent is draining" : c.detail;
    p.connections.push_back(std::move(a));
  }
  if (!ask.opening) {
    // Summed up per heartbeat, not per message: the hash costs more than everything else that is done with a grant here.
    held_summary held;
    for (const auto& [fence, e] : entries_)
      if (!e.lost)
        held.add(fence);
    p.held_count = held.count();
    p.held_hash = held.hash();
    if (!ask.list)
      return p;
  }
  std::vector<wire::held_grant> held;
  held.reserve(entries_.size());
  for (const auto& [fence, e] : entries_)
    if (!e.lost)
      held.push_back({e.message, fence});
  if (ask.opening) {
    session_ = {};
    lanes_.clear();
    p.held = std::move(held);
  } else {
    auto& list = p.list.emplace();
    for (const auto& [lane, seq] : lanes_)
      list.lanes.push_back({lane, seq});
    list.held = std::move(held);
  }
  return p;
}

lease_keeper::actions lease_keeper::started(const session_started& session, mono_time now) {
  actions out;
  session_ = session.session;
  deadline_ = session.deadline;
  lease_was_good_ = now < deadline_;
  for (const auto& g : session.lost)
    lose(g.fence, now, out);
  settle_after_ = {};
  finish(now, out);
  return out;
}

lease_keeper::actions lease_keeper::deadline(mono_time until, mono_time now) {
  actions out;
  if (!session_.is_none()) {
    deadline_ = std::max(deadline_, until);
    lease_was_good_ = now < deadline_;
    finish(now, out);
  }
  return out;
}

lease_keeper::actions lease_keeper::lost(const std::vector<wire::held_grant>& grants, mono_time now) {
  actions out;
  for (const auto& g : grants)
    lose(g.fence, now, out);
  finish(now, out);
  return out;
}

void lease_keeper::lose(fence_token fence, mono_time now, actions& out) {
  auto at = entries_.find(fence);
  if (at == entries_.end() || at->second.lost)
    return;
  if (SALLYPORT_MUTANT(lost_fence_started) && at->second.at == phase::queued)
    return;
  auto& e = at->second;
  auto& c = connections_[e.connection];
  ++c.counters.lost;
  e.lost = true;
  if (e.at == phase::running) {
    SALLYPORT_MARK(agent_lost_running);
    if (settings_.connections[e.connection].cancel_when_lost)
      out.push_back(lease::cancel{e.connection, e.batch, {fence}, lease::cancel_reason::lost_lease});
    return;
  }
  if (e.at == phase::settling)
    return; // Its outcome is on its way and will be kept as evidence.
  const auto is_it = [fence](const waiting_grant& w) { return w.grant.fence == fence; };
  const auto message = e.message;
  const auto key = std::move(e.key);
  --c.queued;
  erase(at);
  if (auto in_ready = std::find_if(c.ready.begin(), c.ready.end(), is_it); in_ready != c.ready.end()) {
    c.ready.erase(in_ready);
  } else if (auto r = c.runs.find(key); r != c.runs.end()) {
    auto& rest = r->second.rest;
    auto it = std::find_if(rest.begin(), rest.end(), is_it);
    SALLYPORT_ASSERT(it != rest.end());
    // What is before it may go on; what is behind it returns with it.
    std::deque<waiting_grant> before{std::make_move_iterator(rest.begin()), std::make_move_iterator(it)};
    rest.erase(rest.begin(), it + 1);
    break_run(c, key, message, now);
    c.runs[key].rest = std::move(before);
    c.broken[key].answered_at = now;
    return;
  }
  if (!key.empty()) {
    break_run(c, key, message, now);
    c.broken[key].answered_at = now; // The hub took it: it knows.
  }
}

// -- from grant to work ----------------------------------------------------------------------------------------------------------

lease_keeper::actions lease_keeper::granted(grant_batch batch, mono_time now) {
  actions out;
  const bool current = !session_.is_none() && batch.session == session_;
  if (current) {
    auto& seq = lanes_[batch.lane];
    seq = std::max(seq, batch.seq);
  }
  for (auto& g : batch.grants) {
    const auto i = index_of(g.connection);
    if (i != nowhere)
      ++connections_[i].received;
    if (!current)
      continue; // The opening that followed did not name it, so the hub has taken it back.
    if (i == nowhere) {
      outbox_.push_back(runtime::give_back(g.message, g.fence));
      out.push_back(lease::remark{"the hub granted " + to_string(g.message)
                                  + " of a connection this agent does not have: " + g.connection.value});
      continue;
    }
    if (entries_.contains(g.fence))
      continue; // A repeated answer brings what we have.
    if (auto known = newest_.find(g.message); known != newest_.end()) {
      if (g.fence < known->second)
        continue; // An answer that was overtaken: the hub has taken this one back and granted it anew.
      const auto old = known->second;
      if (entries_.at(old).at != phase::settling) // Else it ended as it should, and only the answer is late.
        lose(old, now, out);                      // The notice of it was lost, or is on its way.
    }
    queue(std::move(g), batch.asked_at, now);
  }
  finish(now, out);
  return out;
}

void lease_keeper::queue(wire::grant g, mono_time asked_at, mono_time now) {
  const auto i = index_of(g.connection);
  auto& c = connections_[i];
  entry e;
  e.message = g.message;
  e.connection = i;
  e.key = g.partition_key;
  e.bytes = g.event ? g.event->size() : 0;
  held_bytes_ += e.bytes;
  entries_.emplace(g.fence, std::move(e));
  newest_[g.message] = g.fence;
  ++c.counters.granted;
  ++c.queued;
  c.window.holds(static_cast<std::uint32_t>(c.queued + c.running));
  waiting_grant w{std::move(g), now};
  if (drain_over_ || !takes_work(c) || belongs_to_broken_run(c, w.grant, asked_at))
    return give_back(w);
  if (w.grant.partition_key.empty()) {
    c.ready.push_back(std::move(w));
  } else if (auto [run, is_first] = c.runs.try_emplace(w.grant.partition_key); is_first) {
    c.ready.push_back(std::move(w));
  } else {
    run->second.rest.push_back(std::move(w));
  }
}

bool lease_keeper::belongs_to_broken_run(connection_state& c, const wire::grant& g, mono_time asked_at) {
  auto at = c.broken.find(g.partition_key);
  if (g.partition_key.empty() || at == c.broken.end())
    return false;
  auto& b = at->second;
  if (g.message <= b.head) {
    b.retried = g.fence;
    return false;
  }
  if (b.retried)
    return g.fence < *b.retried;
  if (!b.answered_at || asked_at <= *b.answered_at)
    return true;
  c.broken.erase(at);
  return false;
}

// The rest of the run returns: nothing of a key may overtake the message before it.
void lease_keeper::break_run(connection_state& c, const std::string& key, message_id head, mono_time now) {
  if (auto r = c.runs.find(key); r != c.runs.end()) {
    for (const auto& w : r->second.rest)
      give_back(w);
    c.runs.erase(r);
  }
  constexpr std::size_t many = 64;
  constexpr milliseconds longest_claim{120'000};
  if (c.broken.size() >= many)
    std::erase_if(c.broken, [&](const auto& b) { return b.second.answered_at && *b.second.answered_at + longest_claim < now; });
  c.broken[key] = {head, std::nullopt, std::nullopt};
}

void lease_keeper::give_back(const waiting_grant& w) {
  auto& e = entries_.at(w.grant.fence);
  auto& c = connections_[e.connection];
  SALLYPORT_ASSERT(e.at == phase::queued);
  e.at = phase::settling;
  --c.queued;
  ++c.settling;
  ++c.counters.released;
  outbox_.push_back(runtime::give_back(w.grant.message, w.grant.fence));
}

void lease_keeper::give_back_queued(connection_index i, mono_time now) {
  auto& c = connections_[i];
  while (!c.ready.empty()) {
    auto w = std::move(c.ready.front());
    c.ready.pop_front();
    give_back(w);
    if (!w.grant.partition_key.empty())
      break_run(c, w.grant.partition_key, w.grant.message, now);
  }
  // What is left waits behind a message that runs.
  for (auto r = c.runs.begin(); r != c.runs.end(); ++r)
    if (auto rest = std::exchange(r->second.rest, {}); !rest.empty()) {
      for (const auto& w : rest)
        give_back(w);
      c.broken[r->first] = {rest.front().grant.message, std::nullopt, std::nullopt};
    }
}

bool lease_keeper::may_start(mono_time now) const {
  return !session_.is_none() && now < deadline_ && !drain_over_;
}

void lease_keeper::dispatch(connection_index i, mono_time now, actions& out) {
  auto& c = connections_[i];
  while (c.host && c.busy < c.workers && !c.ready.empty()) {
    auto jobs = std::make_shared<job_batch>();
    jobs->id = {settings_.life, ++last_batch_};
    jobs->connection = i;
    jobs->start_before = deadline_;
    jobs->attempt_timeout = c.ready.front().grant.attempt_timeout;
    batch_state b;
    b.connection = i;
    const auto size_max = std::min(c.careful > 0 ? 1 : c.batch_max, c.ready.size());
    jobs->grants.reserve(size_max);
    b.grants.reserve(size_max);
    while (jobs->grants.size() < size_max && c.ready.front().grant.attempt_timeout == jobs->attempt_timeout) {
      auto w = std::move(c.ready.front());
      c.ready.pop_front();
      auto& e = entries_.at(w.grant.fence);
      e.at = phase::running;
      e.batch = jobs->id;
      b.grants.push_back({w.grant.message, w.grant.fence});
      c.window.began(now - w.since, now);
      jobs->grants.push_back(std::move(w.grant));
      if (c.ready.empty())
        break;
    }
    c.careful -= std::min(c.careful, jobs->grants.size());
    c.queued -= jobs->grants.size();
    c.running += jobs->grants.size();
    b.unanswered = jobs->grants.size();
    b.attempt_timeout = jobs->attempt_timeout;
    b.cancel_at = jobs->attempt_timeout > milliseconds{0} ? now + jobs->attempt_timeout : mono_time::max();
    next_attempt_end_ = std::min(next_attempt_end_, b.cancel_at);
    batches_.emplace(jobs->id, std::move(b));
    ++c.busy;
    out.push_back(lease::dispatch{std::move(jobs)});
  }
  if (c.host && c.busy < c.workers)
    c.window.ran_dry();
}

// -- the adapter hosts -------------------------------------------------------------------------------------------------------------

lease_keeper::actions lease_keeper::host_joined(connection_index i, const host_hello& hello, mono_time now) {
  actions out;
  auto& c = connections_[i];
  c.host = true;
  c.workers = std::max<std::size_t>(hello.workers, 1);
  c.batch_max = std::max<std::size_t>(hello.batch_max, 1);
  c.busy = hello.running.size();
  c.window.slots(static_cast<std::uint32_t>(c.workers * c.batch_max));
  auto adopt = [&](message_id message, fence_token fence, phase at, batch_id batch, std::string key) {
    entry e;
    e.message = message;
    e.connection = i;
    e.at = at;
    e.batch = batch;
    e.key = std::move(key);
    if (auto& newest = newest_[e.message]; newest < fence)
      newest = fence;
    if (!entries_.emplace(fence, std::move(e)).second)
      return false;
    ++(at == phase::running ? c.running : c.settling);
    return true;
  };
  for (const auto& r : hello.running) {
    batch_state b;
    b.connection = i;
    b.attempt_timeout = r.jobs->attempt_timeout;
    b.cancel_at = b.attempt_timeout > milliseconds{0} ? r.started_at + b.attempt_timeout : mono_time::max();
    next_attempt_end_ = std::min(next_attempt_end_, b.cancel_at);
    for (const auto& g : r.jobs->grants)
      if (adopt(g.message, g.fence, phase::running, r.jobs->id, g.partition_key)) {
        b.grants.push_back({g.message, g.fence});
        if (!g.partition_key.empty())
          c.runs.try_emplace(g.partition_key);
      }
    b.unanswered = b.grants.size();
    batches_.emplace(r.jobs->id, std::move(b));
  }
  for (const auto& o : hello.unconfirmed) {
    if (batches_.contains(o->id))
      continue;
    batch_state b;
    b.connection = i;
    b.reported = true;
    for (const auto& s : o->items)
      if (adopt(s.message, s.fence, phase::settling, o->id, {})) {
        ++b.unanswered;
        outbox_.push_back(s);
      }
    drop_if_answered(batches_.emplace(o->id, std::move(b)).first, out);
  }
  finish(now, out);
  return out;
}

lease_keeper::actions lease_keeper::host_state(connection_index i, wire::reach state, std::string detail, mono_time now) {
  actions out;
  auto& c = connections_[i];
  const bool news = c.state != state || c.detail != detail;
  c.state = state;
  c.detail = std::move(detail);
  if (state == wire::reach::down)
    give_back_queued(i, now); // Another agent may reach the target.
  if (news)
    out.push_back(lease::announce{});
  finish(now, out);
  return out;
}

lease_keeper::actions lease_keeper::host_leaving(connection_index i, mono_time now) {
  connections_[i].host = false;
  give_back_queued(i, now);
  return host_state(i, wire::reach::unknown, "the adapter is restarting", now);
}

lease_keeper::actions lease_keeper::host_gone(connection_index i, mono_time now) {
  auto& c = connections_[i];
  actions out;
  for (auto b = batches_.begin(); b != batches_.end();) {
    auto at = b++;
    auto& state = at->second;
    if (state.connection != i || state.reported)
      continue;
    ++c.counters.crashed;
    for (const auto& g : state.grants)
      if (auto e = entries_.find(g.fence); e != entries_.end() && e->second.at == phase::running)
        take_outcome(settle_crashed(g, settings_.connections[i].effect, state.grants.size(), "the adapter's host died"), now);
    if (state.grants.size() > 1)
      c.careful = std::max(c.careful, state.grants.size() * 4);
    state.reported = true;
    drop_if_answered(at, out);
  }
  c.busy = c.stuck = 0;
  auto more = host_leaving(i, now);
  out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return out;
}

lease_keeper::actions lease_keeper::ended(const outcome_batch& outcomes, mono_time now) {
  actions out;
  auto at = batches_.find(outcomes.id);
  if (at == batches_.end() || at->second.reported) {
    out.push_back(lease::confirm{outcomes.connection, {outcomes.id}});
    return out;
  }
  auto& b = at->second;
  auto& c = connections_[b.connection];
  bool target_failed = false;
  for (const auto& s : outcomes.items) {
    target_failed |= s.outcome == wire::outcome_kind::failed && s.scope == wire::failure_scope::target;
    take_outcome(s, now);
  }
  if (outcomes.crashed) {
    ++c.counters.crashed;
    // The next ones go alone, so that the one to blame takes nobody with it.
    if (outcomes.items.size() > 1)
      c.careful = std::max(c.careful, outcomes.items.size() * 4);
  }
  b.reported = true;
  if (c.busy > 0)
    --c.busy;
  if (b.stuck && c.stuck > 0)
    --c.stuck;
  if (target_failed)
    give_back_queued(b.connection, now); // The hub pauses the connection; what we hoard would only fail as well.
  drop_if_answered(at, out);
  finish(now, out);
  return out;
}

void lease_keeper::take_outcome(wire::settlement s, mono_time now) {
  auto at = entries_.find(s.fence);
  if (at == entries_.end() || at->second.at != phase::running)
    return; // Given up before: its end was reported then.
  // Stopped because we leave: nobody's fault, so it costs the message no attempt.
  if (drain_over_ && s.outcome == wire::outcome_kind::failed && s.scope == wire::failure_scope::message && s.retryable) {
    s.outcome = wire::outcome_kind::release;
    s.started = s.effect != wire::effect_state::none;
  }
  auto& e = at->second;
  auto& c = connections_[e.connection];
  e.at = phase::settling;
  --c.running;
  ++c.settling;
  const bool is_done = s.outcome == wire::outcome_kind::done;
  ++(is_done ? c.counters.done : s.outcome == wire::outcome_kind::failed ? c.counters.failed : c.counters.released);
  outbox_.push_back(std::move(s));
  if (e.key.empty())
    return;
  if (!is_done || e.lost)
    return break_run(c, e.key, e.message, now);
  auto r = c.runs.find(e.key);
  if (r == c.runs.end())
    return;
  if (r->second.rest.empty()) {
    c.runs.erase(r);
  } else {
    c.ready.push_back(std::move(r->second.rest.front()));
    r->second.rest.pop_front();
  }
}

// -- settling ----------------------------------------------------------------------------------------------------------------------

void lease_keeper::send_settlements(mono_time now, actions& out) {
  if (in_flight_ || outbox_.empty() || now < settle_after_)
    return;
  if (settings_.settle_linger > milliseconds{0} && outbox_.size() < settle_items_now_ && !draining()) {
    if (!linger_until_)
      linger_until_ = now + settings_.settle_linger;
    if (now < *linger_until_)
      return;
  }
  linger_until_.reset();
  auto items = std::make_shared<std::vector<wire::settlement>>();
  items->reserve(std::min(outbox_.size(), settle_items_now_));
  std::size_t bytes = 0;
  while (!outbox_.empty() && items->size() < settle_items_now_) {
    auto& s = outbox_.front();
    bytes += s.result.size() + s.error.size() + 128;
    if (bytes > settings_.settle_bytes_max && !items->empty())
      break;
    items->push_back(std::move(s));
    outbox_.pop_front();
  }
  in_flight_ = items;
  out.push_back(lease::settle{std::move(items)});
}

void lease_keeper::take_back_settlements() {
  outbox_.insert(outbox_.begin(), in_flight_->begin(), in_flight_->end());
  in_flight_.reset();
}

lease_keeper::actions lease_keeper::settled(const result<wire::settle_reply>& reply, mono_time now) {
  actions out;
  if (!in_flight_)
    return out;
  const auto sent = in_flight_->size();
  if (!reply.ok()) {
    if (!is_about_the_body(reply.err())) {
      take_back_settlements();
      settle_after_ = now + settle_pause_.next(chance_);
    } else if (sent > 1) {
      take_back_settlements();
      settle_items_now_ = sent / 2; // One of them is at fault; the others must not wait for it for ever.
    } else {
      const auto& s = in_flight_->front();
      out.push_back(lease::remark{"the hub refuses the outcome of " + to_string(s.message) + " (" + to_string(reply.err())
                                  + "); it will take the message back when its hold limit has passed"});
      if (auto at = entries_.find(s.fence); at != entries_.end()) {
        ++connections_[at->second.connection].counters.refused;
        forget(at, out);
      }
      in_flight_.reset();
    }
    finish(now, out);
    return out;
  }
  settle_pause_.reset();
  settle_items_now_ = std::min(settings_.settle_items_max, settle_items_now_ * 2);
  auto items = std::exchange(in_flight_, nullptr);
  const auto& verdicts = reply->items;
  std::size_t refused = 0;
  const wire::verdict* first_refused = nullptr;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const auto& s = (*items)[i];
    auto v = i < verdicts.size() && verdicts[i].fence == s.fence
               ? verdicts.begin() + static_cast<std::ptrdiff_t>(i)
               : std::find_if(verdicts.begin(), verdicts.end(), [&s](const wire::verdict& o) { return o.fence == s.fence; });
    if (v == verdicts.end()) {
      outbox_.push_back(s);
      settle_after_ = now + settle_pause_.next(chance_);
    } else if (!take_verdict(s, *v, now, out)) {
      first_refused = first_refused != nullptr ? first_refused : &*v;
      ++refused;
    }
  }
  if (refused > 0)
    out.push_back(lease::remark{std::to_string(refused) + " outcomes did not count, the first of "
                                + to_string(first_refused->message) + ": " + std::string{wire::to_string(first_refused->kind)}
                                + " " + first_refused->state});
  finish(now, out);
  return out;
}

bool lease_keeper::take_verdict(const wire::settlement& s, const wire::verdict& v, mono_time now, actions& out) {
  const bool counts = v.kind == wire::verdict_kind::settled || v.kind == wire::verdict_kind::already;
  auto at = entries_.find(s.fence);
  if (at == entries_.end())
    return counts;
  auto& c = connections_[at->second.connection];
  if (!counts)
    ++c.counters.refused;
  if (auto b = c.broken.find(at->second.key); b != c.broken.end() && b->second.head == s.message && !b->second.answered_at)
    b->second.answered_at = now;
  forget(at, out);
  return counts;
}

void lease_keeper::forget(entry_map::iterator at, actions& out) {
  auto& e = at->second;
  SALLYPORT_ASSERT(e.at == phase::settling);
  --connections_[e.connection].settling;
  auto b = batches_.find(e.batch);
  erase(at);
  if (b == batches_.end())
    return;
  --b->second.unanswered;
  drop_if_answered(b, out);
}

void lease_keeper::erase(entry_map::iterator at) {
  if (auto newest = newest_.find(at->second.message); newest != newest_.end() && newest->second == at->first)
    newest_.erase(newest);
  held_bytes_ -= at->second.bytes;
  entries_.erase(at);
}

void lease_keeper::drop_if_answered(std::map<batch_id, batch_state>::iterator at, actions& out) {
  const auto& b = at->second;
  if (!b.reported || b.unanswered > 0)
    return;
  lease::confirm* message = nullptr;
  for (auto& a : out)
    if (auto* c = std::get_if<lease::confirm>(&a); c != nullptr && c->connection == b.connection)
      message = c;
  if (message == nullptr)
    message = &std::get<lease::confirm>(out.emplace_back(lease::confirm{b.connection, {}}));
  message->batches.push_back(at->first);
  batches_.erase(at);
}

// -- time and the end --------------------------------------------------------------------------------------------------------------

void lease_keeper::cancel_running(lease::cancel_reason why, actions& out) {
  for (const auto& [id, b] : batches_) {
    if (b.reported || (why == lease::cancel_reason::lost_lease && !settings_.connections[b.connection].cancel_when_lost))
      continue;
    lease::cancel c{b.connection, id, {}, why};
    for (const auto& g : b.grants)
      c.fences.push_back(g.fence);
    out.push_back(std::move(c));
  }
}

void lease_keeper::tick_attempts(mono_time now, actions& out) {
  if (now < next_attempt_end_)
    return;
  next_attempt_end_ = mono_time::max();
  for (auto& [id, b] : batches_) {
    if (b.reported)
      continue;
    if (b.cancel_at <= now) {
      lease::cancel c{b.connection, id, {}, lease::cancel_reason::attempt_timeout};
      for (const auto& g : b.grants)
        c.fences.push_back(g.fence);
      out.push_back(std::move(c));
      b.cancel_at = mono_time::max();
      // An adapter that heeds the signal knows better than we do what became of the attempt.
      b.give_up_at = now + std::max(milliseconds{1'000}, b.attempt_timeout / 10);
    }
    if (b.give_up_at <= now) {
      b.give_up_at = mono_time::max();
      auto& c = connections_[b.connection];
      for (const auto& g : b.grants) {
        auto e = entries_.find(g.fence);
        if (e == entries_.end() || e->second.at != phase::running)
          continue;
        ++c.counters.overdue;
        wire::settlement s;
        s.message = g.message;
        s.fence = g.fence;
        s.outcome = wire::outcome_kind::failed;
        s.effect = wire::effect_state::unknown;
        s.started = true;
        s.error = "the adapter did not return within the attempt timeout of " + std::to_string(b.attempt_timeout.count())
                  + " ms, nor when it was told to stop";
        take_outcome(std::move(s), now);
      }
      b.stuck = true;
      if (++c.stuck >= c.workers)
        give_back_queued(b.connection, now); // Others need not wait until this adapter returns.
      out.push_back(lease::remark{"connection " + settings_.connections[b.connection].name.value
                                  + ": an adapter ignores its attempt timeout; its worker stays occupied"});
    }
    next_attempt_end_ = std::min({next_attempt_end_, b.cancel_at, b.give_up_at});
  }
}

lease_keeper::actions lease_keeper::drain(mono_time until, milliseconds grace, mono_time now) {
  actions out;
  drain_grace_ = drain_until_ ? std::min(drain_grace_, grace) : grace;
  drain_until_ = drain_until_ ? std::min(*drain_until_, until) : until;
  if (drain_over_)
    give_up_at_ = std::min(give_up_at_, now + drain_grace_);
  out.push_back(lease::announce{});
  finish(now, out);
  return out;
}

void lease_keeper::tick_drain(mono_time now, actions& out) {
  if (!drain_until_)
    return;
  if (!drain_over_ && now >= *drain_until_) {
    drain_over_ = true;
    for (connection_index i = 0; i < connections_.size(); ++i)
      give_back_queued(i, now);
    cancel_running(lease::cancel_reason::shutdown, out);
    give_up_at_ = now + drain_grace_;
  }
  if (now >= give_up_at_) {
    give_up_at_ = mono_time::max();
    give_up_running("the agent stopped while it ran", now);
  }
}

void lease_keeper::give_up_running(const std::string& why, mono_time now) {
  for (auto& [id, b] : batches_)
    for (const auto& g : b.grants)
      if (auto e = entries_.find(g.fence); e != entries_.end() && e->second.at == phase::running) {
        auto s = runtime::give_back(g.message, g.fence);
        s.started = true;
        s.effect = wire::effect_state::unknown;
        s.error = why;
        take_outcome(std::move(s), now);
      }
}

lease_keeper::actions lease_keeper::tick(mono_time now) {
  actions out;
  if (lease_was_good_ && now >= deadline_) {
    SALLYPORT_MARK(agent_past_deadline);
    lease_was_good_ = false;
    cancel_running(lease::cancel_reason::lost_lease, out);
  }
  tick_attempts(now, out);
  finish(now, out);
  return out;
}

void lease_keeper::finish(mono_time now, actions& out) {
  tick_drain(now, out);
  if (may_start(now))
    for (connection_index i = 0; i < connections_.size(); ++i)
      dispatch(i, now, out);
  send_settlements(now, out);
  out.push_back(lease::room_changed{});
  const bool idle = draining() && is_idle();
  if (idle && !said_idle_)
    out.push_back(lease::idle{});
  said_idle_ = idle;
}

mono_time lease_keeper::next_wake() const {
  auto at = next_attempt_end_;
  if (lease_was_good_)
    at = std::min(at, deadline_);
  if (!in_flight_ && !outbox_.empty())
    at = std::min(at, linger_until_ ? std::max(*linger_until_, settle_after_) : settle_after_);
  if (drain_until_ && !drain_over_)
    at = std::min(at, *drain_until_);
  return std::min(at, give_up_at_);
}

// -- views -------------------------------------------------------------------------------------------------------------------------

room_report lease_keeper::room() const {
  room_report report;
  const auto held = entries_.size();
  if (held < settings_.window && held_bytes_ < settings_.window_bytes && !draining())
    report.total = static_cast<std::uint32_t>(settings_.window - held);
  report.connections.reserve(connections_.size());
  for (const auto& c : connections_) {
    connection_room r;
    r.limit = c.window.limit();
    r.received = c.received;
    if (takes_work(c) && c.state == wire::reach::up && report.total > 0)
      // What is done and waits for its verdict holds up nothing: more is asked for while the hub's disk is at it. Only the window over
      // all connections counts it, so that outcomes do not pile up without end.
      r.room = c.window.room(static_cast<std::uint32_t>(c.queued + c.running));
    report.connections.push_back(r);
  }
  return report;
}

std::vector<connection_snapshot> lease_keeper::snapshot() const {
  std::vector<connection_snapshot> all;
  for (connection_index i = 0; i < connections_.size(); ++i) {
    const auto& c = connections_[i];
    all.push_back(
      {settings_.connections[i].name, c.state, c.detail, c.queued, c.running, c.settling, c.window.limit(), c.counters});
  }
  return all;
}

} // namespace sallyport::runtime
