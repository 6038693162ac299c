#include "actors/hub_link.hpp"

#include "actors/agent_context.hpp"
#include "actors/alarm_clock.hpp"
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"

#include <spdlog/spdlog.h>

#include <cstring>
#include <unordered_map>
#include <utility>

namespace sallyport::actors {

namespace {

// One connection of the transport each: a parked claim must hold nothing else up.
constexpr std::uint32_t session_slot = 0, settle_slot = 1, claim_slots = 2;
constexpr std::uint32_t slot_of(const runtime::send_claim& c) {
  const auto lanes_max = static_cast<std::uint32_t>(runtime::claim_lanes::lanes_max);
  return claim_slots + static_cast<std::uint32_t>(c.lane) + (c.repetition ? lanes_max : 0);
}

constexpr auto frames_or_json = "application/vnd.sallyport.frames, application/json;q=0.5";

bool is_framed(const runtime::http_reply& reply) {
  return reply.content_type == wire::frames_type;
}

template <class T>
concept has_frames = requires(std::string_view body) {
  wire::decode_frames<T>(body);
};

/// A 2xx answer as what it says, anything else as the error it is.
template <class T>
result<T> read(result<runtime::http_reply> reply) {
  if (!reply.ok())
    return std::move(reply).err();
  if (reply->status >= 200 && reply->status < 300) {
    auto value = [&] {
      if constexpr (has_frames<T>)
        if (is_framed(*reply))
          return wire::decode_frames<T>(reply->body);
      return wire::decode<T>(reply->body);
    }();
    if (!value.ok())
      return {errc::protocol_violation, to_string(value.err())};
    return value;
  }
  auto e = wire::decode_problem(reply->body);
  if (!e.retry_after_s)
    e.retry_after_s = reply->retry_after_s;
  return e;
}

// The hub need not repeat what the event says.
void read_keys(std::vector<wire::grant>& grants) {
  constexpr std::string_view name = "\"partitionkey\"";
  for (auto& g : grants) {
    if (!g.partition_key.empty() || !g.event || ::memmem(g.event->data(), g.event->size(), name.data(), name.size()) == nullptr)
      continue;
    event_limits none;
    none.event_bytes = g.event->size();
    if (auto event = parse_event(*g.event, none); event.ok())
      g.partition_key = std::move(event->attributes.partition_key);
  }
}

struct hub_link_state {
  static inline const char* name = "hub-link";
  using pointer = hub_link_actor::stateful_pointer<hub_link_state>;

  enum class kind : std::uint8_t { open, beat, close, claim, settle };
  struct request {
    kind what = kind::open;
    session_id session;
    mono_time sent_at{};
    claim_ptr claim;
    settlements_ptr settlements; // Sent in frames, which the hub may refuse.
  };

  explicit hub_link_state(pointer p) : self(p) {}
  ~hub_link_state() {
    if (transport)
      transport->close();
  }

  pointer self;
  std::shared_ptr<agent_context> context;
  steward_actor steward;
  unit_ptr unit;
  std::optional<runtime::session_keeper> keeper;
  std::shared_ptr<runtime::transport> transport;
  std::unordered_map<std::uint64_t, request> under_way;
  std::uint64_t last_tag = 0;
  session_id last_session;   // Settlements of an ended session still count.
  bool reads_frames = false; // The hub has answered in frames: it reads them too.
  alarm_clock clock;

  void begin(unit_ptr peers) {
    unit = std::move(peers);
    const auto& s = context->settings;
    runtime::session_settings k;
    k.group = s.group;
    k.agent = s.name;
    k.id = context->id;
    k.process = context->process;
    k.opening = context->opening;
    k.highest_epoch = {context->highest_epoch};
    k.version = context->version;
    k.hubs = s.hubs.size();
    k.margin = s.margin;
    k.request_timeout = s.request_timeout;
    k.reconnect_min = s.reconnect_min;
    k.reconnect_max = s.reconnect_max;
    keeper.emplace(std::move(k), context->seed + context->unit_life);
    connect(0);
    const auto now = context->now();
    perform(keeper->start(now));
  }

  void connect(std::size_t hub) {
    if (transport)
      transport->close(); // What is under way ends with `stopped` and is asked again there.
    transport.reset();
    reads_frames = false;
    const auto& url = context->settings.hubs[hub];
    auto made = context->connect(url);
    if (made.ok())
      transport = std::move(*made);
    else
      spdlog::error("hub {}: {}", url, to_string(made.err()));
  }

  void send(request what, runtime::http_request http) {
    const auto tag = ++last_tag;
    what.sent_at = context->now();
    under_way.emplace(tag, std::move(what));
    // Sent to by the transport's thread; the handle keeps only the mailbox alive.
    auto answer = [to = hub_link_actor{self}, tag](result<runtime::http_reply> reply) {
      caf::anon_send(to, std::make_shared<hub_answer>(hub_answer{tag, std::move(reply)}));
    };
    if (transport)
      transport->send(std::move(http), std::move(answer));
    else
      answer(make_error(errc::unreachable, "there is no usable transport to this hub"));
  }

  static runtime::http_request to_post(std::string target, std::string body, std::uint32_t slot, milliseconds timeout) {
    runtime::http_request http;
    http.target = std::move(target);
    http.body = std::move(body);
    http.slot = slot;
    http.timeout = timeout;
    return http;
  }

  static std::string path_of(session_id session, std::string_view what) {
    return "/v1/sessions/" + to_string(session) + std::string{what};
  }

  void claim(const claim_ptr& c) {
    auto http =
      to_post(path_of(c->session, "/claims"), encode(c->body), slot_of(*c), context->settings.request_timeout + c->body.wait);
    http.accept = frames_or_json;
    send({kind::claim, c->session, {}, c, nullptr}, std::move(http));
  }

  void settle(const settlements_ptr& items) {
    if (last_session.is_none()) { // Outcomes of a session unit before us: they wait until we have a session of our own.
      self->send(unit->leases, verdicts_ptr{std::make_shared<verdicts>(
                                 verdicts{make_error(errc::not_ready, "no session has been opened yet")})});
      return;
    }
    wire::settle body;
    body.agent = context->id;
    body.items = *items;
    auto http = to_post(path_of(last_session, "/settlements"), reads_frames ? encode_frames(body) : encode(body), settle_slot,
                        context->settings.request_timeout);
    http.accept = frames_or_json;
    if (reads_frames)
      http.content_type = wire::frames_type;
    send({kind::settle, last_session, {}, nullptr, reads_frames ? items : nullptr}, std::move(http));
  }

  void answered(hub_answer& a) {
    auto found = under_way.find(a.tag);
    if (found == under_way.end())
      return;
    const auto asked = std::move(found->second);
    under_way.erase(found);
    if (!is_understood(asked, a.what))
      return settle(asked.settlements); // In JSON now.
    const auto now = context->now();
    switch (asked.what) {
      case kind::open: return perform(keeper->opened(read<wire::session_opened>(std::move(a.what)), now));
      case kind::beat: return perform(keeper->heard(asked.session, read<wire::heartbeat_reply>(std::move(a.what)), now));
      case kind::close: return perform(keeper->closed(read<wire::session_closed>(std::move(a.what)), now));
      case kind::claim: {
        auto reply = read<wire::claim_reply>(std::move(a.what));
        if (reply.ok())
          read_keys(reply->grants);
        const error* failure = reply.ok() ? nullptr : &reply.err();
        auto actions = keeper->answered(asked.session, failure, asked.sent_at, true, now);
        self->send(unit->poll, std::make_shared<claim_answer>(claim_answer{asked.claim, std::move(reply)}));
        return perform(std::move(actions));
      }
      case kind::settle: {
        auto reply = read<wire::settle_reply>(std::move(a.what));
        const error* failure = reply.ok() ? nullptr : &reply.err();
        auto actions = keeper->answered(asked.session, failure, asked.sent_at, false, now);
        self->send(unit->leases, verdicts_ptr{std::make_shared<verdicts>(verdicts{std::move(reply)})});
        return perform(std::move(actions));
      }
    }
  }

  // A hub that answers in frames reads them too; an older one in its place says by 415 that it has read nothing of what it got.
  bool is_understood(const request& asked, const result<runtime::http_reply>& reply) {
    if (!reply.ok())
      return true; // What became of it is for the keeper to find out.
    const bool is = !asked.settlements || reply->status != http_status(errc::unsupported_media_type);
    reads_frames = is && (reads_frames || is_framed(*reply));
    return is;
  }

  void tell_steward(runtime::agent_event::kind what, std::string detail) {
    self->send(steward, event_ptr{std::make_shared<runtime::agent_event>(runtime::agent_event{what, {}, std::move(detail)})});
  }

  void perform(runtime::session_keeper::actions actions) {
    // A restarted session unit goes on from here.
    context->opening = keeper->opening();
    context->highest_epoch = keeper->highest_epoch().value;
    for (auto& action : actions)
      std::visit([this](auto& a) { carry_out(a); }, action);
    clock.wake(self, keeper->next_wake(), *context->time);
  }

  void carry_out(runtime::presence_ask& a) { self->send(unit->leases, a); }
  void carry_out(runtime::send_open& a) { send({}, to_post("/v1/sessions", encode(a.body), session_slot, a.timeout)); }
  void carry_out(runtime::send_heartbeat& a) {
    send({kind::beat, a.session, {}, nullptr, nullptr},
         to_post(path_of(a.session, "/heartbeat"), encode(a.body), session_slot, a.timeout));
  }
  void carry_out(runtime::send_close& a) {
    runtime::http_request http;
    http.method = "DELETE";
    http.target = path_of(a.session, "");
    http.content_type.clear();
    http.slot = session_slot;
    http.timeout = a.timeout;
    send({kind::close, a.session, {}, nullptr, nullptr}, std::move(http));
  }
  void carry_out(runtime::use_hub& a) {
    spdlog::warn("trying the hub at {}", context->settings.hubs[a.index]);
    connect(a.index);
  }
  void carry_out(runtime::session_started& a) {
    last_session = a.session;
    const session_ptr started = std::make_shared<runtime::session_started>(std::move(a));
    self->send(unit->leases, started); // First: it must know the session before grants of it can arrive.
    self->send(unit->poll, started);
  }
  void carry_out(runtime::deadline_moved& a) { self->send(unit->leases, a); }
  void carry_out(runtime::session_over& a) {
    spdlog::warn("the session is over ({}); opening another", a.why);
    self->send(unit->poll, atom::ended{});
  }
  void carry_out(runtime::fences_lost& a) {
    self->send(unit->leases, lost_ptr{std::make_shared<std::vector<wire::held_grant>>(std::move(a.grants))});
  }
  void carry_out(runtime::drain_wanted&) {
    tell_steward(runtime::agent_event::kind::drain_wanted, "the hub asks the agent to drain");
  }
  void carry_out(runtime::drain_heard&) { self->send(unit->poll, atom::drain{}); }
  void carry_out(runtime::session_taken& a) {
    spdlog::error("a newer process of agent {} has taken its place, stopping: {}", context->settings.name.value, a.why);
    tell_steward(runtime::agent_event::kind::session_replaced, std::move(a.why));
  }
  void carry_out(runtime::session_closed&) { self->send(unit->leases, atom::closed{}); }
  void carry_out(runtime::link_news& a) {
    using kind = runtime::link_news::kind;
    switch (a.what) {
      case kind::connected:
        spdlog::info("connected: {}", a.detail);
        return tell_steward(runtime::agent_event::kind::connected, std::move(a.detail));
      case kind::disconnected:
        spdlog::warn("the hub does not answer: {}", a.detail);
        return tell_steward(runtime::agent_event::kind::disconnected, std::move(a.detail));
      case kind::refused:
        spdlog::error("the hub refuses this agent: {}", a.detail);
        return tell_steward(runtime::agent_event::kind::refused, std::move(a.detail));
      case kind::waiting:
        spdlog::warn("waiting for the name: {}", a.detail);
        return tell_steward(runtime::agent_event::kind::waiting, std::move(a.detail));
    }
  }
};

hub_link_actor::behavior_type hub_link(hub_link_state::pointer self, std::shared_ptr<agent_context> context,
                                       steward_actor steward) {
  self->state.context = std::move(context);
  self->state.steward = std::move(steward);
  return {
    [self](const unit_ptr& unit) { self->state.begin(unit); },
    [self](const presence_ptr& p) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->on(std::move(*p), now));
    },
    [self](const claim_ptr& c) { self->state.claim(c); },
    [self](const settlements_ptr& items) { self->state.settle(items); },
    [self](atom::announce) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->beat_soon(now));
    },
    [self](atom::drain) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->beat_for_drain(now));
    },
    [self](atom::close) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.perform(s.keeper->close_session(now));
    },
    [self](const hub_answer_ptr& a) { self->state.answered(*a); },
    [self](atom::tick) {
      auto& s = self->state;
      const auto now = s.context->now();
      s.clock.rang();
      s.perform(s.keeper->tick(now));
    },
  };
}

} // namespace

hub_link_actor spawn_hub_link(caf::actor_system& system, std::shared_ptr<agent_context> context, steward_actor steward) {
  return system.spawn(hub_link, std::move(context), std::move(steward));
}

} // namespace sallyport::actors
