// Rows: what is stored of a lease table, and how it is filled from there. Nothing derived is stored.
#include "cloud/core/lease_table.hpp"
#include "cloud/core/rows.hpp"
#include "protocol/probe.hpp"

#include <algorithm>

namespace sallyport::cloud {

namespace {

constexpr std::uint8_t queue_format = 1, agent_format = 2, message_format = 3;

// Rows are broken input until they have been checked: what the store's crc lets through may still be damaged, and a hub that trips over
// an assertion would do so at every start. Times and spans must bear being added to one another.
constexpr milliseconds span_max = std::chrono::hours{24} * 366'000;
bool is_sane(milliseconds span) {
  return span >= milliseconds{0} && span <= span_max;
}
bool is_sane(wall_time t) {
  return t == never || (t.time_since_epoch() >= -10 * span_max && t.time_since_epoch() <= 10 * span_max);
}
template <class Enum>
bool is_word(Enum e, Enum last) {
  return e <= last;
}

std::string queue_row(const queue_info& q) {
  row_writer w{queue_format};
  auto& p = q.policy;
  w.text(q.group.value), w.text(q.name.value);
  w.num(p.max_attempts), w.span(p.backoff_min), w.span(p.backoff_max), w.span(p.attempt_timeout), w.span(p.hold_limit);
  w.span(p.message_ttl), w.num(p.max_in_flight), w.num(p.max_messages), w.span(p.retention), w.num(p.retention_count);
  w.num(p.paused), w.num(p.dead), w.num(p.unknown_effect), w.num(p.fingerprints);
  return w.take();
}

bool read_queue(std::string_view value, queue_info& q) {
  row_reader r{value};
  if (r.num<std::uint8_t>() != queue_format)
    return false;
  auto& p = q.policy;
  q.group.value = r.text(), q.name.value = r.text();
  p.max_attempts = r.num<std::uint32_t>(), p.backoff_min = r.span(), p.backoff_max = r.span(), p.attempt_timeout = r.span();
  p.hold_limit = r.span(), p.message_ttl = r.span(), p.max_in_flight = r.num<std::uint32_t>();
  p.max_messages = r.num<std::uint64_t>(), p.retention = r.span(), p.retention_count = r.num<std::uint64_t>();
  p.paused = r.num<std::uint8_t>() != 0, p.dead = r.num<wire::on_dead>(), p.unknown_effect = r.num<wire::on_unknown_effect>();
  p.fingerprints = r.num<wire::fingerprint_policy>();
  const auto spans = {p.backoff_min, p.backoff_max, p.attempt_timeout, p.hold_limit, p.message_ttl, p.retention};
  return r.at_end() && is_valid_name(q.group.value) && is_valid_name(q.name.value)
         && std::all_of(spans.begin(), spans.end(), [](auto span) { return is_sane(span); })
         && is_word(p.dead, wire::on_dead::block) && is_word(p.unknown_effect, wire::on_unknown_effect::dead_letter)
         && is_word(p.fingerprints, wire::fingerprint_policy::refuse);
}

std::string agent_row(const agent_info& a) {
  row_writer w{agent_format};
  w.text(a.group.value), w.text(a.name.value), w.text(a.id.value);
  w.num(a.life.process), w.num(a.life.opening), w.text(a.version);
  w.pair(a.session.epoch, a.session.serial), w.num(static_cast<std::uint8_t>(a.live));
  w.num(static_cast<std::uint32_t>(a.lanes.size()));
  for (auto& lane : a.lanes)
    w.text(lane.name.value), w.num(lane.granted_seq);
  w.num(static_cast<std::uint32_t>(a.connections.size()));
  for (auto& c : a.connections) {
    w.num(c.queue), w.text(c.announced.name.value), w.text(c.announced.adapter), w.num(c.announced.effect);
    w.text(c.announced.fingerprint), w.num(c.announced.state), w.text(c.announced.detail);
  }
  return w.take();
}

bool read_agent(std::string_view value, agent_info& a) {
  row_reader r{value};
  const auto format = r.num<std::uint8_t>();
  if (format == 0 || format > agent_format)
    return false;
  a.group.value = r.text(), a.name.value = r.text(), a.id.value = r.text();
  a.life.process = r.num<std::uint64_t>(), a.life.opening = r.num<std::uint64_t>(), a.version = r.text();
  a.session = r.pair<session_id>(), a.live = r.num<std::uint8_t>() != 0;
  for (auto n = r.num<std::uint32_t>(); n-- != 0 && r.ok();) {
    agent_lane lane{lane_id{std::string{r.text()}}};
    if (format >= 2) // Before, only the grants knew.
      lane.seq = lane.granted_seq = r.num<std::uint64_t>();
    a.lanes.push_back(std::move(lane));
  }
  for (auto n = r.num<std::uint32_t>(); n-- != 0 && r.ok();) {
    agent_connection c;
    c.queue = r.num<queue_index>(), c.announced.name.value = r.text(), c.announced.adapter = r.text();
    c.announced.effect = r.num<wire::effect_promise>(), c.announced.fingerprint = r.text();
    c.announced.state = r.num<wire::reach>(), c.announced.detail = r.text();
    if (!is_word(c.announced.effect, wire::effect_promise::at_least_once) || !is_word(c.announced.state, wire::reach::down))
      return false;
    a.connections.push_back(std::move(c));
  }
  return r.at_end() && a.lanes.size() <= lanes_max && is_valid_name(a.group.value) && is_valid_name(a.name.value);
}

constexpr std::size_t changes_foreseen = 8'192;
constexpr std::uint8_t flag_delayed = 1, flag_call = 2, flag_started = 4, flag_result = 8, flag_lease = 16;
constexpr std::uint8_t flag_started_before = 4, flag_suspect = 8; // 1 and 2 were of the last loss; format 1.

std::string message_row(const message& m) {
  row_writer w{message_format};
  w.num(m.queue), w.num(m.state);
  w.num(static_cast<std::uint8_t>((m.delayed ? flag_delayed : 0) | (m.call ? flag_call : 0) | (m.maybe_started ? flag_started : 0)
                                  | (m.has_result ? flag_result : 0) | (m.lease ? flag_lease : 0)));
  w.text(m.source()), w.text(m.event_id());
  w.pair(m.content.high, m.content.low);
  w.time(m.enqueued_at), w.time(m.due_at), w.time(m.expires_at);
  w.num(m.key), w.num(m.bytes), w.num(m.attempts), w.num(m.losses), w.num(m.solo_losses);
  if (!m.lease)
    return w.take();
  auto& l = *m.lease;
  w.pair(l.fence.epoch, l.fence.counter), w.pair(l.burnt.epoch, l.burnt.counter);
  w.pair(l.settled_under.epoch, l.settled_under.counter), w.num(l.settled_as);
  w.num(l.agent), w.pair(l.session.epoch, l.session.serial), w.time(l.granted_at), w.num(l.seq), w.num(l.lane);
  w.num(static_cast<std::uint8_t>((l.started_before ? flag_started_before : 0) | (l.as_suspect ? flag_suspect : 0)));
  auto& story = l.story();
  w.text(story.error), w.text(story.result);
  w.num(static_cast<std::uint8_t>(story.losses.size()));
  for (auto& one : story.losses)
    w.num(one.agent), w.num(one.process), w.pair(one.fence.epoch, one.fence.counter), w.num(static_cast<std::uint8_t>(one.solo));
  w.num(static_cast<std::uint32_t>(story.history.size()));
  for (auto& n : story.history) {
    w.time(n.at), w.num(n.what), w.num(n.agent), w.pair(n.session.epoch, n.session.serial);
    w.pair(n.fence.epoch, n.fence.counter), w.text(n.detail);
  }
  return w.take();
}

bool read_message(std::string_view value, message& m) {
  row_reader r{value};
  const auto format = r.num<std::uint8_t>();
  if (format == 0 || format > message_format)
    return false;
  m.queue = r.num<queue_index>(), m.state = r.num<message_state>();
  const auto flags = r.num<std::uint8_t>();
  m.delayed = flags & flag_delayed, m.call = flags & flag_call, m.maybe_started = flags & flag_started;
  m.has_result = flags & flag_result;
  const auto source = r.text(), id = r.text();
  if (source.size() > message_name::bytes_max || id.size() > message_name::bytes_max)
    return false;
  m.name = {source, id};
  m.content = r.pair<digest128>();
  if (format < 3)
    m.content = {}; // By another hash than today's: it cannot be compared.
  m.enqueued_at = r.time(), m.due_at = r.time(), m.expires_at = r.time();
  m.key = r.num<std::uint64_t>(), m.bytes = r.num<std::uint32_t>(), m.attempts = r.num<std::uint16_t>();
  m.losses = r.num<std::uint8_t>(), m.solo_losses = r.num<std::uint8_t>();
  if (!is_sane(m.enqueued_at) || !is_sane(m.due_at) || !is_sane(m.expires_at))
    return false;
  if ((flags & flag_lease) == 0)
    return r.at_end();
  m.lease = std::make_unique<lease_info>();
  auto& l = *m.lease;
  l.fence = r.pair<fence_token>(), l.burnt = r.pair<fence_token>(), l.settled_under = r.pair<fence_token>();
  l.settled_as = r.num<wire::outcome_kind>(), l.agent = r.num<agent_index>(), l.session = r.pair<session_id>();
  l.granted_at = r.time(), l.seq = r.num<std::uint64_t>(), l.lane = r.num<std::uint8_t>();
  const auto more = r.num<std::uint8_t>();
  l.started_before = more & flag_started_before;
  l.as_suspect = more & flag_suspect;
  lease_story story;
  story.error = r.text(), story.result = r.text();
  if (format >= 2) // Losses of an older row count for good.
    for (auto n = r.num<std::uint8_t>(); n-- != 0 && r.ok();) {
      loss one;
      one.agent = r.num<agent_index>(), one.process = r.num<std::uint64_t>(), one.fence = r.pair<fence_token>();
      one.solo = r.num<std::uint8_t>() != 0;
      story.losses.push_back(one);
    }
  for (auto n = r.num<std::uint32_t>(); n-- != 0 && r.ok();) {
    note one;
    one.at = r.time(), one.what = r.num<note_kind>(), one.agent = r.num<agent_index>(), one.session = r.pair<session_id>();
    one.fence = r.pair<fence_token>(), one.detail = r.text();
    if (one.what < note_kind::granted || one.what > note_kind::elided || !is_sane(one.at))
      return false;
    story.history.push_back(std::move(one));
  }
  if (!story.is_empty())
    l.tell() = std::move(story);
  return r.at_end() && is_sane(l.granted_at) && is_word(l.settled_as, wire::outcome_kind::release);
}

} // namespace

bool lease_table::restore(std::string_view key, std::string_view value) {
  if (key.empty())
    return false;
  const auto is_past = [&](std::uint64_t epoch) { return epoch < epoch_.value; }; // What this life mints must be new, and higher.
  const char kind = key.front();
  key.remove_prefix(1);
  if (kind == 'c' && key.size() == 4) {
    queue_info q;
    if (!read_queue(value, q) || read_be(key) != queues_.size()
        || !queue_by_name_.emplace(q.group.value + "/" + q.name.value, static_cast<queue_index>(queues_.size())).second)
      return false;
    queues_.push_back(std::move(q));
    return true;
  }
  if (kind == 'g' && key.size() == 4) {
    // Keys order rows: connections, then agents, then messages. So indexes can be checked as they are read.
    agent_info a;
    if (!read_agent(value, a) || read_be(key) != agents_.size()
        || std::any_of(a.connections.begin(), a.connections.end(), [&](auto& c) { return c.queue >= queues_.size(); })
        || !is_past(a.session.epoch) || !sessions_.emplace(a.session, static_cast<agent_index>(agents_.size())).second
        || !agent_by_name_.emplace(a.group.value + "/" + a.name.value, static_cast<agent_index>(agents_.size())).second)
      return false;
    agents_.push_back(std::move(a));
    return true;
  }
  if (kind == 'm' && key.size() == 16) {
    const auto s = new_slot();
    auto& m = messages_[s];
    m.id = {read_be(key.substr(0, 8)), read_be(key.substr(8))};
    if (!read_message(value, m) || m.queue >= queues_.size() || m.state > message_state::cancelled || !is_past(m.id.epoch))
      return false;
    const auto is_known = [&](agent_index a) { return a == nowhere || a < agents_.size(); };
    if (const auto* l = m.lease.get()) {
      auto& [error, result, losses, history] = l->story();
      if (!is_known(l->agent) || !is_past(l->fence.epoch) || !is_past(l->burnt.epoch) || !is_past(l->settled_under.epoch)
          || m.losses < losses.size() || losses.size() > losses_kept
          || !std::all_of(losses.begin(), losses.end(), [&](auto& one) { return one.agent < agents_.size(); })
          || !std::all_of(history.begin(), history.end(), [&](auto& n) { return is_known(n.agent); }))
        return false;
    }
    // A session ends in the same append as its grants.
    if (m.state == message_state::granted && (!m.lease || m.lease->agent == nowhere || !agents_[m.lease->agent].live))
      return false;
    if (by_name_.find(name_ref{m.queue, m.source(), m.event_id()}) != by_name_.end() || !by_id_.insert(m.id, s))
      return false;
    if (!SALLYPORT_MUTANT(dedup_lost_on_restart))
      by_name_.insert(s);
    if (SALLYPORT_MUTANT(verdict_lost_on_restart) && m.lease)
      m.lease->settled_under = {};
    if (SALLYPORT_MUTANT(delay_lost_on_restart))
      m.delayed = false;
    return true;
  }
  return false;
}

void lease_table::restored(instant now) {
  for (agent_index i = 0; i < agents_.size(); ++i) {
    auto& a = agents_[i];
    if (!a.live)
      continue;
    ++live_sessions_;
    a.deadline = deadline(now);
    schedule(i);
  }
  std::vector<std::pair<wall_time, slot>> ended;
  for (slot s = 0; s < messages_.size(); ++s) {
    auto& m = messages_[s];
    auto& q = queues_[m.queue];
    if (!is_final(m.state))
      ++q.live, ++live_;
    if (m.lease)
      for (auto& l : m.lease->story().losses)
        if (agents_[l.agent].life.process == l.process)
          agents_[l.agent].lost.push_back({s, l.fence});
    switch (m.state) {
      case message_state::waiting:
        if (SALLYPORT_MUTANT(delayed_lost_on_restart) && m.delayed)
          break;
        wait(s); // In id order, as replayed; so the fifo stays sorted.
        break;
      case message_state::granted: {
        auto& a = agents_[m.lease->agent];
        SALLYPORT_ASSERT(a.live); // restore() has seen to it.
        push_back(a.held, s);
        ++q.granted;
        a.suspects_held += m.lease->as_suspect;
        m.lease->hold_until = now.mono + hold_limit(q.policy);
        schedule_hold(m.lease->agent, m.lease->hold_until);
        if (m.expires_at != never && !m.call)
          expiries_.emplace(m.expires_at, s);
        if (m.key != 0)
          ++q.lanes[m.key].held;
        break;
      }
      default: ended.emplace_back(m.due_at, s);
    }
    // The seq of the last claim that granted something, so that its repetition gets the same answer.
    if (m.lease && m.lease->agent != nowhere && !SALLYPORT_MUTANT(lane_lost_on_restart))
      if (auto& a = agents_[m.lease->agent]; a.session == m.lease->session && m.lease->lane < a.lanes.size()) {
        auto& lane = a.lanes[m.lease->lane];
        lane.seq = lane.granted_seq = std::max(lane.granted_seq, m.lease->seq);
      }
  }
  std::sort(ended.begin(), ended.end());
  for (auto [at, s] : ended) {
    auto& m = messages_[s];
    auto& q = queues_[m.queue];
    push_back(m.state == message_state::dead ? q.dead : q.finals, s);
    if (m.state != message_state::dead)
      ++retained_;
    else if (m.key != 0 && q.policy.dead == wire::on_dead::block)
      ++q.lanes[m.key].blocking;
  }
  for (queue_index i = 0; i < queues_.size(); ++i) {
    auto& q = queues_[i];
    schedule_retention(i);
    std::vector<std::uint64_t> keys;
    for (auto& [key, lane] : q.lanes)
      keys.push_back(key);
    for (auto key : keys)
      refresh_lane(q, key); // Now that it is known what is held and what blocks.
  }
}

void lease_table::record(slot s) {
  auto& m = messages_[s];
  m.dirty = false; // In the list it may stand.
  changes_.push_back({tree::meta, change::kind::put, message_key('m', m.id), message_row(m), {}});
  ++dirty_;
}

batch lease_table::collect() {
  changes_.reserve(changes_.size() + dirty_);
  for (auto q : dirty_queues_) {
    queues_[q].dirty = false;
    changes_.push_back({tree::meta, change::kind::put, index_key('c', q), queue_row(queues_[q]), {}});
  }
  for (auto a : dirty_agents_) {
    agents_[a].dirty = false;
    changes_.push_back({tree::meta, change::kind::put, index_key('g', a), agent_row(agents_[a]), {}});
  }
  for (auto s : dirty_messages_)
    if (messages_[s].dirty) // Else it was recorded or forgotten since, or its slot was used again and stands here twice.
      record(s);
  dirty_queues_.clear(), dirty_agents_.clear(), dirty_messages_.clear();
  dirty_ = 0;
  auto changes = std::exchange(changes_, {});
  changes_.reserve(std::min(changes.size(), changes_foreseen)); // The next append is likely to be as large.
  return changes;
}

} // namespace sallyport::cloud
