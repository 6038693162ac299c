#include "tests/cloud/core/scene.hpp"

namespace sallyport::cloud::test {

class operating : public scene {};

TEST_F(operating, the_same_event_is_stored_once_also_within_a_batch_and_after_a_restart) {
  auto first = enqueue("1");
  auto again = get<wire::enqueue_reply>(ask::enqueue{plant, erp, {event("1"), event("2"), event("2")}}).messages;
  EXPECT_EQ(again[0].message, first);
  EXPECT_TRUE(again[0].duplicate);
  EXPECT_FALSE(again[1].duplicate);
  EXPECT_TRUE(again[2].duplicate);
  EXPECT_EQ(again[1].message, again[2].message);
  restart();
  EXPECT_TRUE(get<wire::enqueue_reply>(ask::enqueue{plant, erp, {event("1")}}).messages[0].duplicate);
  EXPECT_EQ(queue().ready, 2u);
}

TEST_F(operating, a_settled_event_is_known_until_its_retention_ends) {
  wire::policy_patch patch;
  patch.retention = milliseconds{60'000};
  configure(patch);
  auto a = open({});
  auto m = enqueue("1");
  settle(a, done(claim(a).at(0), "1"));
  EXPECT_TRUE(get<wire::enqueue_reply>(ask::enqueue{plant, erp, {event("1")}}).messages[0].duplicate);
  pass(milliseconds{60'000});
  EXPECT_EQ(refused(ask::view_message{m}), errc::unknown_message);
  EXPECT_FALSE(get<wire::enqueue_reply>(ask::enqueue{plant, erp, {event("1")}}).messages[0].duplicate);
  EXPECT_EQ(disk->records(tree::content).size(), 1u) << "the result went with it";
}

TEST_F(operating, retention_is_bounded_by_count_too) {
  wire::policy_patch patch;
  patch.retention_count = 2;
  configure(patch);
  auto a = open({});
  auto ids = enqueue_all({"1", "2", "3"});
  for (auto& g : claim(a))
    settle(a, done(g));
  pass(milliseconds{250});
  EXPECT_EQ(refused(ask::view_message{ids[0]}), errc::unknown_message);
  EXPECT_EQ(queue().retained, 2u);
}

TEST_F(operating, an_id_reused_with_other_content_stores_nothing_of_the_batch) {
  enqueue("1");
  auto e = get<error>(ask::enqueue{plant, erp, {event("2"), event("1", "2")}});
  EXPECT_EQ(e.code, errc::id_reused);
  EXPECT_EQ(e.index, 1u);
  EXPECT_EQ(queue().ready, 1u);
}

TEST_F(operating, an_unknown_connection_names_the_near_ones_and_is_made_only_when_allowed) {
  auto e = get<error>(ask::enqueue{plant, {"erb"}, {event("1")}});
  EXPECT_EQ(e.code, errc::unknown_connection);
  EXPECT_NE(e.detail.find("\"erp\""), std::string::npos) << e.detail;
  get<wire::enqueue_reply>(ask::enqueue{plant, {"erb"}, {event("1")}, true});
}

TEST_F(operating, a_full_queue_refuses_a_batch_whole) {
  wire::policy_patch patch;
  patch.max_messages = 2;
  configure(patch);
  enqueue("1");
  EXPECT_EQ(refused(ask::enqueue{plant, erp, {event("2"), event("3")}}), errc::queue_full);
  EXPECT_EQ(queue().ready, 1u);
  enqueue("2");
}

TEST_F(operating, no_room_refuses_producers_while_settlements_go_on) {
  auto a = open({});
  enqueue("1");
  auto g = claim(a).at(0);
  core->set_room(false, "the disk is full");
  auto e = get<error>(ask::enqueue{plant, erp, {event("2")}});
  EXPECT_EQ(e.code, errc::store_full);
  EXPECT_TRUE(e.retry_after_s.has_value());
  EXPECT_EQ(settle(a, done(g)).kind, wire::verdict_kind::settled);
  core->set_room(true, {});
  enqueue("2");
}

TEST_F(operating, a_cancelled_message_says_whether_it_may_have_run) {
  auto a = open({});
  auto ids = enqueue_all({"1", "2"});
  claim(a, {.most = 1});
  EXPECT_TRUE(get<wire::cancel_reply>(ask::cancel{ids[0]}).may_have_run);
  EXPECT_FALSE(get<wire::cancel_reply>(ask::cancel{ids[1]}).may_have_run);
  EXPECT_EQ(refused(ask::cancel{ids[1]}), errc::already_final);
  EXPECT_EQ(refused(ask::cancel{{1, 999}}), errc::unknown_message);
  EXPECT_EQ(look(ids[1]).state, "cancelled");
}

TEST_F(operating, dead_letters_are_listed_redriven_and_tried_afresh) {
  auto a = open({});
  auto ids = enqueue_all({"1", "2", "3"});
  for (auto& g : claim(a, {.seq = 1}))
    settle(a, failed(g, false));
  auto page = get<page_answer>(ask::list{plant, erp, ask::listed::dead, {}, 2, false}).page;
  ASSERT_EQ(page.messages.size(), 2u);
  EXPECT_EQ(page.messages[0].error, "no luck");
  auto rest = get<page_answer>(ask::list{plant, erp, ask::listed::dead, parse_message_id(page.next), 2, false}).page;
  ASSERT_EQ(rest.messages.size(), 1u);
  EXPECT_TRUE(rest.next.empty());
  EXPECT_EQ(get<wire::count_reply>(ask::redrive{plant, erp, {ids[0], ids[0]}}).count, 1u);
  EXPECT_EQ(look(ids[0]).attempts, 0u);
  EXPECT_EQ(refused(ask::redrive{plant, erp, {ids[0]}}), errc::not_dead);
  EXPECT_EQ(get<wire::count_reply>(ask::redrive{plant, erp, {}}).count, 2u);
  restart();
  EXPECT_EQ(claim(a, {.seq = 2}).size(), 3u);
}

TEST_F(operating, a_granted_message_that_cannot_be_read_is_buried_under_its_fence_only) {
  auto a = open({});
  enqueue("1");
  auto g = claim(a).at(0);
  auto other = g.fence;
  other.counter += 1;
  EXPECT_EQ(get<wire::count_reply>(ask::bury{g.message, other, "x"}).count, 0u);
  EXPECT_EQ(get<wire::count_reply>(ask::bury{g.message, g.fence, "damaged"}).count, 1u);
  EXPECT_EQ(look(g.message).state, "dead");
  EXPECT_EQ(look(g.message).error, "damaged");
}

TEST_F(operating, a_purge_drops_what_it_names_and_never_what_is_held) {
  auto a = open({});
  auto ids = enqueue_all({"1", "2", "3"});
  settle(a, failed(claim(a, {.seq = 1, .most = 1}).at(0), false));
  claim(a, {.seq = 2, .most = 1});
  EXPECT_EQ(get<wire::count_reply>(ask::purge{plant, erp, true, false, true}).count, 2u);
  EXPECT_EQ(look(ids[0]).state, "cancelled");
  EXPECT_EQ(look(ids[1]).state, "granted");
  EXPECT_EQ(look(ids[2]).state, "cancelled");
}

TEST_F(operating, a_policy_that_makes_no_sense_is_refused_with_every_reason) {
  wire::policy_patch patch;
  patch.max_attempts = 0;
  patch.backoff_max = milliseconds{1};
  auto e = get<error>(ask::configure{plant, erp, patch});
  EXPECT_EQ(e.code, errc::invalid_request);
  EXPECT_NE(e.detail.find("max_attempts"), std::string::npos);
  EXPECT_NE(e.detail.find("backoff_max"), std::string::npos);
}

TEST_F(operating, policies_survive_a_restart) {
  wire::policy_patch patch;
  patch.max_attempts = 9, patch.paused = true, patch.message_ttl = milliseconds{77'000};
  configure(patch);
  auto before = queue().policy;
  restart();
  EXPECT_EQ(queue().policy, before);
}

TEST_F(operating, a_token_of_another_group_sees_nothing) {
  auto m = enqueue("1");
  const group_scope other{false, {{"elsewhere"}}};
  EXPECT_EQ(get<error>(submit(ask::view_message{m}, other)).code, errc::wrong_group);
  EXPECT_TRUE(get<wire::groups_reply>(submit(ask::view_groups{}, other)).groups.empty());
}

TEST_F(operating, the_groups_view_counts) {
  auto a = open({});
  enqueue_all({"1", "2", "3"});
  settle(a, done(claim(a, {.most = 2}).at(0)));
  auto g = get<wire::group_view>(ask::view_groups{plant});
  ASSERT_EQ(g.agents.size(), 1u);
  EXPECT_EQ(g.agents[0].held, 1u);
  EXPECT_EQ(g.agents[0].settled_total, 1u);
  ASSERT_EQ(g.connections.size(), 1u);
  EXPECT_EQ(g.connections[0].ready, 1u);
  EXPECT_EQ(g.connections[0].granted, 1u);
  EXPECT_EQ(g.connections[0].retained, 1u);
  EXPECT_EQ(refused(ask::view_groups{group_name{"nobody"}}), errc::unknown_group);
}

} // namespace sallyport::cloud::test
