#include "protocol/codec.hpp"
#include "protocol/json.hpp"
#include "tests/chaos/clients.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sallyport::chaos {

namespace {

wall_time now_wall() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

class producer final : public client {
public:
  using client::client;

private:
  /// Events that travel in one request, and are repeated together.
  using parcel = std::vector<event*>;

  void run() override {
    auto due = clock::now();
    while (!calm_ && !leave_) {
      if (due > clock::now())
        std::this_thread::sleep_until(due);
      due = std::max(due, clock::now() - std::chrono::seconds(2)); // What an outage kept from us is caught up with, in part.
      due += std::chrono::microseconds(static_cast<std::int64_t>(1e6 * act() / options_.rate));
    }
    // Some doubts are cleared, some stay.
    const auto bound = clock::now() + std::chrono::seconds(30);
    for (auto& p : doubts_)
      while (!leave_ && happens(0.8) && clock::now() < bound && send(p) != ending::ok)
        std::this_thread::sleep_for(milliseconds(50));
  }

  /// One request; how many events it was about.
  unsigned act() {
    if (!doubts_.empty() && happens(0.15)) {
      std::swap(doubts_.front(), doubts_[static_cast<std::size_t>(between(0, static_cast<int>(doubts_.size()) - 1))]);
      const auto p = doubts_.front();
      doubts_.pop_front();
      send_or_doubt(p);
      return static_cast<unsigned>(p.size());
    }
    const int what = between(0, 99);
    if (what < 50)
      return enqueue(between(4, 30));
    if (what < 70)
      return enqueue(1);
    if (what < 82)
      return repeat();
    if (what < 90)
      return call();
    return cancel();
  }

  event& make(queue q, const std::string& key = {}, wall_time not_before = {}) {
    auto& e = mine_.emplace_back();
    e.id = fmt::format("r{}-{}-{}", options_.round, options_.name, mine_.size());
    e.target = q, e.key = key, e.not_before = not_before;
    json_writer w;
    w.begin_object().field("specversion", "1.0").field("id", e.id).field("source", "/chaos").field("type", "chaos.order");
    if (!key.empty())
      w.field("partitionkey", key);
    if (not_before != wall_time{})
      w.field("notbefore", to_rfc3339(not_before));
    w.key("data").begin_object();
    if (q == queue::file)
      w.field("op", "write").field("path", fmt::format("r{}/{}", options_.round, e.id)).field("content", e.id);
    else
      w.field("id", e.id).field("note", "an order of some length, so that a batch is more than one packet on its way");
    w.end_object().end_object();
    e.body = w.take();
    return e;
  }

  unsigned enqueue(int how_many) {
    const auto q = queues[between(0, 9) < 4 ? 0 : between(1, 3)];
    const bool keyed = happens(0.3);
    const auto later = !keyed && happens(0.1) ? now_wall() + milliseconds(between(500, 6'000)) : wall_time{};
    const auto batch = ++parcels_;
    parcel p;
    for (int i = 0; i < how_many; ++i) {
      auto& e = make(q, keyed ? fmt::format("{}-{}-{}-{}", options_.name, to_string(q), parcels_ / 20, i % 3) : "", later);
      e.batch = how_many > 1 ? batch : -1;
      if (later != wall_time{})
        delayed_.push_back(&e);
      p.push_back(&e);
    }
    send_or_doubt(p);
    return static_cast<unsigned>(how_many);
  }

  unsigned repeat() {
    auto* e = recent();
    if (!e || e->call)
      return enqueue(1);
    e->sent_alone = true;
    send_or_doubt({e});
    return 1;
  }

  void send_or_doubt(const parcel& p) {
    if (send(p) != ending::ok && happens(0.7))
      doubts_.push_back(p);
  }

  ending send(const parcel& p) {
    const auto weight = static_cast<unsigned>(p.size());
    const bool batch = p.size() > 1;
    std::string body = batch ? "[" : p[0]->body;
    if (batch) {
      for (auto* e : p)
        body += (body.size() > 1 ? "," : "") + e->body;
      body += "]";
    }
    const auto op = record_.invoke(options_.name, "enqueue",
                                   fmt::format("{} {}..{}", to_string(p[0]->target), p.front()->id, p.back()->id), weight);
    auto a = hub_.ask("POST", fmt::format("/v1/groups/plant/connections/{}/messages", to_string(p[0]->target)), body,
                      batch ? "application/cloudevents-batch+json" : "application/cloudevents+json");
    record_.end(op, a.how, a.how == ending::ok ? std::string_view{"201"} : std::string_view{a.body}, weight);
    for (auto* e : p)
      ++(a.how == ending::ok ? e->ok : a.how == ending::fail ? e->failed : e->unknown);
    if (a.how == ending::ok) {
      auto reply = wire::decode<wire::enqueue_reply>(a.body);
      if (!reply || reply->messages.size() != p.size())
        record_.violate("answer", fmt::format("{} events were answered with {}", p.size(), a.body));
      else
        for (std::size_t i = 0; i < p.size(); ++i) {
          if (reply->messages[i].id != p[i]->id)
            record_.violate("answer", fmt::format("{} was answered as {}", p[i]->id, reply->messages[i].id));
          p[i]->told.push_back(reply->messages[i].message);
        }
    } else if (a.status >= 400 && a.status < 500 && a.status != 429 && a.status != 408) {
      record_.violate("answer", fmt::format("{} was refused: {}", p[0]->id, a.body));
    }
    return a.how;
  }

  unsigned call() {
    event* e = nullptr;
    if (!open_calls_.empty() && happens(0.5)) {
      e = open_calls_.back();
      open_calls_.pop_back();
    } else {
      e = &make(queues[between(0, 2)]);
      e->call = true;
    }
    const auto op = record_.invoke(options_.name, "call", fmt::format("{} {}", to_string(e->target), e->id), 1);
    auto a = hub_.ask("POST", fmt::format("/v1/groups/plant/connections/{}/calls?deadline_ms={}", to_string(e->target), 3'000),
                      e->body, "application/cloudevents+json", milliseconds(4'000), fmt::format("wait={}", between(1, 3)));
    using judge::call_end;
    auto end = call_end::unanswered;
    if (a.how == ending::ok) {
      end = a.status == 200 ? call_end::result : call_end::pending;
      if (auto reply = wire::decode<wire::call_reply>(a.body))
        e->told.push_back(reply->message);
      else
        record_.violate("answer", fmt::format("the call {} was answered with {}", e->id, a.body));
    } else if (a.code == errc::adapter_failed) {
      end = call_end::failed, a.how = ending::ok;
    } else if (a.code == errc::call_not_started) {
      end = call_end::not_started, a.how = ending::ok;
    } else if (a.code == errc::call_outcome_unknown) {
      end = call_end::unknown, a.how = ending::unknown;
    } else if (a.status >= 400 && a.status < 500 && a.status != 429 && a.status != 408) {
      record_.violate("answer", fmt::format("the call {} was refused: {}", e->id, a.body));
    }
    record_.end(op, a.how, fmt::format("{} {}", a.status, a.how == ending::ok ? "" : a.body), 1);
    ++(a.how == ending::ok ? e->ok : a.how == ending::fail ? e->failed : e->unknown);
    if (a.how != ending::fail)
      e->call_ends.push_back(end);
    if (end == call_end::unanswered || end == call_end::unknown || end == call_end::pending)
      open_calls_.push_back(e);
    return 1;
  }

  unsigned cancel() {
    auto* e = recent();
    if (!delayed_.empty() && happens(0.5)) { // What waits for its time can be cancelled before it ever runs.
      e = delayed_.back();
      delayed_.pop_back();
    }
    if (!e || e->told.empty() || !e->key.empty() || e->cancelled || e->call)
      return enqueue(2);
    const auto message = to_string(e->told.front());
    const auto op = record_.invoke(options_.name, "cancel", fmt::format("{} {}", e->id, message), 1);
    auto a = hub_.ask("DELETE", "/v1/messages/" + message, {});
    record_.end(op, a.code == errc::already_final ? ending::ok : a.how, fmt::format("{} {}", a.status, a.body), 1);
    if (a.how == ending::ok) {
      e->cancelled = true;
      if (auto reply = wire::decode<wire::cancel_reply>(a.body))
        e->cancel_said_never_ran = !reply->may_have_run;
      else
        record_.violate("answer", fmt::format("the cancel of {} was answered with {}", e->id, a.body));
    } else if (a.how == ending::unknown) {
      e->cancel_in_doubt = true;
    } else if (a.status == 404) {
      record_.violate("conservation", fmt::format("{} ({}) was acknowledged, and its cancel says: {}", e->id, message, a.body));
    }
    return 1;
  }

  event* recent() {
    if (mine_.empty())
      return nullptr;
    const auto back = static_cast<std::size_t>(between(0, happens(0.7) ? 60 : 3'000));
    return &mine_[mine_.size() - 1 - std::min(back, mine_.size() - 1)];
  }

  void tell() override { std::move(mine_.begin(), mine_.end(), std::back_inserter(record_.events)); }

  std::deque<event> mine_; // Its elements stay where they are.
  std::deque<parcel> doubts_;
  std::vector<event*> open_calls_, delayed_;
  int parcels_ = 0;
};

} // namespace

std::unique_ptr<client> make_producer(record& r, client_options o) {
  return std::make_unique<producer>(r, std::move(o));
}

} // namespace sallyport::chaos
