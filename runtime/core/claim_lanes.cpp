#include "runtime/core/claim_lanes.hpp"

#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::runtime {

claim_lanes::claim_lanes(lane_settings settings, std::uint64_t seed) : settings_(std::move(settings)), chance_(seed) {
  received_.resize(settings_.connections.size());
  settings_.lanes = std::clamp<std::uint32_t>(settings_.lanes, 1, lanes_max);
}

lane_id claim_lanes::new_lane_id() {
  static constexpr char digits[] = "0123456789abcdef";
  lane_id id;
  for (auto bits = chance_.roll(); id.value.size() < 16; bits >>= 4)
    id.value += digits[bits & 15];
  return id;
}

void claim_lanes::add_lane(bool spare) {
  auto& lane = lanes_.emplace_back();
  lane.id = new_lane_id();
  lane.spare = spare;
  lane.promised.resize(settings_.connections.size());
  lane.pause = backoff{settings_.retry_min, settings_.retry_max};
}

claim_lanes::actions claim_lanes::opened(session_id session, mono_time now) {
  actions out;
  session_ = session;
  lanes_.clear();
  for (std::uint32_t i = 0; i < settings_.lanes; ++i)
    add_lane(false);
  if (draining_)
    say_if_drained(out);
  else
    ask_where_worth_it(out, now);
  return out;
}

claim_lanes::actions claim_lanes::ended() {
  actions out;
  session_ = {};
  lanes_.clear();
  if (draining_)
    say_if_drained(out);
  return out;
}

claim_lanes::actions claim_lanes::room(const room_report& report, mono_time now) {
  actions out;
  room_ = report;
  ask_where_worth_it(out, now);
  return out;
}

std::uint64_t claim_lanes::free_of(connection_index c) const {
  if (c >= room_.connections.size())
    return 0;
  const auto& known = room_.connections[c];
  auto under_way = received_[c] - known.received;
  for (const auto& lane : lanes_)
    under_way += lane.promised[c];
  return known.room > under_way ? known.room - under_way : 0;
}

std::uint64_t claim_lanes::free_in_total() const {
  std::uint64_t under_way = 0;
  for (std::size_t c = 0; c < room_.connections.size(); ++c) {
    under_way += received_[c] - room_.connections[c].received;
    for (const auto& lane : lanes_)
      under_way += lane.promised[c];
  }
  return room_.total > under_way ? room_.total - under_way : 0;
}

// A claim for every single message that was ended would cost more than the message; a quarter of the window is worth one.
bool claim_lanes::worth_asking(connection_index c) const {
  return free_of(c) >= std::max<std::uint64_t>(1, room_.connections[c].limit / 4);
}

bool claim_lanes::is_asked_for(connection_index c) const {
  return std::any_of(lanes_.begin(), lanes_.end(), [c](const lane_state& lane) { return lane.promised[c] != 0; });
}

void claim_lanes::ask_where_worth_it(actions& out, mono_time now) {
  if (session_.is_none() || draining_ || free_in_total() == 0)
    return;
  std::uint32_t idle = 0;
  for (const auto& lane : lanes_)
    idle += !lane.spare && lane.at == phase::idle;
  bool any = false, unasked = false;
  auto look = [&] {
    any = unasked = false;
    for (connection_index c = 0; c < room_.connections.size(); ++c)
      if (worth_asking(c)) {
        any = true;
        unasked |= !is_asked_for(c);
      }
  };
  for (std::size_t i = 0; i < lanes_.size() && idle > 0; ++i)
    if (!lanes_[i].spare && lanes_[i].at == phase::idle) {
      look();
      if (!any || !ask(i, idle, out, now))
        return;
      --idle;
    }
  look();
  const bool soon = std::any_of(lanes_.begin(), lanes_.end(), [](auto& lane) { return lane.at == phase::gathering; });
  if (!unasked || soon)
    return;
  // Every lane is parked, and none of their claims names a connection that has room by now.
  auto spare = std::find_if(lanes_.begin(), lanes_.end(), [](auto& lane) { return lane.spare && lane.at == phase::idle; });
  if (spare == lanes_.end()) {
    if (lanes_.size() == lanes_max)
      return;
    add_lane(true);
    spare = lanes_.end() - 1;
  }
  (void)ask(static_cast<std::size_t>(spare - lanes_.begin()), 1, out, now);
}

bool claim_lanes::ask(std::size_t index, std::uint32_t shares, actions& out, mono_time now) {
  auto& lane = lanes_[index];
  auto share_of = [shares](std::uint64_t n) { return (n + shares - 1) / shares; };
  auto left = share_of(free_in_total());
  wire::claim body;
  const auto n = room_.connections.size();
  std::uint64_t sum = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const auto c = (first_served_ + k) % n;
    if (lane.spare && is_asked_for(c))
      continue;
    const auto credit = static_cast<std::uint32_t>(std::min(left, share_of(free_of(c))));
    if (credit == 0)
      continue;
    body.connections.push_back({settings_.connections[c], credit});
    lane.promised[c] = credit;
    left -= credit;
    sum += credit;
  }
  first_served_ = n == 0 ? 0 : (first_served_ + 1) % n;
  if (sum == 0)
    return false;
  body.lane = lane.id;
  body.seq = ++lane.seq;
  body.max_messages = static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, settings_.max_messages));
  body.max_bytes = settings_.max_bytes;
  body.wait = lane.spare ? std::min(settings_.wait, settings_.spare_wait) : settings_.wait;
  lane.body = std::move(body);
  lane.first_asked = now;
  send(index, out);
  return true;
}

void claim_lanes::send(std::size_t index, actions& out) {
  auto& lane = lanes_[index];
  lane.at = phase::asked;
  out.push_back(send_claim{index, lane.finishing, session_, lane.body});
}

void claim_lanes::rest(lane_state& lane) {
  lane.at = phase::idle;
  std::fill(lane.promised.begin(), lane.promised.end(), 0);
  lane.pause.reset();
}

void claim_lanes::hand_on(lane_state& lane, std::vector<wire::grant> grants, actions& out) {
  if (draining_) {
    std::erase_if(grants, [&lane](const wire::grant& g) {
      return std::find(lane.handed.begin(), lane.handed.end(), g.fence) != lane.handed.end();
    });
    for (const auto& g : grants)
      lane.handed.push_back(g.fence);
  }
  for (const auto& g : grants) {
    auto at = std::find(settings_.connections.begin(), settings_.connections.end(), g.connection);
    if (at != settings_.connections.end())
      ++received_[static_cast<std::size_t>(at - settings_.connections.begin())];
  }
  // An empty answer is handed on as well: the lease manager tells the hub the last seq received.
  out.push_back(grant_batch{session_, lane.id, lane.body.seq, lane.first_asked, std::move(grants)});
}

claim_lanes::actions claim_lanes::answered(const send_claim& sent, result<wire::claim_reply> reply, mono_time now) {
  actions out;
  if (sent.session != session_ || sent.lane >= lanes_.size())
    return out; // Of an earlier session: the opening of this one has settled what became of its grants.
  auto& lane = lanes_[sent.lane];
  if (sent.body.lane != lane.id || sent.body.seq != lane.seq)
    return out;
  const bool superseded = lane.finishing && !sent.repetition; // The parked request ends; its repetition decides.
  if (reply.ok()) {
    if (lane.at == phase::idle && !superseded)
      return out;
    const bool gathers = worth_gathering(lane, reply->grants.size(), now);
    hand_on(lane, std::move(reply->grants), out);
    if (!superseded)
      rest(lane);
    if (gathers && !draining_) {
      SALLYPORT_MARK(agent_claim_gathers);
      lane.at = phase::gathering;
      lane.asks_at = now + settings_.gather;
    }
  } else if (!superseded) {
    switch (reply.err().code) {
      case errc::session_expired:
      case errc::unknown_session:
      case errc::session_replaced: return ended();
      case errc::claim_seq_stale:
        if (lane.finishing) {
          rest(lane); // Confirmed already: nothing is under way.
        } else {
          lane.id = new_lane_id();
          lane.seq = 0;
          rest(lane);
        }
        break;
      default:
        lane.at = phase::waiting;
        lane.asks_at = now + lane.pause.next(chance_);
        if (auto after = reply.err().retry_after_s)
          lane.asks_at = std::max(lane.asks_at, now + seconds{*after});
        return out;
    }
  }
  if (draining_)
    say_if_drained(out);
  else
    ask_where_worth_it(out, now);
  return out;
}

// Some came at once, and far fewer than asked for: more are on their way, and a claim for each few costs both sides more than they do.
// Where messages come one by one nothing waits, nor where answers are large already.
bool claim_lanes::worth_gathering(const lane_state& lane, std::size_t granted, mono_time now) const {
  return granted >= settings_.gather_from && granted < lane.body.max_messages / 4
         && now - lane.first_asked < 2 * settings_.gather;
}

claim_lanes::actions claim_lanes::tick(mono_time now) {
  actions out;
  bool gathered = false;
  for (auto& lane : lanes_)
    if (lane.at == phase::gathering && lane.asks_at <= now) {
      lane.at = phase::idle;
      gathered = true;
    }
  if (gathered)
    ask_where_worth_it(out, now);
  for (std::size_t i = 0; i < lanes_.size(); ++i)
    if (lanes_[i].at == phase::waiting && lanes_[i].asks_at <= now) {
      SALLYPORT_MARK(agent_claim_repeated);
      send(i, out);
    }
  return out;
}

claim_lanes::actions claim_lanes::drain() {
  actions out;
  if (draining_)
    return out;
  draining_ = true;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    auto& lane = lanes_[i];
    if (lane.at == phase::gathering)
      lane.at = phase::idle;
    if (lane.at == phase::idle)
      continue;
    lane.finishing = true;
    lane.body.wait = milliseconds{0};
    lane.pause.reset();
    send(i, out);
  }
  say_if_drained(out);
  return out;
}

void claim_lanes::say_if_drained(actions& out) {
  const bool busy = std::any_of(lanes_.begin(), lanes_.end(), [](const lane_state& lane) { return lane.at != phase::idle; });
  if (busy || drained_)
    return;
  drained_ = true;
  out.push_back(lanes_drained{});
}

mono_time claim_lanes::next_wake() const {
  auto at = mono_time::max();
  for (const auto& lane : lanes_)
    if (lane.at == phase::waiting || lane.at == phase::gathering)
      at = std::min(at, lane.asks_at);
  return at;
}

} // namespace sallyport::runtime
