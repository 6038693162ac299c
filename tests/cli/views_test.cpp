#include "cli/report.hpp"
#include "cli/views.hpp"

#include <gmock/gmock.h>

using namespace sallyport;
using namespace sallyport::cli;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

const wall_time noon{milliseconds{1'790'000'000'000}};

wire::groups_reply one_group() {
  wire::group_view g{.name = {"plant-7"}, .agents = {}, .connections = {}};
  wire::agent_view a;
  a.name = {"a"};
  a.live = true;
  a.held = 3;
  a.version = "0.1.0";
  a.connections.push_back({{"erp"}, "sql", wire::effect_promise::exactly_once, "", wire::reach::up, ""});
  a.connections.push_back({{"web"}, "http", wire::effect_promise::at_least_once, "", wire::reach::down, "refused"});
  g.agents.push_back(a);
  for (const auto* name : {"erp", "web"}) {
    wire::connection_view c;
    c.name = {name};
    c.ready = 12;
    c.target_state = "closed";
    g.connections.push_back(c);
  }
  g.connections[0].oldest_age = milliseconds(90'000);
  g.connections[0].effect = wire::effect_promise::exactly_once;
  return {{g}};
}

} // namespace

TEST(status_view, shows_each_connection_and_agent) {
  const auto text = status_text(one_group(), noon);
  EXPECT_THAT(text, HasSubstr("group plant-7: 1 of 1 agents up"));
  EXPECT_THAT(text, HasSubstr("erp         up           12"));
  EXPECT_THAT(text, HasSubstr("90.0 s"));
  EXPECT_THAT(text, HasSubstr("exactly once"));
  EXPECT_THAT(text, HasSubstr("web         no agent     12"));
  EXPECT_THAT(text, HasSubstr("erp up, web down (refused)"));
}

TEST(status_view, says_that_a_queue_is_paused_or_its_target_down) {
  auto groups = one_group();
  groups.groups[0].connections[0].policy.paused = true;
  groups.groups[0].connections[1].target_state = "open";
  groups.groups[0].connections[1].fingerprints_differ = true;
  const auto text = status_text(groups, noon);
  EXPECT_THAT(text, HasSubstr("erp         paused"));
  EXPECT_THAT(text, HasSubstr("target down, TARGETS DIFFER"));
}

TEST(status_view, of_an_empty_hub_says_how_groups_come) {
  EXPECT_THAT(status_text({}, noon), HasSubstr("no groups yet"));
}

TEST(explain_view, tells_the_history_in_order) {
  wire::message_view m;
  m.message = {5, 17};
  m.group = {"plant-7"};
  m.connection = {"erp"};
  m.state = "settled";
  m.source = "s";
  m.id = "1";
  m.attempts = 2;
  m.losses = 1;
  m.enqueued_at = noon;
  m.result = "{\"n\":1}";
  m.history = {{noon, "queued", "", "", {}, ""},
               {noon + milliseconds(5), "granted", "a", "s5-1", {5, 7}, ""},
               {noon + milliseconds(12'000), "stale_settle", "a", "", {5, 7}, "reported done, late"}};
  const auto text = explain_text(m, noon + milliseconds(60'000));
  EXPECT_THAT(text, HasSubstr("message m5-17: settled\n"));
  EXPECT_THAT(text, HasSubstr("attempts  2, losses 1\n"));
  EXPECT_THAT(text, HasSubstr("+5 ms     granted to a, fence 5-7\n"));
  EXPECT_THAT(text, HasSubstr("+12.0 s   stale settle by a, fence 5-7: reported done, late\n"));
  EXPECT_THAT(text, HasSubstr("result    {\"n\":1}"));
}

TEST(views, let_no_text_from_elsewhere_steer_the_terminal) {
  wire::message_view m;
  m.error = "\x1b[2Jgone";
  EXPECT_THAT(explain_text(m, noon), Not(HasSubstr("\x1b")));
  wire::queue_page page;
  page.messages.push_back({{1, 1}, "\x1b]0;x", "id", "dead", 5, 0, noon, "e", ""});
  EXPECT_THAT(page_text(page, noon), Not(HasSubstr("\x1b")));
}

TEST(durations, are_short) {
  EXPECT_EQ(short_duration(milliseconds(7)), "7 ms");
  EXPECT_EQ(short_duration(milliseconds(1500)), "1.5 s");
  EXPECT_EQ(short_duration(milliseconds(600'000)), "10 min");
  EXPECT_EQ(short_duration(milliseconds(7'200'000)), "2 h");
  EXPECT_EQ(short_duration(milliseconds(259'200'000)), "3 d");
}

TEST(tables, align_numbers_right_and_words_left) {
  table t({"NAME", "N"});
  t.add({"a", "5"});
  t.add({"longer", "123"});
  EXPECT_EQ(t.text(), "NAME      N\na         5\nlonger  123\n");
}
