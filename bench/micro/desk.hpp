// A shard with one agent and one producer at it, everything answered at once: what the shard itself costs. Appends go to a store, or
// nowhere. One thread.
#pragma once

#include "bench/micro/samples.hpp"
#include "cloud/core/shard.hpp"
#include "protocol/assert.hpp"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

namespace sallyport::bench {

class desk {
public:
  using sink = std::function<cloud::append_outcome(const cloud::duty::append&)>;

  /// Without a sink every append is durable at once. Of final messages at most `retained` are remembered, so that each cycle forgets as
  /// many as it brings once there are so many.
  explicit desk(std::uint64_t retained = 4096, cloud::opened_store store = {{1}, 0}, sink appends = {})
    : core_(settings(retained)),
      appends_(std::move(appends)) {
    core_.reopened(store);
    core_.started(now_);
    cloud::ask::open o;
    o.body.group = {"g"}, o.body.agent = {"a"}, o.body.id = {"id"}, o.body.life = {1, 1};
    o.body.connections.push_back({{"erp-db"}, "null", wire::effect_promise::idempotent, "null", wire::reach::up, {}});
    session_ = answer_to<wire::session_opened>(submit(std::move(o))).session;
  }

  /// Made beforehand: building the command is not the shard's work.
  [[nodiscard]] cloud::ask::enqueue events(std::size_t count) {
    cloud::ask::enqueue q{{"g"}, {"erp-db"}, {}};
    q.items.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      cloud::event_item item;
      item.attributes.id = "order-" + std::to_string(100'000 + ++event_);
      item.attributes.source = "/shops/berlin/7", item.attributes.type = "com.example.order.placed";
      item.bytes = payload_, item.content = {1, event_};
      q.items.push_back(std::move(item));
    }
    return q;
  }
  /// With a wait it is parked while there is nothing.
  [[nodiscard]] cloud::ask::claim claim(std::uint32_t count, milliseconds wait = milliseconds{0}) {
    return {session_, {{"lane"}, ++seq_, count, 1 << 30, wait, {{{"erp-db"}, count}}}};
  }
  [[nodiscard]] cloud::ask::settle settlements(const wire::claim_reply& claimed) const {
    return {session_, {{"id"}, settlements_of(claimed)}};
  }

  /// Hands a command in and carries out what follows from it. Its answer may come later.
  cloud::ticket submit(decltype(cloud::command::what) what) {
    const cloud::ticket from{++ticket_};
    core_.submit(from, {{true, {}}, 1, std::move(what)}, now_);
    carry_out();
    return from;
  }
  /// The answer to a command, which must have come.
  template <class Reply>
  Reply answer_to(cloud::ticket asked) {
    const auto at = std::find_if(answers_.begin(), answers_.end(), [&](const auto& one) { return one.first == asked; });
    SALLYPORT_ASSERT(at != answers_.end());
    auto reply = std::get<Reply>(std::move(at->second));
    answers_.erase(at);
    return reply;
  }

  void enqueue(std::size_t count) { answer_to<wire::enqueue_reply>(submit(events(count))); }
  wire::claim_reply take(std::uint32_t count) { return answer_to<wire::claim_reply>(submit(claim(count))); }
  void settle(const wire::claim_reply& claimed) { answer_to<wire::settle_reply>(submit(settlements(claimed))); }
  /// A millisecond later: expires, forgets, and makes that durable.
  void tick() {
    now_.mono += milliseconds{1}, now_.wall += milliseconds{1};
    core_.tick(now_);
    carry_out();
  }

private:
  static cloud::shard_settings settings(std::uint64_t retained) {
    cloud::shard_settings s;
    s.policy.retention_count = retained;
    return s;
  }
  void carry_out() {
    for (auto duties = core_.take_duties(); !duties.empty(); duties = core_.take_duties())
      for (auto& d : duties) {
        if (auto* r = std::get_if<cloud::duty::reply>(&d)) {
          answers_.emplace_back(r->to, std::move(r->what));
        } else if (auto* a = std::get_if<cloud::duty::append>(&d)) {
          const auto outcome = appends_ ? appends_(*a) : cloud::append_outcome{cloud::append_status::durable, a->tail + 1, {}};
          SALLYPORT_ASSERT(outcome.status == cloud::append_status::durable);
          core_.appended(outcome, now_);
        }
      }
  }

  cloud::shard core_;
  sink appends_;
  instant now_{mono_time{milliseconds{1'000'000}}, wall_time{milliseconds{1'800'000'000'000}}};
  wire::shared_bytes payload_ = std::make_shared<const std::string>(event_of_1_kib(0, false));
  std::vector<std::pair<cloud::ticket, cloud::answer>> answers_;
  session_id session_;
  std::uint64_t ticket_ = 0, event_ = 0, seq_ = 0;
};

} // namespace sallyport::bench
