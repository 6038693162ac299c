#include "protocol/codec.hpp"
#include "tests/chaos/clients.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace sallyport::chaos {

namespace {

/// An agent as curl could be one. It starts work only within its lease, counted from before the request left; now and then it sleeps
/// through its lease with work in hand, settles late, settles twice, or contradicts itself.
class agent_by_hand final : public client {
public:
  using client::client;

private:
  struct job {
    message_id message;
    fence_token fence;
    wire::outcome_kind outcome = wire::outcome_kind::release;
  };

  void run() override {
    while (!leave_) {
      if (session_.empty() && !open()) {
        std::this_thread::sleep_for(milliseconds(between(20, 120)));
        continue;
      }
      if (jobs_.empty() && !claim())
        continue;
      work();
      settle(jobs_, true);
      if (!past_.empty() && happens(0.05))
        settle({past_[static_cast<std::size_t>(between(0, static_cast<int>(past_.size()) - 1))]}, false);
      while (past_.size() > 500)
        past_.pop_front();
    }
    if (!session_.empty())
      hub_.ask("DELETE", "/v1/sessions/" + session_, {});
  }

  bool open() {
    wire::open_session o;
    o.group = {"plant"}, o.agent = {options_.name}, o.id = {options_.name + "-id"};
    o.life = {static_cast<std::uint64_t>(options_.round), opening_};
    o.version = "by hand", o.highest_epoch = epoch_;
    o.connections.push_back({{"hand"}, "hand", wire::effect_promise::at_least_once, "hand", wire::reach::up, {}});
    for (auto& j : jobs_)
      o.held.push_back({j.message, j.fence});
    const auto sent = clock::now();
    auto a = hub_.ask("POST", "/v1/sessions", wire::encode(o));
    if (a.how == ending::fail && (a.status == 409 || a.status == 410))
      ++opening_;
    if (a.how != ending::ok)
      return false;
    auto opened = wire::decode<wire::session_opened>(a.body);
    if (!opened) {
      record_.violate("answer", fmt::format("{} opened and was answered with {}", options_.name, a.body));
      return false;
    }
    session_ = to_string(opened->session), epoch_ = opened->epoch;
    lane_ = fmt::format("{}-{}-{}", options_.name, options_.round, opening_++);
    seq_ = 1;
    lease_until_ = sent + opened->ttl;
    std::erase_if(jobs_, [&](const job& j) {
      return std::find(opened->lost.begin(), opened->lost.end(), wire::held_grant{j.message, j.fence}) != opened->lost.end();
    });
    record_.note(options_.name, fmt::format("session {}, {} still held", session_, jobs_.size()));
    return true;
  }

  /// An answer to a request of the session: does it live?
  bool lives(const answer& a, clock::time_point sent) {
    if (a.how == ending::ok)
      lease_until_ = std::max(lease_until_, sent + options_.session_ttl);
    else if (a.status == 404 || a.status == 409 || a.status == 410)
      session_.clear();
    else
      std::this_thread::sleep_for(milliseconds(between(10, 60)));
    return a.how == ending::ok;
  }

  bool claim() {
    wire::claim c;
    c.lane = {lane_}, c.seq = seq_, c.max_messages = 24, c.max_bytes = 1 << 20, c.wait = milliseconds(calm_ ? 50 : 300);
    c.connections.push_back({{"hand"}, 24});
    const auto sent = clock::now();
    auto a = hub_.ask("POST", "/v1/sessions/" + session_ + "/claims", wire::encode(c), "application/json", milliseconds(1'500));
    if (!lives(a, sent))
      return false; // Not answered: the same seq again.
    auto reply = wire::decode<wire::claim_reply>(a.body);
    if (!reply) {
      record_.violate("answer", fmt::format("{} claimed and was answered with {}", options_.name, a.body));
      return false;
    }
    ++seq_;
    for (auto& g : reply->grants) {
      grants_.push_back({options_.name, g.message, g.fence, record_.step()});
      jobs_.push_back({g.message, g.fence});
      ids_[g.message] = event_id(*g.event);
    }
    if (!reply->grants.empty())
      record_.note(options_.name, fmt::format("granted {} messages, {} under fence {} the first", reply->grants.size(),
                                              to_string(reply->grants[0].message), to_string(reply->grants[0].fence)));
    return !reply->grants.empty();
  }

  void work() {
    if (!calm_ && happens(0.01)) {
      record_.note(options_.name, "sleeps through its lease");
      std::this_thread::sleep_for(options_.session_ttl + milliseconds(between(200, 1'500)));
    }
    for (auto& j : jobs_) {
      // The step before the look at the clock: whoever was granted it later has a later step.
      const auto step = record_.step();
      if (clock::now() + milliseconds(200) > lease_until_) {
        j.outcome = wire::outcome_kind::release; // Not begun, and nothing may be begun now.
        continue;
      }
      started_.push_back({j.message, j.fence, ids_[j.message], options_.name, step});
      j.outcome = happens(0.06) ? wire::outcome_kind::failed : wire::outcome_kind::done;
      done_.push_back(started_.back()); // Also when it is said to have failed: it may say otherwise later.
    }
    std::this_thread::sleep_for(milliseconds(between(0, 15)));
    if (!calm_ && happens(0.01)) {
      record_.note(options_.name, "sleeps before it settles");
      std::this_thread::sleep_for(options_.session_ttl + milliseconds(between(200, 1'500)));
    }
  }

  void settle(std::vector<job> jobs, bool mine) {
    wire::settle s;
    s.agent = {options_.name + "-id"};
    for (auto& j : jobs) {
      wire::settlement one;
      one.message = j.message, one.fence = j.fence, one.outcome = j.outcome;
      if (!mine && j.outcome != wire::outcome_kind::release && happens(0.5)) // Says something else than the first time.
        one.outcome = j.outcome == wire::outcome_kind::done ? wire::outcome_kind::failed : wire::outcome_kind::done;
      if (one.outcome == wire::outcome_kind::failed)
        one.error = "not this time";
      s.items.push_back(one);
    }
    const auto weight = static_cast<unsigned>(jobs.size());
    const auto body = wire::encode(s);
    for (int attempt = 0; attempt < 5 && !leave_; ++attempt) {
      const auto op = record_.invoke(options_.name, "settle",
                                     fmt::format("{} under {}", to_string(jobs[0].message), to_string(jobs[0].fence)), weight);
      auto a = hub_.ask("POST", "/v1/sessions/" + (session_.empty() ? last_session_ : session_) + "/settlements", body);
      record_.end(op, a.how, fmt::format("{} {}", a.status, a.how == ending::ok ? "" : a.body), weight);
      if (a.how == ending::ok) {
        auto reply = wire::decode<wire::settle_reply>(a.body);
        if (!reply || reply->items.size() != jobs.size())
          return record_.violate("answer", fmt::format("{} settlements were answered with {}", jobs.size(), a.body));
        for (std::size_t i = 0; i < jobs.size(); ++i) {
          const auto& v = reply->items[i];
          verdicts_.push_back({options_.name, v.message, v.fence, s.items[i].outcome, s.items[i].scope, v.kind, v.outcome,
                               v.state, record_.step()});
          if (v.kind == wire::verdict_kind::stale || v.kind == wire::verdict_kind::burnt)
            record_.note(options_.name,
                         fmt::format("{} under {} is {}", to_string(v.message), to_string(v.fence), wire::to_string(v.kind)));
        }
        break;
      }
      if (!mine)
        return;
      if (a.status == 403 || a.status == 404) { // Neither session nor agent is known: nothing of it can count.
        session_.clear();
        break;
      }
      std::this_thread::sleep_for(milliseconds(between(20, 150)));
    }
    if (mine) {
      past_.insert(past_.end(), jobs.begin(), jobs.end());
      jobs_.clear();
      if (!session_.empty())
        last_session_ = session_;
    }
  }

  static std::string event_id(const std::string& body) {
    constexpr std::string_view mark = "\"id\":\"";
    const auto at = body.find(mark);
    return at == std::string::npos ? "" : body.substr(at + mark.size(), body.find('"', at + mark.size()) - at - mark.size());
  }

  void tell() override {
    const auto move_to = [](auto& from, auto& to) { std::move(from.begin(), from.end(), std::back_inserter(to)); };
    move_to(grants_, record_.grants), move_to(started_, record_.started), move_to(done_, record_.done);
    move_to(verdicts_, record_.verdicts);
  }

  std::string session_, last_session_, lane_;
  std::uint64_t opening_ = 1, seq_ = 1;
  epoch_number epoch_;
  clock::time_point lease_until_;
  std::vector<job> jobs_;
  std::deque<job> past_;
  std::map<message_id, std::string> ids_;
  std::vector<judge::seen_grant> grants_;
  std::vector<judge::effect> started_, done_;
  std::vector<judge::seen_verdict> verdicts_;
};

} // namespace

std::unique_ptr<client> make_agent_by_hand(record& r, client_options o) {
  return std::make_unique<agent_by_hand>(r, std::move(o));
}

} // namespace sallyport::chaos
