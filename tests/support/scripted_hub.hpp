// A hub of a few lines behind the transport port, for tests that step a CAF test_coordinator: single-threaded, every answer is given by
// the test. It opens sessions, hears heartbeats, parks claims until there is something to grant, and settles. What it is asked stays to be
// looked at. Not a model of the real hub: those tests use runtime/testing.
#pragma once

#include "protocol/codec.hpp"
#include "protocol/frames.hpp"
#include "runtime/core/transport.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::test {

class scripted_hub {
public:
  struct request {
    std::uint64_t from = 0; // Which transport.
    std::string url;
    runtime::http_request http;
    runtime::transport::handler answer;
    [[nodiscard]] bool ends_with(std::string_view end) const { return http.target.ends_with(end); }
  };

  runtime::transport_factory factory() {
    return [this](const std::string& url) -> result<std::shared_ptr<runtime::transport>> {
      return std::shared_ptr<runtime::transport>{std::make_shared<line>(*this, url, ++transports)};
    };
  }

  // -- what the agent asked, in order
  std::vector<wire::open_session> openings;
  std::vector<wire::heartbeat> heartbeats;
  std::vector<wire::claim> claims;
  std::vector<wire::settlement> settled; // As often as they were sent.
  std::size_t closes = 0;
  std::size_t framed_settles = 0; // Requests whose settlements came in frames.
  std::uint64_t transports = 0;
  std::vector<std::string> urls; // Of each request.

  // -- what it is to answer
  /// Looked at first: an answer here is the answer.
  std::function<std::optional<result<runtime::http_reply>>(const request&)> script;
  std::deque<wire::grant> to_grant;
  std::vector<wire::held_grant> lost; // Said with the next opening or heartbeat.
  std::vector<wire::session_command> commands;
  std::size_t drop_answers_to_claims = 0; // The next ones grant, but time out.
  std::size_t drop_answers_to_settles = 0;
  bool knows_frames = true; // An older one does not.
  milliseconds ttl{10'000};
  std::uint64_t epoch = 7;

  /// Requests nobody has answered: parked claims, and what the script left.
  std::list<request> open;

  /// Answers what can be answered. True if anything was.
  bool answer() {
    bool any = false;
    for (auto at = open.begin(); at != open.end();) {
      auto r = at++;
      if (auto reply = reply_to(*r)) {
        auto answer = std::move(r->answer);
        open.erase(r);
        answer(std::move(*reply));
        any = true;
      }
    }
    return any;
  }

  static error failure(errc code) { return make_error(code, "scripted"); }
  static result<runtime::http_reply> ok(std::string body, int status = 200) {
    runtime::http_reply r;
    r.status = status;
    r.content_type = "application/json";
    r.body = std::move(body);
    return r;
  }
  static result<runtime::http_reply> problem(errc code) { return ok(wire::encode(failure(code)), http_status(code)); }

private:
  class line final : public runtime::transport {
  public:
    line(scripted_hub& hub, std::string url, std::uint64_t number) : hub_(hub), url_(std::move(url)), number_(number) {}
    void send(runtime::http_request http, handler on_reply) override {
      hub_.urls.push_back(url_);
      hub_.open.push_back({number_, url_, std::move(http), std::move(on_reply)});
      hub_.note(hub_.open.back());
    }
    void close() override {
      for (auto at = hub_.open.begin(); at != hub_.open.end();)
        if (auto r = at++; r->from == number_) {
          auto answer = std::move(r->answer);
          hub_.open.erase(r);
          answer(failure(errc::stopped));
        }
    }

  private:
    scripted_hub& hub_;
    std::string url_;
    std::uint64_t number_;
  };

  template <class T>
  static T read(const request& r) {
    auto v = wire::decode<T>(r.http.body);
    return v.ok() ? *v : T{};
  }
  static bool is_framed(const request& r) { return r.http.content_type == wire::frames_type; }
  static std::vector<wire::settlement> settlements_in(const request& r) {
    if (!is_framed(r))
      return read<wire::settle>(r).items;
    auto v = wire::decode_frames<wire::settle>(r.http.body);
    return v.ok() ? v->items : std::vector<wire::settlement>{};
  }
  template <class T>
  [[nodiscard]] result<runtime::http_reply> framed_if_wanted(const request& r, const T& body) const {
    if (!knows_frames || r.http.accept.find(wire::frames_type) == std::string::npos)
      return ok(wire::encode(body));
    auto reply = ok(wire::encode_frames(body));
    reply->content_type = wire::frames_type;
    return reply;
  }

  void note(const request& r) {
    if (r.http.method == "DELETE")
      ++closes;
    else if (r.ends_with("/sessions"))
      openings.push_back(read<wire::open_session>(r));
    else if (r.ends_with("/heartbeat"))
      heartbeats.push_back(read<wire::heartbeat>(r));
    else if (r.ends_with("/claims"))
      claims.push_back(read<wire::claim>(r));
    else if (r.ends_with("/settlements")) {
      framed_settles += is_framed(r);
      if (knows_frames || !is_framed(r))
        for (auto& s : settlements_in(r))
          settled.push_back(s);
    }
  }

  std::optional<result<runtime::http_reply>> reply_to(const request& r) {
    if (script)
      if (auto scripted = script(r))
        return scripted;
    if (r.http.method == "DELETE")
      return ok(wire::encode(wire::session_closed{}));
    if (r.ends_with("/sessions")) {
      wire::session_opened o;
      o.session = {epoch, ++sessions_};
      o.ttl = ttl;
      o.heartbeat = ttl / 4;
      o.epoch = {epoch};
      o.lost = std::exchange(lost, {});
      return ok(wire::encode(o));
    }
    if (r.ends_with("/heartbeat")) {
      wire::heartbeat_reply h;
      h.ttl = ttl;
      h.epoch = {epoch};
      h.lost = std::exchange(lost, {});
      h.commands = std::exchange(commands, {});
      return ok(wire::encode(h));
    }
    if (r.ends_with("/claims"))
      return grant(r);
    if (r.ends_with("/settlements")) {
      if (drop_answers_to_settles > 0) {
        --drop_answers_to_settles;
        return failure(errc::timed_out);
      }
      if (!knows_frames && is_framed(r))
        return problem(errc::unsupported_media_type);
      wire::settle_reply reply;
      for (auto& s : settlements_in(r)) {
        auto& v = reply.items.emplace_back();
        v.message = s.message;
        v.fence = s.fence;
        v.kind = wire::verdict_kind::settled;
        v.state = "settled";
        v.outcome = s.outcome;
      }
      return framed_if_wanted(r, reply);
    }
    return std::nullopt;
  }

  std::optional<result<runtime::http_reply>> grant(const request& r) {
    const auto asked = read<wire::claim>(r);
    auto& before = granted_[{r.http.target, asked.lane.value, asked.seq}];
    if (before.empty()) {
      for (const auto& c : asked.connections) {
        auto credit = c.credit;
        for (auto g = to_grant.begin(); g != to_grant.end() && credit > 0;)
          if (g->connection == c.name && before.size() < asked.max_messages) {
            before.push_back(*g);
            g = to_grant.erase(g);
            --credit;
          } else {
            ++g;
          }
      }
    }
    if (before.empty() && asked.wait > milliseconds{0})
      return std::nullopt; // Parked.
    if (drop_answers_to_claims > 0) {
      --drop_answers_to_claims;
      return failure(errc::timed_out);
    }
    return framed_if_wanted(r, wire::claim_reply{before});
  }

  std::map<std::tuple<std::string, std::string, std::uint64_t>, std::vector<wire::grant>> granted_;
  std::uint64_t sessions_ = 0;
};

} // namespace sallyport::test
