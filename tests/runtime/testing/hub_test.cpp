// The in-process hub as an agent meets it: through the transport only, with nothing but stepped time.
#include "runtime/testing/hub.hpp"

#include "cloud/store/memory.hpp"
#include "protocol/codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace sallyport {
namespace {

using namespace std::chrono_literals;
using runtime::http_reply;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::outage;
using ::testing::SizeIs;

constexpr std::uint32_t session_slot = 0, claim_slot = 1;
const group_name site{"site"};
const connection_name erp{"erp"};

/// Tests that open sessions by hand and let them die.
testing::hub_options impatient() {
  testing::hub_options o;
  o.wait_for_agents = 0ms;
  return o;
}

std::string order(const std::string& id) {
  return R"({"specversion":"1.0","id":")" + id + R"(","source":"/shop","type":"order","data":{"n":1}})";
}

/// An answer to come. Handlers may be called once only, never inside send().
class mail {
public:
  void arrived(result<http_reply> r) {
    ASSERT_EQ(calls_++, 0) << "a handler was called twice";
    promise_.set_value(std::move(r));
  }
  [[nodiscard]] bool here() const { return future_.wait_for(0s) == std::future_status::ready; }
  [[nodiscard]] result<http_reply> get() const {
    if (future_.wait_for(20s) != std::future_status::ready)
      return {errc::internal, "the handler was never called"};
    return future_.get();
  }
  [[nodiscard]] errc fault() const {
    const auto r = get();
    return r ? errc::internal : r.err().code;
  }
  [[nodiscard]] int status() const {
    const auto r = get();
    return r ? r->status : 0;
  }
  template <class Reply>
  [[nodiscard]] Reply as() const {
    auto r = get();
    if (!r) {
      ADD_FAILURE() << to_string(r.err());
      return {};
    }
    auto read = wire::decode<Reply>(r->body);
    EXPECT_TRUE(read.ok()) << r->status << ' ' << r->body;
    return read ? *read : Reply{};
  }

private:
  std::promise<result<http_reply>> promise_;
  std::shared_future<result<http_reply>> future_ = promise_.get_future().share();
  std::atomic<int> calls_{0};
};
using mail_ptr = std::shared_ptr<mail>;

/// The wire of one agent, by hand.
struct peer {
  std::shared_ptr<runtime::transport> line;
  session_id session;

  explicit peer(testing::hub& hub) : line(*hub.transport()("https://hub.test")) {}

  mail_ptr send(std::string target, std::string body, std::uint32_t slot = session_slot, milliseconds timeout = 30s,
                std::string method = "POST") const {
    runtime::http_request r;
    r.method = std::move(method);
    r.target = std::move(target);
    r.body = std::move(body);
    r.slot = slot;
    r.timeout = timeout;
    auto m = std::make_shared<mail>();
    std::thread::id sender = std::this_thread::get_id();
    line->send(std::move(r), [m, sender](result<http_reply> reply) {
      EXPECT_NE(std::this_thread::get_id(), sender);
      m->arrived(std::move(reply));
    });
    return m;
  }
  [[nodiscard]] std::string path(const std::string& end) const { return "/v1/sessions/" + to_string(session) + end; }

  mail_ptr open(const std::string& agent = "a", std::uint64_t process = 1) {
    wire::open_session o;
    o.group = site, o.agent = {agent}, o.id = {"id-" + agent}, o.life = {process, 1}, o.version = "1";
    wire::announced_connection c;
    c.name = erp, c.adapter = "hand", c.state = wire::reach::up;
    o.connections = {c};
    auto m = send("/v1/sessions", encode(o));
    if (const auto r = m->get(); r && r->status == 201)
      session = m->as<wire::session_opened>().session;
    return m;
  }
  [[nodiscard]] mail_ptr claim(std::uint64_t seq, milliseconds wait = 25s, milliseconds timeout = 35s) const {
    return send(path("/claims"), encode(wire::claim{{"lane"}, seq, 10, 1 << 20, wait, {{erp, 10}}}), claim_slot, timeout);
  }
  [[nodiscard]] mail_ptr beat() const { return send(path("/heartbeat"), encode(wire::heartbeat{})); }
  [[nodiscard]] mail_ptr settle(const wire::grant& g, wire::outcome_kind outcome = wire::outcome_kind::done) const {
    wire::settlement s;
    s.message = g.message, s.fence = g.fence, s.outcome = outcome;
    return send(path("/settlements"), encode(wire::settle{{"id-a"}, {s}}));
  }
};

std::string state_of(testing::hub& hub, message_id id) {
  const auto view = hub.message(id);
  return view ? (*view).state : to_string(view.err());
}

TEST(testing_hub, a_message_goes_from_a_producer_to_an_agent_and_is_settled) {
  testing::hub hub;
  peer a{hub};
  EXPECT_EQ(a.open()->status(), 201);
  const auto id = hub.enqueue(site, erp, order("1"));
  ASSERT_TRUE(id.ok()) << to_string(id.err());

  const auto grants = a.claim(1)->as<wire::claim_reply>().grants;
  ASSERT_THAT(grants, SizeIs(1));
  EXPECT_EQ(grants[0].message, *id);
  EXPECT_EQ(*grants[0].event, order("1"));
  EXPECT_EQ(state_of(hub, *id), "granted");
  EXPECT_EQ(a.settle(grants[0])->as<wire::settle_reply>().items.at(0).kind, wire::verdict_kind::settled);
  EXPECT_EQ(state_of(hub, *id), "settled");
  const auto view = hub.group(site);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ((*view).agents.at(0).settled_total, 1u);
}

TEST(testing_hub, refusals_of_the_hub_are_errors_of_the_helpers_and_replies_of_the_transport) {
  testing::hub hub;
  EXPECT_EQ(hub.enqueue(site, erp, "{").err().code, errc::malformed_json);
  EXPECT_EQ(hub.message({1, 1}).err().code, errc::unknown_message);
  EXPECT_EQ(hub.call(site, erp, order("1")).err().code, errc::no_agent_up);
  const auto raw = hub.request("GET", "/v1/nothing");
  ASSERT_TRUE(raw.ok());
  EXPECT_EQ(raw->status, 404);
  EXPECT_THAT(raw->body, HasSubstr("not_found"));
}

TEST(testing_hub, a_parked_claim_is_answered_when_something_arrives_without_any_time_passing) {
  testing::hub hub;
  peer a{hub};
  a.open();
  const auto claim = a.claim(1);
  hub.sync();
  EXPECT_FALSE(claim->here());
  const auto before = hub.now();
  ASSERT_TRUE(hub.enqueue(site, erp, order("1")).ok());
  EXPECT_THAT(claim->as<wire::claim_reply>().grants, SizeIs(1));
  EXPECT_EQ(hub.now(), before);
}

TEST(testing_hub, a_parked_claim_is_answered_empty_when_its_wait_is_over_in_stepped_time) {
  auto options = impatient();
  options.session_ttl = 60s;
  testing::hub hub{options};
  peer a{hub};
  a.open();
  const auto claim = a.claim(1, 5s);
  hub.advance(4'900ms);
  EXPECT_FALSE(claim->here());
  hub.advance(200ms);
  EXPECT_TRUE(claim->here()); // What a step answers is handed over before the step returns.
  EXPECT_THAT(claim->as<wire::claim_reply>().grants, IsEmpty());
}

TEST(testing_hub, a_call_gets_the_result_of_the_agent_that_settles_it) {
  testing::hub hub;
  peer a{hub};
  a.open();
  const auto claim = a.claim(1);
  hub.sync();
  auto caller = std::async(std::launch::async, [&hub] { return hub.call(site, erp, order("1")); });
  const auto grants = claim->as<wire::claim_reply>().grants;
  ASSERT_THAT(grants, SizeIs(1));
  EXPECT_TRUE(grants[0].call);
  wire::settlement s;
  s.message = grants[0].message, s.fence = grants[0].fence, s.result = R"({"rows":3})";
  a.send(a.path("/settlements"), encode(wire::settle{{"id-a"}, {s}}));
  const auto reply = caller.get();
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ((*reply).result, R"({"rows":3})");
}

TEST(testing_hub, a_failed_message_comes_again_when_its_backoff_has_passed_in_stepped_time) {
  auto options = impatient();
  options.session_ttl = 600s;
  options.tick = 1s;
  options.policy.backoff_min = 30s;
  testing::hub hub{options};
  peer a{hub};
  a.open();
  const auto id = hub.enqueue(site, erp, order("1"));
  const auto first = a.claim(1)->as<wire::claim_reply>().grants;
  EXPECT_EQ(a.settle(first.at(0), wire::outcome_kind::failed)->status(), 200);
  EXPECT_EQ(state_of(hub, *id), "delayed");
  const auto again = a.claim(2, 50s, 55s);
  EXPECT_TRUE(hub.advance_until([&] { return again->here(); }, 40s));
  const auto second = again->as<wire::claim_reply>().grants;
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].attempt, 2u);
  EXPECT_GT(second[0].fence, first[0].fence);
}

TEST(testing_hub, advance_until_gives_up_after_as_much_stepped_time_as_allowed) {
  testing::hub hub;
  const auto before = hub.now().mono;
  EXPECT_FALSE(hub.advance_until([] { return false; }, 2s));
  EXPECT_EQ(hub.now().mono - before, 2s);
}

TEST(testing_hub, both_clocks_move_together_and_the_hook_runs_at_every_tick) {
  testing::hub hub;
  const auto before = hub.time()->now();
  std::vector<milliseconds> seen;
  hub.between_ticks([&] { seen.push_back(hub.time()->now().mono - before.mono); });
  hub.advance(250ms);
  EXPECT_THAT(seen, ::testing::ElementsAre(100ms, 200ms, 250ms));
  EXPECT_EQ(hub.time()->now().wall - before.wall, 250ms);
  EXPECT_EQ(to_rfc3339(before.wall), "2026-01-01T00:00:00.000Z");
}

// ---- slots and timeouts --------------------------------------------------------------------------------------------------------

TEST(testing_hub, requests_of_one_slot_wait_for_one_another_and_slots_do_not) {
  testing::hub hub{impatient()};
  peer a{hub};
  a.open();
  const auto parked = a.claim(1, 5s);
  const auto behind = a.send(a.path("/heartbeat"), encode(wire::heartbeat{}), claim_slot);
  EXPECT_EQ(a.beat()->status(), 200);
  hub.sync();
  EXPECT_FALSE(parked->here());
  EXPECT_FALSE(behind->here());
  hub.advance(6s);
  EXPECT_EQ(parked->status(), 200);
  EXPECT_EQ(behind->status(), 200);
}

TEST(testing_hub, a_request_runs_out_of_time_by_stepped_time_and_its_slot_goes_on) {
  testing::hub hub{impatient()};
  peer a{hub};
  a.open();
  const auto parked = a.claim(1, 25s, 3s); // Nobody waits as long as it asks the hub to.
  hub.advance(2'900ms);
  EXPECT_FALSE(parked->here());
  hub.advance(100ms);
  EXPECT_TRUE(parked->here());
  EXPECT_EQ(parked->fault(), errc::timed_out);

  // The hub was told: what arrives now is not granted to it.
  const auto id = hub.enqueue(site, erp, order("1"));
  EXPECT_EQ(state_of(hub, *id), "ready");
  EXPECT_THAT(a.claim(2)->as<wire::claim_reply>().grants, SizeIs(1));
}

// ---- faults --------------------------------------------------------------------------------------------------------------------

TEST(testing_hub, a_refused_line_ends_what_has_left_as_unknown_and_refuses_the_rest_until_it_is_mended) {
  testing::hub hub;
  peer a{hub};
  a.open();
  const auto parked = a.claim(1);
  const auto behind = a.send(a.path("/claims"), {}, claim_slot);
  hub.sync();
  hub.cut();
  EXPECT_EQ(parked->fault(), errc::outcome_unknown);
  EXPECT_EQ(behind->fault(), errc::unreachable);
  EXPECT_EQ(a.beat()->fault(), errc::unreachable);
  hub.sync();
  const auto id = hub.enqueue(site, erp, order("1")); // Producers have a line of their own.
  EXPECT_EQ(state_of(hub, *id), "ready");
  hub.mend();
  EXPECT_EQ(a.beat()->status(), 200);
  EXPECT_THAT(a.claim(1)->as<wire::claim_reply>().grants, SizeIs(1));
}

TEST(testing_hub, a_silent_line_swallows_a_grant_that_the_same_claim_gets_again) {
  testing::hub hub{impatient()};
  peer a{hub};
  a.open();
  const auto parked = a.claim(1, 25s, 2s);
  hub.sync();
  hub.cut(outage::silent);
  const auto id = hub.enqueue(site, erp, order("1"));
  EXPECT_EQ(state_of(hub, *id), "granted");
  const auto beat = a.send(a.path("/heartbeat"), encode(wire::heartbeat{}), session_slot, 1s);
  hub.sync();
  EXPECT_FALSE(parked->here());
  EXPECT_FALSE(beat->here());
  hub.advance(1s);
  EXPECT_EQ(beat->fault(), errc::timed_out);
  hub.mend();
  hub.sync();
  EXPECT_FALSE(parked->here()); // What was lost stays lost.
  hub.advance(1s);
  EXPECT_EQ(parked->fault(), errc::timed_out);
  const auto again = a.claim(1)->as<wire::claim_reply>().grants;
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].message, *id);
}

TEST(testing_hub, a_lost_answer_to_a_settlement_can_be_asked_for_again) {
  testing::hub hub;
  peer a{hub};
  a.open();
  const auto id = hub.enqueue(site, erp, order("1"));
  const auto grants = a.claim(1)->as<wire::claim_reply>().grants;
  hub.lose_replies(1, "/settlements");
  EXPECT_EQ(a.beat()->status(), 200);
  EXPECT_EQ(a.settle(grants.at(0))->fault(), errc::outcome_unknown);
  EXPECT_EQ(state_of(hub, *id), "settled");
  const auto again = a.settle(grants[0])->as<wire::settle_reply>();
  EXPECT_EQ(again.items.at(0).outcome, wire::outcome_kind::done);
}

TEST(testing_hub, a_restart_keeps_what_was_acknowledged_and_drops_what_was_under_way) {
  testing::hub hub;
  peer a{hub};
  a.open();
  const auto id = hub.enqueue(site, erp, order("1"));
  const auto grants = a.claim(1)->as<wire::claim_reply>().grants;
  const auto waiting = hub.enqueue(site, {"other"}, order("2"));
  const auto parked = a.claim(2);
  hub.sync();

  hub.restart();
  EXPECT_EQ(parked->fault(), errc::outcome_unknown);
  EXPECT_EQ(state_of(hub, *waiting), "ready");
  EXPECT_EQ(state_of(hub, *id), "granted");
  EXPECT_EQ(a.beat()->status(), 200); // Sessions are on the disk, too.
  EXPECT_EQ(a.settle(grants.at(0))->as<wire::settle_reply>().items.at(0).kind, wire::verdict_kind::settled);

  hub.restart();
  EXPECT_EQ(state_of(hub, *id), "settled");
  EXPECT_EQ((*hub.enqueue(site, erp, order("1"))), *id); // A duplicate, still.
}

TEST(testing_hub, a_restart_in_the_middle_of_enqueues_loses_nothing_that_was_acknowledged) {
  testing::hub hub;
  std::atomic<bool> stop{false};
  std::vector<message_id> acknowledged;
  std::thread producer{[&] {
    for (int i = 0; !stop; ++i)
      if (const auto id = hub.enqueue(site, erp, order(std::to_string(i))); id.ok())
        acknowledged.push_back(*id);
  }};
  for (int i = 0; i < 10; ++i) {
    hub.restart();
    EXPECT_TRUE(hub.wait_until([&] { return hub.enqueue(site, {"probe"}, order("p" + std::to_string(i))).ok(); }));
  }
  stop = true;
  producer.join();
  EXPECT_FALSE(acknowledged.empty());
  for (const auto id : acknowledged)
    EXPECT_EQ(state_of(hub, id), "ready");
}

TEST(testing_hub, a_full_disk_refuses_producers_until_there_is_room) {
  testing::hub hub;
  ASSERT_TRUE(hub.enqueue(site, erp, order("1")).ok());
  hub.disk().set_capacity(0);
  const auto refused_with = [&](errc code) {
    const auto r = hub.enqueue(site, erp, order("2"));
    return !r && r.err().code == code;
  };
  EXPECT_TRUE(
    hub.wait_until([&] { return refused_with(errc::store_full); })); // The first may have been under way: outcome_unknown.
  hub.disk().set_capacity(1 << 30);
  EXPECT_TRUE(hub.wait_until([&] { return !refused_with(errc::store_full); }));
  EXPECT_TRUE(hub.enqueue(site, erp, order("3")).ok());
}

TEST(testing_hub, transports_outlive_the_hub_and_find_nobody_there) {
  auto hub = std::make_unique<testing::hub>();
  peer a{*hub};
  const auto connect = hub->transport();
  a.open();
  const auto parked = a.claim(1);
  hub->sync();
  hub.reset();
  EXPECT_EQ(parked->fault(), errc::outcome_unknown);
  EXPECT_EQ(a.beat()->fault(), errc::unreachable);
  EXPECT_TRUE(connect("https://hub.test").ok());
}

// ---- sessions ------------------------------------------------------------------------------------------------------------------

TEST(testing_hub, a_silent_session_expires_after_its_time_of_stepped_time_and_its_grants_are_lost) {
  testing::hub hub{impatient()};
  peer a{hub};
  a.open();
  const auto id = hub.enqueue(site, erp, order("1"));
  ASSERT_THAT(a.claim(1)->as<wire::claim_reply>().grants, SizeIs(1));
  hub.advance(9s);
  EXPECT_EQ(a.beat()->status(), 200);
  hub.advance(9s); // The heartbeat counted.
  EXPECT_EQ(state_of(hub, *id), "granted");
  hub.advance(2s);
  EXPECT_EQ(state_of(hub, *id), "ready");
  EXPECT_EQ((*hub.message(*id)).losses, 1u);
  EXPECT_EQ(a.beat()->status(), 410);
}

TEST(testing_hub, expire_sessions_does_it_to_a_session_whose_agent_is_waited_for) {
  testing::hub hub;
  peer a{hub};
  a.open();
  hub.expire_sessions();
  EXPECT_EQ(a.beat()->status(), 410); // The line is mended.
}

TEST(testing_hub, time_waits_for_an_agent_that_keeps_its_session_in_real_time) {
  testing::hub hub;
  peer a{hub};
  a.open();
  std::atomic<bool> stop{false};
  std::thread agent{[&, heard = hub.time()->now().mono]() mutable {
    for (; !stop; std::this_thread::yield())
      if (const auto now = hub.time()->now().mono; now - heard > 2'500ms) {
        heard = now;
        EXPECT_EQ(a.beat()->status(), 200);
      }
  }};
  hub.advance(300s);
  stop = true;
  agent.join();
  EXPECT_EQ(a.beat()->status(), 200);
}

TEST(testing_hub, time_waits_once_for_a_session_that_stays_silent_and_not_for_one_that_is_closed_or_replaced) {
  testing::hub_options options;
  options.wait_for_agents = 50ms;
  testing::hub hub{options};
  peer dead{hub}, replaced{hub}, newer{hub}, closed{hub};
  dead.open("dead");
  replaced.open("b", 1);
  newer.open("b", 2);
  closed.open("c");
  EXPECT_EQ(closed.send(closed.path(""), {}, session_slot, 5s, "DELETE")->status(), 200);
  newer.line->close();
  hub.advance(60s); // Would take minutes if every step waited.
  EXPECT_EQ(dead.beat()->status(), 410);
}

// ---- closing -------------------------------------------------------------------------------------------------------------------

TEST(testing_hub, closing_ends_what_is_under_way_with_stopped_and_refuses_more) {
  testing::hub hub;
  peer a{hub}, b{hub};
  a.open("a");
  b.open("b");
  const auto parked = a.claim(1);
  const auto behind = a.send(a.path("/claims"), {}, claim_slot);
  const auto theirs = b.claim(1);
  hub.sync();
  a.line->close();
  EXPECT_TRUE(parked->here()); // When it returns no handler will run any more.
  EXPECT_TRUE(behind->here());
  EXPECT_EQ(parked->fault(), errc::stopped);
  EXPECT_EQ(behind->fault(), errc::stopped);
  EXPECT_EQ(a.beat()->fault(), errc::stopped);
  a.line->close();

  // The claim was taken back with it: what arrives is for the other agent.
  ASSERT_TRUE(hub.enqueue(site, erp, order("1")).ok());
  EXPECT_THAT(theirs->as<wire::claim_reply>().grants, SizeIs(1));
}

TEST(testing_hub, a_handler_may_close_its_transport) {
  testing::hub hub;
  peer a{hub};
  a.open();
  const auto parked = a.claim(1);
  hub.sync();
  std::promise<bool> closed;
  runtime::http_request beat;
  beat.target = a.path("/heartbeat");
  beat.body = encode(wire::heartbeat{});
  a.line->send(beat, [&](const result<http_reply>&) {
    a.line->close();
    closed.set_value(parked->here());
  });
  EXPECT_TRUE(closed.get_future().get());
  EXPECT_EQ(parked->fault(), errc::stopped);
}

TEST(testing_hub, every_handler_is_called_once_whatever_happens_at_the_same_time) {
  testing::hub hub{impatient()};
  std::vector<mail_ptr> all;
  for (int round = 0; round < 20; ++round) {
    peer a{hub};
    std::thread noise{[&] {
      hub.cut(round % 2 ? outage::refused : outage::silent);
      hub.advance(300ms);
      if (round % 5 == 0)
        hub.restart();
      hub.mend();
    }};
    for (std::uint32_t i = 0; i < 50; ++i)
      all.push_back(a.send(i % 3 ? "/v1/sessions" : "/healthz", "{}", i % 4, milliseconds{100 + i}));
    if (round % 2)
      noise.join();
    a.line->close();
    if (noise.joinable())
      noise.join();
  }
  for (const auto& m : all)
    EXPECT_TRUE(m->here());
}

} // namespace
} // namespace sallyport
