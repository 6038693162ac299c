// The whole tree below the steward, against a scripted hub, with stepped scheduler and clock.
#include "actors/agent_context.hpp"
#include "actors/steward.hpp"
#include "tests/actors/stepped_system.hpp"
#include "tests/support/scripted_hub.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace sallyport::actors {
namespace {

using namespace std::chrono_literals;
using sallyport::test::scripted_hub;
using test::stepped_system;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using wire::outcome_kind;
using event_kind = runtime::agent_event::kind;

message_id m(std::uint64_t n) {
  return {1, n};
}
fence_token f(std::uint64_t n) {
  return {7, n};
}

/// A local system.
struct site {
  std::vector<std::uint64_t> performed;
  std::vector<adapters::cancel_reason> cancelled; // As seen at the end of each job.
  std::vector<milliseconds> time_left;
  std::uint64_t throws_at = 0;
  bool cannot_be_made = false, cannot_be_probed = false;
  std::string result = "{\"ok\":true}";
  adapters::probe_result reach{wire::reach::up, {}};
  std::optional<adapters::failure> fails;
  int made = 0;
};

class site_adapter final : public adapters::adapter {
public:
  explicit site_adapter(std::shared_ptr<site> s) : site_(std::move(s)) {
    if (site_->cannot_be_made)
      throw std::runtime_error{"no driver"};
    ++site_->made;
  }
  adapters::probe_result probe() override {
    if (site_->cannot_be_probed)
      throw std::runtime_error{"no answer to be made sense of"};
    return site_->reach;
  }
  std::vector<adapters::outcome> perform(const std::vector<adapters::job>& jobs) override {
    std::vector<adapters::outcome> outcomes;
    for (auto& j : jobs) {
      if (j.message.serial == site_->throws_at)
        throw std::runtime_error{"poisoned"};
      site_->performed.push_back(j.message.serial);
      site_->cancelled.push_back(j.cancelled());
      site_->time_left.push_back(j.time_left);
      outcomes.push_back(site_->fails ? adapters::failed(*site_->fails) : adapters::done(site_->result));
    }
    return outcomes;
  }

private:
  std::shared_ptr<site> site_;
};

struct agent_tree : testing::Test {
  stepped_system s;
  scripted_hub hub;
  std::shared_ptr<site> db = std::make_shared<site>(), web = std::make_shared<site>();
  std::shared_ptr<agent_context> context = std::make_shared<agent_context>();
  steward_actor steward;
  std::vector<event_kind> events;
  std::optional<runtime::end_reason> ended;
  std::string why;
  std::uint64_t last_fence = 0;

  agent_tree() {
    s.between = [this] { return hub.answer(); };
    auto& c = *context;
    c.settings.group = {"plant"};
    c.settings.name = {"a"};
    c.settings.hubs = {"https://one", "https://two"};
    c.settings.drain = 30s;
    add("db", db, wire::effect_promise::at_least_once, 1, 1);
    add("web", web, wire::effect_promise::at_least_once, 1, 1);
    c.version = "test";
    c.id = {"installation"};
    c.process = 3;
    c.connect = hub.factory();
    c.time = std::make_shared<test::stepped_time>(s);
    c.seed = 42;
    c.own_threads = false;
    c.on_event = [this](const runtime::agent_event& e) { events.push_back(e.what); };
    c.on_end = [this](runtime::end_reason r, const std::string& w) { ended = r, why = w; };
  }
  ~agent_tree() override {
    s.workers_stand_still = false;
    if (steward && !ended)
      caf::anon_send(steward, atom::stop{});
    s.advance(15s, 500ms);
  }

  void add(const std::string& name, const std::shared_ptr<site>& where, wire::effect_promise effect, std::size_t workers,
           std::size_t batch_max) {
    agent_context::connection c;
    c.settings.name = {name};
    c.adapter.about = {"fake", effect, name, batch_max, workers};
    c.adapter.make = [where] { return std::make_unique<site_adapter>(where); };
    context->connections.push_back(std::move(c));
  }

  void start() {
    steward = spawn_steward(s.system, context);
    s.advance(100ms);
  }

  wire::grant grant(std::uint64_t n, const std::string& connection = "db", const std::string& key = {}) {
    wire::grant g;
    g.message = m(n);
    g.fence = f(++last_fence);
    g.connection = {connection};
    g.attempt_timeout = 60s;
    std::string event = R"({"specversion":"1.0","id":"1","source":"/s","type":"t")";
    if (!key.empty())
      event += R"(,"partitionkey":")" + key + "\"";
    g.event = std::make_shared<const std::string>(event + "}");
    return g;
  }
  void give(std::initializer_list<wire::grant> grants) {
    hub.to_grant.insert(hub.to_grant.end(), grants);
    s.run();
  }

  std::map<std::uint64_t, wire::settlement> settled() const {
    std::map<std::uint64_t, wire::settlement> by_message;
    for (auto& x : hub.settled)
      by_message[x.message.serial] = x;
    return by_message;
  }

  template <class Handle>
  std::vector<child_list::child> children_of(const Handle& of) {
    caf::scoped_actor self{s.system};
    std::vector<child_list::child> found;
    auto answer = self->request(of, 1s, atom::children{});
    s.run();
    answer.receive([&](const children_ptr& list) { found = list->children; }, [](const caf::error&) {});
    return found;
  }
  /// Lets a member of the session unit fail.
  void crash(const std::string& name) {
    for (auto& below_root : children_of(steward))
      for (auto& c : children_of(caf::actor_cast<supervisor_actor>(below_root.handle)))
        if (c.name == name) {
          caf::anon_send_exit(c.handle, caf::exit_reason::unhandled_exception);
          s.run();
          return;
        }
    FAIL() << "no child " << name;
  }
};

// -- the way of a message ----------------------------------------------------------------------------------------------------------

TEST_F(agent_tree, opens_a_session_announces_what_it_reaches_and_parks_two_claims) {
  start();
  ASSERT_THAT(hub.openings, SizeIs(1));
  EXPECT_EQ(hub.openings[0].life, (incarnation{3, 1}));
  EXPECT_EQ(hub.openings[0].agent.value, "a");
  ASSERT_FALSE(hub.heartbeats.empty()) << "the second probe ended after the opening had left";
  for (auto& c : hub.heartbeats.back().connections)
    EXPECT_EQ(c.state, wire::reach::up) << c.name.value;
  EXPECT_THAT(hub.open, SizeIs(2));
  EXPECT_NE(hub.claims[0].lane, hub.claims[1].lane);
  EXPECT_THAT(events, Contains(event_kind::connected));
  EXPECT_THAT(events, Contains(event_kind::connection_up));
}

TEST_F(agent_tree, a_granted_message_is_performed_and_settled) {
  start();
  give({grant(1)});
  EXPECT_THAT(db->performed, ElementsAre(1));
  ASSERT_THAT(hub.settled, SizeIs(1));
  EXPECT_EQ(hub.settled[0].outcome, outcome_kind::done);
  EXPECT_EQ(hub.settled[0].result, "{\"ok\":true}");
  EXPECT_EQ(hub.settled[0].fence, f(1));
  EXPECT_EQ(db->time_left.at(0), 60s);
}

TEST_F(agent_tree, many_messages_flow_through_and_each_is_performed_once) {
  start();
  for (std::uint64_t n = 1; n <= 500; ++n)
    hub.to_grant.push_back(grant(n, n % 2 == 0 ? "db" : "web"));
  s.advance(500ms);
  EXPECT_THAT(db->performed, SizeIs(250));
  EXPECT_THAT(web->performed, SizeIs(250));
  EXPECT_THAT(settled(), SizeIs(500));
}

TEST_F(agent_tree, messages_of_one_key_keep_their_order_and_a_failure_returns_the_rest) {
  db->fails = adapters::failure{.error = "busy"};
  start();
  s.workers_stand_still = true;
  give({grant(1, "db", "k"), grant(2, "db", "k")});
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->performed, ElementsAre(1));
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::failed);
  EXPECT_EQ(settled().at(2).outcome, outcome_kind::release);
  EXPECT_FALSE(settled().at(2).started);
}

TEST_F(agent_tree, a_lost_answer_to_a_claim_is_asked_for_with_the_same_seq_and_nothing_is_done_twice) {
  start();
  hub.drop_answers_to_claims = 1;
  give({grant(1)});
  EXPECT_THAT(db->performed, IsEmpty());
  s.advance(2s);
  EXPECT_THAT(db->performed, ElementsAre(1));
  std::map<std::pair<std::string, std::uint64_t>, int> asked;
  for (auto& c : hub.claims)
    ++asked[{c.lane.value, c.seq}];
  EXPECT_THAT(asked, Contains(testing::Pair(testing::_, 2)));
}

TEST_F(agent_tree, a_lost_answer_to_a_settlement_is_asked_for_with_the_same_fence) {
  start();
  hub.drop_answers_to_settles = 2;
  give({grant(1)});
  s.advance(5s);
  EXPECT_THAT(db->performed, ElementsAre(1));
  ASSERT_THAT(hub.settled, SizeIs(3));
  EXPECT_THAT(hub.settled, Each(Field(&wire::settlement::fence, f(1))));
}

TEST_F(agent_tree, a_hub_that_answers_in_frames_gets_its_settlements_in_frames) {
  start();
  give({grant(1), grant(2, "web", "k")});
  s.advance(1s);
  EXPECT_THAT(db->performed, ElementsAre(1));
  EXPECT_THAT(web->performed, ElementsAre(2));
  EXPECT_THAT(hub.settled, SizeIs(2));
  EXPECT_GE(hub.framed_settles, 1u);
  hub.drop_answers_to_settles = 1;
  give({grant(3)});
  s.advance(5s);
  EXPECT_EQ(settled().at(3).outcome, outcome_kind::done);
  EXPECT_THAT(db->performed, ElementsAre(1, 3));
}

TEST_F(agent_tree, a_hub_that_knows_no_frames_gets_json) {
  hub.knows_frames = false;
  start();
  give({grant(1)});
  s.advance(1s);
  EXPECT_THAT(db->performed, ElementsAre(1));
  EXPECT_THAT(hub.settled, SizeIs(1));
  EXPECT_EQ(hub.framed_settles, 0u);
}

TEST_F(agent_tree, an_older_hub_in_place_of_one_that_knew_frames_gets_the_same_settlements_in_json) {
  start();
  give({grant(1)});
  s.advance(1s);
  const auto framed = hub.framed_settles;
  EXPECT_EQ(framed, 1u);
  hub.knows_frames = false;
  give({grant(2)});
  s.advance(1s);
  EXPECT_EQ(hub.framed_settles, framed + 1) << "refused by 415";
  give({grant(3)});
  s.advance(1s);
  EXPECT_EQ(hub.framed_settles, framed + 1) << "and not tried again";
  EXPECT_THAT(db->performed, ElementsAre(1, 2, 3));
  EXPECT_THAT(hub.settled, ElementsAre(Field(&wire::settlement::fence, f(1)), Field(&wire::settlement::fence, f(2)),
                                       Field(&wire::settlement::fence, f(3))));
  hub.knows_frames = true;
  give({grant(4)});
  s.advance(1s);
  EXPECT_EQ(hub.framed_settles, framed + 2) << "a newer one again";
  EXPECT_EQ(settled().at(4).outcome, outcome_kind::done);
}

TEST_F(agent_tree, a_result_that_is_not_one_json_value_is_kept_from_the_hub_and_the_effect_still_counts) {
  start();
  for (auto* bad : {"{", "1,\"x\":2", "1 2", "}{"}) {
    db->result = bad;
    give({grant(last_fence + 1)});
  }
  ASSERT_THAT(hub.settled, SizeIs(4));
  for (auto& x : hub.settled) {
    EXPECT_EQ(x.outcome, outcome_kind::done);
    EXPECT_EQ(x.result, "");
  }
}

TEST_F(agent_tree, while_a_target_is_down_its_messages_are_left_to_others) {
  db->reach = {wire::reach::down, "connection refused"};
  start();
  for (auto& c : hub.claims)
    for (auto& credit : c.connections)
      EXPECT_EQ(credit.name.value, "web");
  db->reach = {wire::reach::up, {}};
  s.advance(12s, 500ms); // The next look.
  for (auto& c : hub.heartbeats.back().connections)
    EXPECT_EQ(c.state, wire::reach::up) << c.name.value;
  give({grant(1)});
  EXPECT_THAT(db->performed, ElementsAre(1));
}

TEST_F(agent_tree, a_failure_of_the_target_makes_it_look_at_once) {
  start();
  db->fails = adapters::failure{.error = "gone", .scope = wire::failure_scope::target, .effect = wire::effect_state::none};
  db->reach = {wire::reach::down, "gone"};
  give({grant(1)});
  EXPECT_THAT(events, Contains(event_kind::connection_down));
  EXPECT_EQ(settled().at(1).scope, wire::failure_scope::target);
}

// -- adapters that crash -------------------------------------------------------------------------------------------------------------

TEST_F(agent_tree, an_adapter_that_throws_restarts_its_host_its_messages_return_and_the_others_go_on) {
  db->throws_at = 1;
  start();
  s.workers_stand_still = true;
  give({grant(1), grant(2), grant(3, "web")});
  s.workers_stand_still = false;
  s.run();
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::failed) << "alone: it is charged with an attempt";
  EXPECT_EQ(settled().at(1).effect, wire::effect_state::unknown);
  EXPECT_THAT(settled().at(1).error, HasSubstr("poisoned"));
  EXPECT_EQ(settled().at(2).outcome, outcome_kind::release);
  EXPECT_FALSE(settled().at(2).started);
  EXPECT_EQ(settled().at(3).outcome, outcome_kind::done);
  EXPECT_THAT(events, Contains(event_kind::restarted));
  EXPECT_EQ(db->made, 1);
  s.advance(1s);
  EXPECT_EQ(db->made, 2);
  give({grant(4)});
  EXPECT_THAT(db->performed, ElementsAre(4));
  EXPECT_THAT(hub.openings, SizeIs(1)) << "the session does not notice";
  EXPECT_FALSE(ended);
}

TEST_F(agent_tree, work_that_waits_behind_a_probe_which_throws_returns_and_the_connection_goes_on) {
  start();
  s.workers_stand_still = true;
  s.advance(context->settings.probe_interval);
  give({grant(1)});
  db->cannot_be_probed = true;
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->performed, IsEmpty());
  ASSERT_TRUE(settled().contains(1));
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::release);
  EXPECT_FALSE(settled().at(1).started);
  db->cannot_be_probed = false;
  s.advance(1s);
  EXPECT_EQ(db->made, 2);
  give({grant(2)});
  EXPECT_THAT(db->performed, ElementsAre(2));
  EXPECT_FALSE(ended);
}

TEST_F(agent_tree, other_workers_of_a_crashed_host_finish_first_and_their_outcomes_count) {
  context->connections[0].adapter.about.workers = 2;
  db->throws_at = 1;
  start();
  s.workers_stand_still = true;
  give({grant(1), grant(2)});
  s.workers_stand_still = false;
  s.run();
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::failed);
  EXPECT_EQ(settled().at(2).outcome, outcome_kind::done);
}

TEST_F(agent_tree, an_adapter_that_cannot_be_made_ends_the_agent_when_every_budget_is_used_up) {
  db->cannot_be_made = true;
  start();
  EXPECT_FALSE(ended);
  s.advance(5min, 250ms);
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::escalated);
  EXPECT_THAT(events, Contains(event_kind::escalated));
}

// -- leases --------------------------------------------------------------------------------------------------------------------------

TEST_F(agent_tree, running_work_whose_lease_is_lost_gets_the_signal) {
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  hub.lost = {{m(1), f(1)}};
  s.advance(3s); // The next heartbeat says so.
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->cancelled, ElementsAre(adapters::cancel_reason::lost_lease));
  EXPECT_THAT(hub.settled, SizeIs(1)) << "kept by the hub as evidence";
}

TEST_F(agent_tree, work_that_may_finish_without_its_lease_is_left_alone) {
  context->connections[0].adapter.about.effect = wire::effect_promise::exactly_once;
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  hub.lost = {{m(1), f(1)}};
  s.advance(3s);
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->cancelled, ElementsAre(adapters::cancel_reason::none));
}

TEST_F(agent_tree, an_attempt_past_its_time_gets_the_signal) {
  start();
  s.workers_stand_still = true;
  auto g = grant(1);
  g.attempt_timeout = 2s;
  give({g});
  s.advance(2'100ms);
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->cancelled, ElementsAre(adapters::cancel_reason::attempt_timeout));
}

TEST_F(agent_tree, work_handed_over_before_a_long_standstill_is_not_begun_after_it) {
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  hub.script = [](auto&) { return scripted_hub::failure(errc::unreachable); };
  s.advance(15s); // Past the session's time; the worker has not come to it yet.
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->performed, IsEmpty());
  hub.script = nullptr;
  s.advance(40s, 500ms);
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::release);
  EXPECT_FALSE(settled().at(1).started);
}

TEST_F(agent_tree, an_unreachable_hub_is_looked_for_at_every_address_for_ever) {
  hub.script = [](auto&) { return scripted_hub::failure(errc::unreachable); };
  start();
  s.advance(10min, 1s);
  EXPECT_THAT(hub.urls, Contains("https://one"));
  EXPECT_THAT(hub.urls, Contains("https://two"));
  EXPECT_GT(hub.openings.size(), 20u);
  EXPECT_LT(hub.openings.size(), 100u);
  EXPECT_THAT(events, Contains(event_kind::disconnected));
  hub.script = nullptr;
  s.advance(31s, 500ms);
  give({grant(1)});
  EXPECT_THAT(db->performed, ElementsAre(1));
  EXPECT_EQ(hub.openings.back().life, (incarnation{3, 1}));
}

TEST_F(agent_tree, an_expired_session_is_followed_by_the_next_opening) {
  start();
  hub.script = [](auto& r) -> std::optional<result<runtime::http_reply>> {
    if (r.http.target.find("-1/") != std::string::npos) // Of the first session.
      return scripted_hub::problem(errc::session_expired);
    return std::nullopt;
  };
  s.advance(3s);
  ASSERT_GE(hub.openings.size(), 2u);
  EXPECT_EQ(hub.openings[1].life, (incarnation{3, 2}));
  give({grant(1)});
  EXPECT_THAT(db->performed, ElementsAre(1));
}

TEST_F(agent_tree, a_replaced_agent_stops_and_says_why) {
  start();
  hub.script = [](auto& r) -> std::optional<result<runtime::http_reply>> {
    if (r.ends_with("/heartbeat"))
      return scripted_hub::problem(errc::session_replaced);
    return std::nullopt;
  };
  s.advance(3s);
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::session_replaced);
  EXPECT_THAT(events, Contains(event_kind::session_replaced));
}

// -- restarts of the session unit ----------------------------------------------------------------------------------------------------

TEST_F(agent_tree, a_crash_in_the_session_unit_reopens_naming_the_fences_that_still_run) {
  for (auto* who : {"hub-link", "lease-manager", "poller"}) {
    SCOPED_TRACE(who);
    hub.openings.clear();
    if (!steward)
      start();
    s.workers_stand_still = true;
    const auto n = last_fence + 1;
    give({grant(n), grant(n + 1)}); // One runs, one waits.
    const auto before = hub.settled.size();
    crash(who);
    s.advance(2s);
    ASSERT_FALSE(hub.openings.empty());
    EXPECT_GT(hub.openings.back().life.opening, 1u);
    EXPECT_THAT(hub.openings.back().held, ElementsAre(wire::held_grant{m(n), f(n)}));
    s.workers_stand_still = false;
    s.run();
    EXPECT_THAT(db->performed, Contains(n));
    ASSERT_GT(hub.settled.size(), before);
    EXPECT_EQ(settled().at(n).outcome, outcome_kind::done);
    EXPECT_EQ(db->made, 1) << "adapters live on";
    s.advance(70s, 1s); // Forgiven.
  }
}

TEST_F(agent_tree, outcomes_the_hub_had_not_answered_survive_a_crash_of_the_lease_manager) {
  start();
  hub.drop_answers_to_settles = 1'000;
  give({grant(1)});
  EXPECT_THAT(db->performed, ElementsAre(1));
  crash("lease-manager");
  hub.drop_answers_to_settles = 0;
  s.advance(2s);
  EXPECT_THAT(hub.openings.back().held, ElementsAre(wire::held_grant{m(1), f(1)}));
  EXPECT_EQ(hub.settled.back().outcome, outcome_kind::done);
  EXPECT_EQ(hub.settled.back().message, m(1));
  const auto sent = hub.settled.size();
  crash("lease-manager");
  s.advance(2s);
  EXPECT_THAT(hub.openings.back().held, IsEmpty()) << "answered: the host has forgotten it";
  EXPECT_EQ(hub.settled.size(), sent);
}

TEST_F(agent_tree, a_session_unit_that_keeps_crashing_ends_the_agent) {
  start();
  for (int i = 0; i < 200 && !ended; ++i) {
    caf::actor unit;
    for (auto& c : children_of(steward))
      if (c.name == "session unit")
        unit = c.handle;
    if (unit)
      for (auto& c : children_of(caf::actor_cast<supervisor_actor>(unit)))
        if (c.name == "poller" && c.handle)
          caf::anon_send_exit(c.handle, caf::exit_reason::unhandled_exception);
    s.advance(250ms);
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::escalated);
}

// -- what the hub is told --------------------------------------------------------------------------------------------------------------

TEST_F(agent_tree, a_heartbeat_names_what_is_held_and_lists_it_when_asked) {
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  hub.commands = {wire::session_command::list_held};
  s.advance(3s);
  held_summary expected;
  expected.add(f(1));
  EXPECT_EQ(hub.heartbeats.back().held_count, 1u);
  EXPECT_EQ(hub.heartbeats.back().held_hash, expected.hash());
  ASSERT_TRUE(hub.heartbeats.back().list);
  EXPECT_THAT(hub.heartbeats.back().list->held, ElementsAre(wire::held_grant{m(1), f(1)}));
  EXPECT_THAT(hub.heartbeats.back().list->lanes, SizeIs(1));
}

// -- ends ----------------------------------------------------------------------------------------------------------------------------

TEST_F(agent_tree, a_drain_finishes_what_is_held_closes_the_session_and_ends) {
  start();
  s.workers_stand_still = true;
  give({grant(1), grant(2)});
  caf::anon_send(steward, atom::drain{});
  s.advance(1s);
  EXPECT_FALSE(ended);
  for (auto& c : hub.heartbeats.back().connections)
    EXPECT_EQ(c.state, wire::reach::down) << "no more, please";
  EXPECT_EQ(hub.closes, 0u);
  const auto claims = hub.claims.size();
  s.workers_stand_still = false;
  s.advance(500ms);
  EXPECT_THAT(db->performed, ElementsAre(1, 2));
  EXPECT_THAT(settled(), SizeIs(2));
  EXPECT_EQ(hub.closes, 1u);
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::drained);
  EXPECT_EQ(hub.claims.size(), claims) << "nothing new was claimed";
}

TEST_F(agent_tree, grants_that_were_under_way_when_the_drain_began_are_worked_off) {
  start();
  // The hub grants to a parked claim, but the answer gets lost: only the repetition brings it.
  hub.drop_answers_to_claims = 1;
  hub.to_grant.push_back(grant(1));
  hub.answer();
  caf::anon_send(steward, atom::drain{});
  s.advance(1s);
  EXPECT_THAT(db->performed, ElementsAre(1));
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::drained);
}

TEST_F(agent_tree, a_drain_that_takes_too_long_gives_back_the_rest_and_what_still_runs) {
  start();
  s.workers_stand_still = true;
  give({grant(1), grant(2)});
  caf::anon_send(steward, atom::drain{});
  s.advance(29s, 500ms);
  EXPECT_THAT(hub.settled, IsEmpty());
  s.advance(4s);
  EXPECT_EQ(settled().at(2).outcome, outcome_kind::release);
  EXPECT_FALSE(settled().at(2).started);
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::release);
  EXPECT_TRUE(settled().at(1).started);
  EXPECT_EQ(hub.closes, 1u);
  s.workers_stand_still = false;
  s.advance(6s, 500ms);
  EXPECT_TRUE(ended);
}

TEST_F(agent_tree, stopping_while_draining_gives_everything_back_at_once) {
  start();
  s.workers_stand_still = true;
  give({grant(1), grant(2)});
  caf::anon_send(steward, atom::drain{});
  s.advance(1s);
  caf::anon_send(steward, atom::stop{});
  s.advance(1s);
  EXPECT_THAT(settled(), SizeIs(2));
  EXPECT_EQ(hub.closes, 1u);
  s.workers_stand_still = false;
  s.run();
  EXPECT_THAT(db->cancelled, ElementsAre(adapters::cancel_reason::shutdown));
  s.advance(1s);
  EXPECT_TRUE(ended);
}

TEST_F(agent_tree, a_drain_without_a_hub_ends_all_the_same) {
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  hub.script = [](auto&) { return scripted_hub::failure(errc::unreachable); };
  s.workers_stand_still = false;
  s.run();
  caf::anon_send(steward, atom::drain{});
  s.advance(60s, 500ms);
  ASSERT_TRUE(ended);
  EXPECT_NE(*ended, runtime::end_reason::escalated);
}

TEST_F(agent_tree, a_crash_of_the_lease_manager_does_not_forget_the_drain) {
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  caf::anon_send(steward, atom::drain{});
  s.advance(1s);
  crash("lease-manager");
  s.advance(1s);
  s.workers_stand_still = false;
  s.advance(2s);
  EXPECT_EQ(settled().at(1).outcome, outcome_kind::done);
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::drained);
}

TEST_F(agent_tree, the_hub_can_ask_for_a_drain) {
  start();
  hub.commands = {wire::session_command::drain};
  s.advance(4s);
  EXPECT_THAT(events, Contains(event_kind::drain_wanted));
  ASSERT_TRUE(ended);
  EXPECT_EQ(*ended, runtime::end_reason::drained);
}

TEST_F(agent_tree, says_what_it_is_at) {
  start();
  s.workers_stand_still = true;
  give({grant(1)});
  caf::scoped_actor self{s.system};
  auto answer = self->request(steward, 1s, atom::status{});
  s.run();
  status_ptr status;
  answer.receive([&](const status_ptr& p) { status = p; }, [](const caf::error&) {});
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->session_open);
  EXPECT_EQ(status->held, 1u);
  ASSERT_THAT(status->connections, SizeIs(2));
  EXPECT_EQ(status->connections[0].running, 1u);
  EXPECT_EQ(status->connections[0].state, wire::reach::up);
}

} // namespace
} // namespace sallyport::actors
