#include "runtime/core/session_keeper.hpp"

#include "protocol/probe.hpp"

namespace sallyport::runtime {

session_keeper::session_keeper(session_settings settings, std::uint64_t seed)
  : settings_(std::move(settings)),
    chance_(seed),
    opening_(settings_.opening),
    highest_epoch_(settings_.highest_epoch),
    pause_(settings_.reconnect_min, settings_.reconnect_max) {}

session_keeper::actions session_keeper::start(mono_time) {
  actions out;
  SALLYPORT_ASSERT(at_ == phase::idle);
  ++opening_;
  ask_to_open(out);
  return out;
}

void session_keeper::ask_to_open(actions& out) {
  at_ = phase::asking;
  out.push_back(presence_ask{true, false});
}

session_keeper::actions session_keeper::on(presence what, mono_time now) {
  actions out;
  if (at_ == phase::asking) {
    wire::open_session body;
    body.group = settings_.group;
    body.agent = settings_.agent;
    body.id = settings_.id;
    soon_ = false;
    body.life = {settings_.process, opening_};
    body.version = settings_.version;
    body.connections = std::move(what.connections);
    body.highest_epoch = highest_epoch_;
    body.held = std::move(what.held);
    at_ = phase::opening;
    soon_ = false; // What changes from now on is news.
    sent_at_ = now;
    out.push_back(send_open{std::move(body), settings_.request_timeout});
  } else if (at_ == phase::open && beat_ == beat::asking) {
    wire::heartbeat body;
    for (auto& c : what.connections)
      body.connections.push_back({std::move(c.name), c.state, std::move(c.detail)});
    body.held_count = what.held_count;
    body.held_hash = what.held_hash;
    list_sent_ = what.list.has_value();
    body.list = std::move(what.list);
    beat_ = beat::sent;
    sent_at_ = now;
    out.push_back(send_heartbeat{session_, std::move(body), beat_timeout()});
  }
  return out;
}

// A heartbeat that hangs must leave time to try another way before the session ends.
milliseconds session_keeper::beat_timeout() const {
  return std::min(settings_.request_timeout, std::max(ttl_ / 3, milliseconds{100}));
}

void session_keeper::live_for(milliseconds ttl, milliseconds interval) {
  ttl_ = std::max(ttl, milliseconds{40});
  interval_ = interval > milliseconds{0} ? std::min(interval, ttl_ / 4) : ttl_ / 4;
}

session_keeper::actions session_keeper::opened(result<wire::session_opened> reply, mono_time now) {
  actions out;
  if (at_ != phase::opening)
    return out;
  if (!reply.ok()) {
    at_ = phase::waiting;
    judge(reply.err(), now, out);
    return out;
  }
  session_ = reply->session;
  saw(reply->epoch);
  live_for(reply->ttl, reply->heartbeat);
  at_ = phase::open;
  beat_ = beat::none;
  list_ = list_sent_ = proven_ = false; // soon_ stays: what changed while the opening was under way is told at once.
  misses_ = 0;
  pause_.reset();
  retry_at_ = {};
  last_heard_ = last_beat_ = sent_at_;
  // Counted from before the request left: the hub's count starts when it arrives, so counting from the answer would let us outlive our
  // own right to work.
  deadline_ = announced_ = sent_at_ + ttl_ - std::min(settings_.margin, ttl_ / 4);
  out.push_back(session_started{session_, deadline_, std::move(reply->lost)});
  reachable_ = true;
  out.push_back(link_news{link_news::kind::connected, "session " + to_string(session_)});
  if (draining_)
    say_drain_heard(out); // The opening announced it; no claim is parked in a session this young.
  return out;
}

session_keeper::actions session_keeper::heard(session_id session, result<wire::heartbeat_reply> reply, mono_time now) {
  actions out;
  if (at_ != phase::open || beat_ != beat::sent || session != session_)
    return out;
  beat_ = beat::none;
  if (!reply.ok()) {
    ++misses_;
    soon_ = soon_ || drain_sent_;
    judge(reply.err(), now, out);
    return out;
  }
  saw(reply->epoch);
  live_for(reply->ttl, {});
  misses_ = 0;
  pause_.reset();
  retry_at_ = {};
  proven_ = true;
  last_beat_ = std::max(last_beat_, sent_at_);
  extend(sent_at_, now, out);
  if (!reachable_) {
    reachable_ = true;
    out.push_back(link_news{link_news::kind::connected, "session " + to_string(session_) + " goes on"});
  }
  if (!reply->lost.empty())
    out.push_back(fences_lost{std::move(reply->lost)});
  if (list_sent_)
    list_ = false;
  if (drain_sent_)
    say_drain_heard(out);
  for (auto command : reply->commands) {
    if (command == wire::session_command::list_held)
      list_ = soon_ = true;
    else if (command == wire::session_command::drain && !draining_)
      out.push_back(drain_wanted{});
  }
  return out;
}

session_keeper::actions session_keeper::answered(session_id session, const error* failure, mono_time sent_at, bool proves,
                                                 mono_time now) {
  actions out;
  if (at_ != phase::open || session != session_)
    return out;
  if (failure == nullptr) {
    // A settlement is accepted from an expired session too. Before our deadline, which ends before the hub's, it found the session alive.
    if (proves || now < deadline_)
      extend(sent_at, now, out);
  } else if (failure->code == errc::session_expired || failure->code == errc::unknown_session) {
    session_gone(*failure, now, out);
  } else if (failure->code == errc::session_replaced) {
    end(session_taken{to_string(*failure)}, out);
  }
  return out;
}

void session_keeper::extend(mono_time sent_at, mono_time now, actions& out) {
  last_heard_ = std::max(last_heard_, sent_at);
  const auto counted_from = SALLYPORT_MUTANT(deadline_from_reply) ? now : sent_at;
  deadline_ = std::max(deadline_, counted_from + ttl_ - std::min(settings_.margin, ttl_ / 4));
  // The lease manager need not hear of every millisecond.
  if (deadline_ > announced_ && (announced_ <= now || deadline_ - announced_ >= ttl_ / 8)) {
    announced_ = deadline_;
    out.push_back(deadline_moved{deadline_});
  }
}

// What a failed opening or heartbeat means, and what is tried next.
void session_keeper::judge(const error& why, mono_time now, actions& out) {
  constexpr milliseconds slow{2'000};
  switch (why.code) {
    case errc::session_replaced: return end(session_taken{to_string(why)}, out);
    case errc::session_expired:
    case errc::unknown_session:
      if (at_ == phase::open)
        return session_gone(why, now, out);
      ++opening_; // This opening had its session, whose answer was lost on the way and which has ended since: the next.
      return wait_and_say(link_news::kind::disconnected, why, milliseconds{0}, now, out);
    case errc::name_in_use: return wait_and_say(link_news::kind::waiting, why, milliseconds{0}, now, out);
    case errc::not_ready:
    case errc::too_many_requests:
    case errc::store_full: return wait_and_say(link_news::kind::disconnected, why, milliseconds{0}, now, out);
    case errc::unreachable:
    case errc::tls_refused:
    case errc::proxy_refused:
    case errc::protocol_violation:
    case errc::timed_out:
    case errc::outcome_unknown:
    case errc::internal:
    case errc::shutting_down:
    case errc::stopped:
      // One silent heartbeat may be bad luck; a hub that cannot be reached at all is left for the next at once.
      if (at_ != phase::open || misses_ > 1 || why.code == errc::unreachable)
        next_hub(out);
      return wait_and_say(link_news::kind::disconnected, why, milliseconds{0}, now, out);
    default:
      // Nothing we repeat will help, a person must: a token, a name, a policy. But when they have, nobody should have to restart us.
      return wait_and_say(link_news::kind::refused, why, slow, now, out);
  }
}

void session_keeper::wait_and_say(link_news::kind what, const error& why, milliseconds least, mono_time now, actions& out) {
  auto wait = std::max(pause_.next(chance_), least);
  if (why.retry_after_s)
    wait = std::max(wait, milliseconds{seconds{*why.retry_after_s}});
  retry_at_ = now + wait;
  if (at_ != phase::open)
    at_ = phase::waiting;
  reachable_ = false;
  out.push_back(link_news{what, to_string(why) + "; trying again in " + std::to_string(wait.count()) + " ms"});
}

void session_keeper::next_hub(actions& out) {
  if (settings_.hubs < 2)
    return;
  hub_ = (hub_ + 1) % settings_.hubs;
  misses_ = 0;
  out.push_back(use_hub{hub_});
}

void session_keeper::session_gone(const error& why, mono_time now, actions& out) {
  out.push_back(session_over{to_string(why)});
  session_ = {};
  beat_ = beat::none;
  deadline_ = announced_ = now;
  ++opening_;
  if (draining_)
    say_drain_heard(out);
  if (proven_)
    return ask_to_open(out);
  // A session that died before its first heartbeat: do not spin.
  at_ = phase::waiting;
  retry_at_ = now + pause_.next(chance_);
}

void session_keeper::end(session_action last, actions& out) {
  at_ = phase::over;
  beat_ = beat::none;
  session_ = {};
  out.push_back(std::move(last));
}

session_keeper::actions session_keeper::beat_soon(mono_time now) {
  soon_ = true;
  return tick(now);
}

session_keeper::actions session_keeper::beat_for_drain(mono_time now) {
  draining_ = true;
  if (at_ == phase::open)
    return beat_soon(now);
  actions out;
  say_drain_heard(out);
  return out;
}

void session_keeper::say_drain_heard(actions& out) {
  if (!drain_said_)
    out.push_back(drain_heard{});
  drain_said_ = true;
}

session_keeper::actions session_keeper::close_session(mono_time now) {
  actions out;
  if (at_ == phase::open)
    send_the_close(now, out);
  else if (at_ != phase::closing)
    end(session_closed{}, out); // An opening that is under way ends with its time to live.
  return out;
}

void session_keeper::send_the_close(mono_time now, actions& out) {
  at_ = phase::closing;
  retry_at_ = mono_time::max();
  sent_at_ = now;
  ++close_tries_;
  out.push_back(send_close{session_, beat_timeout()});
}

session_keeper::actions session_keeper::closed(const result<wire::session_closed>& reply, mono_time now) {
  actions out;
  if (at_ != phase::closing)
    return out;
  constexpr std::uint32_t tries_max = 3;
  const bool again = !reply.ok() && retry_advice(reply.err().code) != advice::never_retry && close_tries_ < tries_max;
  if (again)
    retry_at_ = now + pause_.next(chance_);
  else
    end(session_closed{}, out);
  return out;
}

mono_time session_keeper::next_beat() const {
  // Any answered request shows that we live, but only a heartbeat compares what both sides believe we hold.
  auto due = soon_ ? mono_time{} : std::min(last_heard_ + interval_, last_beat_ + ttl_);
  return std::max(due, retry_at_);
}

session_keeper::actions session_keeper::tick(mono_time now) {
  actions out;
  if (at_ == phase::waiting && now >= retry_at_) {
    ask_to_open(out);
  } else if (at_ == phase::open && beat_ == beat::none && now >= next_beat()) {
    beat_ = beat::asking;
    soon_ = false;
    drain_sent_ = draining_;
    out.push_back(presence_ask{false, list_});
  } else if (at_ == phase::closing && now >= retry_at_) {
    send_the_close(now, out);
  }
  return out;
}

mono_time session_keeper::next_wake() const {
  if (at_ == phase::waiting || at_ == phase::closing)
    return retry_at_;
  if (at_ == phase::open && beat_ == beat::none)
    return next_beat();
  return mono_time::max();
}

} // namespace sallyport::runtime
