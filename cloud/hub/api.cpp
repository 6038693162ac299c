#include "cloud/hub/api.hpp"

#include "cloud/hub/http_guard.hpp"
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <random>

namespace sallyport::cloud {

namespace {

constexpr std::string_view event_type = "application/cloudevents+json", batch_type = "application/cloudevents-batch+json",
                           json_type = "application/json";
constexpr std::size_t idle_body_bytes = 64 << 10; // Read and dropped for operations without a body.

/// Calls f with each part of `text` between separators, trimmed.
template <class F>
void each_part(std::string_view text, char separator, F f) {
  while (!text.empty()) {
    const auto end = text.find(separator);
    f(trim_blanks(text.substr(0, end)));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
}

/// The media type, if its parameters are ones we may ignore: any charset but UTF-8 would be read wrongly.
std::optional<std::string_view> media_type(std::string_view content_type) {
  std::optional<std::string_view> type;
  bool readable = true;
  each_part(content_type, ';', [&](std::string_view part) {
    if (!type)
      type = part;
    else if (part.size() >= 8 && same_word(part.substr(0, 8), "charset="))
      readable = same_word(part.substr(8), "utf-8") || same_word(part.substr(8), "\"utf-8\"");
  });
  return readable ? type : std::nullopt;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (text.size() - i < 3)
      return std::nullopt;
    const auto [end, ec] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (ec != std::errc{} || end != text.data() + i + 3)
      return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  return ec == std::errc{} && end == text.data() + text.size() && !text.empty() ? std::optional{n} : std::nullopt;
}

/// RFC 7240: `wait=N` in seconds, or `respond-async`.
std::optional<milliseconds> wait_preference(std::string_view prefer, milliseconds most) {
  std::optional<milliseconds> wait;
  each_part(prefer, ',', [&](std::string_view preference) {
    if (same_word(preference, "respond-async"))
      wait = milliseconds{0};
    else if (preference.size() > 5 && same_word(preference.substr(0, 5), "wait="))
      if (auto n = number(preference.substr(5)))
        wait = std::min(most, milliseconds{static_cast<std::int64_t>(std::min<std::uint64_t>(*n, 1'000'000)) * 1000});
  });
  return wait;
}

bool permits(access who, const tokens_watch::bearer& bearer) {
  if (bearer.dev)
    return true;
  using config::role;
  switch (who) {
    case access::anyone:
    case access::any_role: return true;
    case access::agent: return bearer.grant.role == role::agent;
    case access::admin: return bearer.grant.role == role::admin;
    case access::producer_or_admin: return bearer.grant.role != role::agent;
  }
  return false;
}

std::string_view who_may(access who) {
  switch (who) {
    case access::anyone:
    case access::any_role: return "any token";
    case access::agent: return "an agent's token";
    case access::admin: return "an admin's token";
    case access::producer_or_admin: return "a producer's or an admin's token";
  }
  return {};
}

group_scope scope_of(const tokens_watch::bearer& bearer) {
  group_scope scope;
  scope.all = bearer.dev;
  for (const auto& g : bearer.grant.groups) {
    scope.all = scope.all || g == "*";
    scope.groups.push_back({g});
  }
  return scope;
}

/// Jitter only; nobody gains by guessing it.
std::uint64_t next_entropy() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator();
}

error invalid(std::string what) {
  return make_error(errc::invalid_request, std::move(what));
}

} // namespace

api::api(const api_settings& settings, shard_host& host, tokens_watch& tokens, metrics& meter)
  : settings_(settings),
    host_(host),
    tokens_(tokens),
    meter_(meter) {}

// ---- the head ------------------------------------------------------------------------------------------------------------------

namespace {

/// Reads what the path's braces stood for. Names that cannot exist are told so, ids that cannot exist are unknown.
std::optional<error> read_path(const matched& m, admission& a) {
  std::size_t next = 0;
  const auto& path = m.via->path;
  if (path.find("{group}") != path.npos) {
    const auto name = m.segments.at(next++);
    if (!is_valid_name(name))
      return invalid("the group in the path is no name: 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit");
    a.group.value = name;
  }
  if (path.find("{connection}") != path.npos) {
    const auto name = m.segments.at(next++);
    if (!is_valid_name(name))
      return invalid("the connection in the path is no name: 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit");
    a.connection.value = name;
  }
  if (path.find("{message}") != path.npos) {
    auto id = parse_message_id(m.segments.at(next++));
    if (!id)
      return make_error(errc::unknown_message, "this is no message id");
    a.message = *id;
  }
  if (path.find("{session}") != path.npos) {
    auto id = parse_session_id(m.segments.at(next++));
    if (!id)
      return make_error(errc::unknown_session, "this is no session id");
    a.session = *id;
  }
  return std::nullopt;
}

std::optional<error> read_query(std::string_view query, admission& a) {
  bool valid = true;
  each_part(query, '&', [&](std::string_view pair) {
    const auto equals = pair.find('=');
    auto key = percent_decoded(pair.substr(0, equals));
    auto value = percent_decoded(equals == pair.npos ? std::string_view{} : pair.substr(equals + 1));
    if (key && value)
      a.query.emplace_back(*std::move(key), *std::move(value));
    else
      valid = false;
  });
  return valid ? std::nullopt : std::optional{invalid("the query has a % that is not followed by two hexadecimal digits")};
}

std::optional<error> judge_content(const request_head& head, admission& a) {
  const auto kind = a.via->body;
  const auto content_type = head.content_type;
  if (kind == body_kind::none)
    return std::nullopt;
  if (!head.content_encoding.empty() && !same_word(head.content_encoding, "identity"))
    return make_error(errc::unsupported_media_type, "bodies are read as they are, without a content-encoding");
  const auto type = media_type(content_type).value_or(std::string_view{});
  if (kind == body_kind::events || kind == body_kind::event) {
    a.batch = kind == body_kind::events && same_word(type, batch_type);
    if (a.batch || same_word(type, event_type))
      return std::nullopt;
    return make_error(errc::unsupported_media_type,
                      "events come in structured mode: " + std::string{event_type}
                        + (kind == body_kind::events ? " for one, " + std::string{batch_type} + " for an array of them" : "")
                        + "; binary mode (ce- headers) is not read");
  }
  a.json = same_word(type, json_type);
  a.framed = kind == body_kind::frames && same_word(type, wire::frames_type);
  if (a.json || a.framed || (kind == body_kind::json_opt && content_type.empty()))
    return std::nullopt;
  return make_error(errc::unsupported_media_type, "this operation takes " + std::string{json_type}
                                                    + (kind == body_kind::frames ? " or " + std::string{wire::frames_type} : ""));
}

bool names_frames(std::string_view accept) {
  bool found = false;
  each_part(accept, ',',
            [&](std::string_view part) { found = found || same_word(media_type(part).value_or(""), wire::frames_type); });
  return found;
}

} // namespace

std::variant<admission, api_response> api::admit(const request_head& head) {
  admission a;
  a.began = std::chrono::steady_clock::now();
  const auto query_at = head.target.find('?');
  const auto path = head.target.substr(0, query_at);
  const auto m = find_route(head.method, path);
  if (!m.via) {
    meter_.refused(to_string(m.allowed.empty() ? errc::not_found : errc::method_not_allowed));
    if (m.allowed.empty())
      return to_response(make_error(errc::not_found, std::string{path.substr(0, 200)}));
    std::string allow;
    for (auto method : m.allowed)
      allow.append(allow.empty() ? "" : ", ").append(method);
    auto refused = to_response(make_error(errc::method_not_allowed, "this path has " + allow));
    refused.headers.emplace_back("Allow", std::move(allow));
    return refused;
  }
  a.via = m.via;
  const auto refuse = [&](const error& e) -> api_response {
    auto r = to_response(e);
    meter_.answered(static_cast<std::size_t>(a.via->what), r.status, std::chrono::steady_clock::now() - a.began);
    return r;
  };
  if (a.via->who != access::anyone) {
    const auto token = bearer_token(head.authorization);
    if (!token)
      return refuse(make_error(errc::token_required, "send Authorization: Bearer TOKEN; `sallyport token new` makes one"));
    const auto bearer = tokens_.lookup(*token);
    if (!bearer)
      return refuse(make_error(errc::bad_token, "it is not in the hub's token file, or was revoked"));
    if (!permits(a.via->who, *bearer))
      return refuse(make_error(errc::wrong_role, std::string{a.via->name} + " needs " + std::string{who_may(a.via->who)}));
    a.scope = scope_of(*bearer);
  }
  if (auto fault = read_path(m, a))
    return refuse(*fault);
  if (!a.group.empty() && !a.scope.covers(a.group))
    return refuse(make_error(errc::wrong_group, "the token does not cover group " + a.group.value));
  if (query_at != head.target.npos)
    if (auto fault = read_query(head.target.substr(query_at + 1), a))
      return refuse(*fault);
  if (auto fault = judge_content(head, a))
    return refuse(*fault);
  a.body_limit = a.via->body == body_kind::none ? idle_body_bytes : settings_.body_bytes;
  a.takes_frames = names_frames(head.accept);
  a.prefer_wait = wait_preference(head.prefer, settings_.call_wait_max);
  return a;
}

// ---- the body --------------------------------------------------------------------------------------------------------------------

namespace {

event_item item_of(parsed_event& parsed) {
  event_item item;
  item.attributes = std::move(parsed.attributes);
  item.content = content_digest(parsed.raw);
  item.bytes = std::make_shared<const std::string>(parsed.raw);
  return item;
}

/// A value of the query, or nothing.
const std::string* asked(const admission& a, std::string_view key) {
  for (const auto& [k, v] : a.query)
    if (k == key)
      return &v;
  return nullptr;
}

using order = decltype(command::what);

/// What a request asks of the shard, or what is wrong with it.
struct reader {
  const api_settings& settings;
  admission& a;
  std::string&& body;

  result<order> enqueue() {
    ask::enqueue e{std::move(a.group), std::move(a.connection), {}, settings.create_on_enqueue};
    if (a.batch) {
      auto events = parse_event_batch(body, settings.event);
      if (!events)
        return events.err();
      e.items.reserve(events->size());
      for (auto& each : *events)
        e.items.push_back(item_of(each));
    } else {
      auto event = parse_event(body, settings.event);
      if (!event)
        return event.err();
      e.items.push_back(item_of(*event));
    }
    return order{std::move(e)};
  }

  result<order> call() {
    auto event = parse_event(body, settings.event);
    if (!event)
      return event.err();
    ask::call c;
    c.group = std::move(a.group);
    c.connection = std::move(a.connection);
    c.item = item_of(*event);
    c.wait = a.prefer_wait.value_or(settings.call_wait);
    c.deadline = c.wait > milliseconds{0} ? c.wait : settings.call_wait;
    if (const auto* text = asked(a, "deadline_ms")) {
      const auto ms = number(*text);
      if (!ms || *ms == 0 || *ms > 24 * 3'600'000)
        return invalid("deadline_ms: expected a number from 1 to 86400000");
      c.deadline = milliseconds{static_cast<std::int64_t>(*ms)};
      c.wait = std::min(c.wait, c.deadline);
    }
    c.create = settings.create_on_enqueue;
    return order{std::move(c)};
  }

  result<order> list(ask::listed state) {
    ask::list l{std::move(a.group), std::move(a.connection), state, std::nullopt, 100, false};
    if (const auto* text = asked(a, "state"); text && state == ask::listed::any) {
      constexpr std::array<std::pair<std::string_view, ask::listed>, 5> words{{{"any", ask::listed::any},
                                                                               {"ready", ask::listed::ready},
                                                                               {"delayed", ask::listed::delayed},
                                                                               {"granted", ask::listed::granted},
                                                                               {"dead", ask::listed::dead}}};
      const auto found = std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.first == *text; });
      if (found == words.end())
        return invalid("state: expected one of any ready delayed granted dead");
      l.state = found->second;
    }
    if (const auto* text = asked(a, "after")) {
      l.after = parse_message_id(*text);
      if (!l.after)
        return invalid("after: expected a message id, as `next` of the page before");
    }
    if (const auto* text = asked(a, "limit")) {
      const auto n = number(*text);
      if (!n || *n == 0 || *n > 1000)
        return invalid("limit: expected a number from 1 to 1000");
      l.limit = static_cast<std::uint32_t>(*n);
    }
    if (const auto* text = asked(a, "peek")) {
      if (*text != "true" && *text != "false")
        return invalid("peek: expected true or false");
      l.peek = *text == "true";
    }
    return order{std::move(l)};
  }

  result<order> purge() {
    ask::purge p{std::move(a.group), std::move(a.connection), false, false, false};
    const auto* state = asked(a, "state");
    if (!state)
      return invalid("state: say which to purge, e.g. ?state=dead");
    const bool all = *state == "all";
    p.ready = all || *state == "ready";
    p.delayed = all || *state == "delayed";
    p.dead = all || *state == "dead";
    if (!p.ready && !p.delayed && !p.dead)
      return invalid("state: expected one of ready delayed dead all; granted messages are never purged");
    return order{std::move(p)};
  }

  template <class Body>
  result<Body> decoded() {
    if (body.empty() && a.via->body == body_kind::json_opt)
      return Body{};
    if (!a.json)
      return error{errc::unsupported_media_type, "this operation takes " + std::string{json_type}, std::nullopt, std::nullopt};
    return wire::decode<Body>(body);
  }

  result<wire::settle> settlements() { return a.framed ? wire::decode_frames<wire::settle>(body) : decoded<wire::settle>(); }

  template <class Ask, class Body>
  result<order> of_session() {
    auto read = decoded<Body>();
    if (!read)
      return read.err();
    return order{Ask{a.session, *std::move(read)}};
  }

  result<order> set_paused(bool paused) {
    ask::configure c{std::move(a.group), std::move(a.connection), {}, false};
    c.patch.paused = paused;
    return order{std::move(c)};
  }

  result<order> operator()() {
    switch (a.via->what) {
      case operation::enqueue: return enqueue();
      case operation::call: return call();
      case operation::list_messages: return list(ask::listed::any);
      case operation::list_dead: return list(ask::listed::dead);
      case operation::purge: return purge();
      case operation::redrive: {
        auto read = decoded<wire::redrive>();
        if (!read)
          return read.err();
        return order{ask::redrive{std::move(a.group), std::move(a.connection), std::move(read->messages)}};
      }
      case operation::view_groups: return order{ask::view_groups{std::nullopt}};
      case operation::view_group: return order{ask::view_groups{std::move(a.group)}};
      case operation::view_connection: return order{ask::view_connection{std::move(a.group), std::move(a.connection)}};
      case operation::configure: {
        auto read = decoded<wire::policy_patch>();
        if (!read)
          return read.err();
        return order{ask::configure{std::move(a.group), std::move(a.connection), *std::move(read), true}};
      }
      case operation::pause: return set_paused(true);
      case operation::resume: return set_paused(false);
      case operation::view_message: return order{ask::view_message{a.message}};
      case operation::cancel: return order{ask::cancel{a.message}};
      case operation::open_session: {
        auto read = decoded<wire::open_session>();
        if (!read)
          return read.err();
        if (!a.scope.covers(read->group)) // The only operation whose group is in its body.
          return make_error(errc::wrong_group, "the token does not cover group " + read->group.value);
        return order{ask::open{*std::move(read), settings.announce}};
      }
      case operation::heartbeat: return of_session<ask::beat, wire::heartbeat>();
      case operation::claim: return of_session<ask::claim, wire::claim>();
      case operation::settle: {
        auto read = settlements();
        if (!read)
          return read.err();
        return order{ask::settle{a.session, *std::move(read)}};
      }
      case operation::extend: return of_session<ask::extend, wire::extend>();
      case operation::close_session: return order{ask::close{a.session}};
      case operation::healthz:
      case operation::readyz:
      case operation::metrics: break; // Answered without the shard's decision.
    }
    return make_error(errc::internal, "an operation without a command");
  }
};

} // namespace

ticket api::run(admission a, std::string body, completion done) {
  const auto& via = *a.via;
  auto answered = [this, what = via.what, began = a.began, done = std::move(done)](api_response r) {
    const auto took = std::chrono::steady_clock::now() - began;
    meter_.answered(static_cast<std::size_t>(what), r.status, took);
    spdlog::debug("event=request operation={} status={} ms={:.3f}", routes()[static_cast<std::size_t>(what)].name, r.status,
                  std::chrono::duration<double, std::milli>(took).count());
    done(std::move(r));
  };
  if (via.what == operation::healthz) {
    answered({200, "application/json", R"({"status":"ok"})", {}});
    return {};
  }
  if (via.what == operation::readyz) {
    const auto why_not = host_.why_not_ready();
    answered(why_not.empty() ? api_response{200, "application/json", R"({"status":"ready"})", {}}
                             : to_response(make_error(errc::not_ready, why_not)));
    return {};
  }
  if (via.what == operation::metrics)
    return look_at_metrics(std::move(answered));

  const auto bytes = body.size() + 256; // What a command holds besides its body, roughly.
  command c;
  auto order = reader{settings_, a, std::move(body)}();
  if (!order) {
    answered(to_response(order.err()));
    return {};
  }
  c.what = *std::move(order);
  c.scope = std::move(a.scope);
  c.entropy = next_entropy();
  return host_.submit(std::move(c), bytes, [answered = std::move(answered), takes_frames = a.takes_frames](const answer& what) {
    answered(to_response(what, takes_frames));
  });
}

ticket api::look_at_metrics(completion done) {
  command c;
  c.scope.all = true;
  c.what = ask::view_groups{std::nullopt};
  auto shared = std::make_shared<completion>(std::move(done));
  return host_.submit(std::move(c), 256, [this, shared](answer what) {
    if (const auto* e = std::get_if<error>(&what))
      return (*shared)(to_response(*e));
    auto groups = std::make_shared<answer>(std::move(what));
    host_.inspect([this, shared, groups](const host_view& host) {
      (*shared)({200, "text/plain; version=0.0.4; charset=utf-8", meter_.text(host, std::get<wire::groups_reply>(*groups)), {}});
    });
  });
}

ticket api::handle(const request_head& head, std::string body, completion done) {
  auto judged = admit(head);
  if (auto* refused = std::get_if<api_response>(&judged)) {
    done(std::move(*refused));
    return {};
  }
  auto& a = std::get<admission>(judged);
  if (body.size() > a.body_limit) {
    done(
      to_response(make_error(errc::body_too_large, "this operation takes at most " + std::to_string(a.body_limit) + " bytes")));
    return {};
  }
  return run(std::move(a), std::move(body), std::move(done));
}

milliseconds api::longest_wait() const {
  return std::max(settings_.call_wait_max, milliseconds{50'000});
}

} // namespace sallyport::cloud
