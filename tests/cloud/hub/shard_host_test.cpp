#include "cloud/hub/shard_host.hpp"
#include "tests/cloud/hub/support.hpp"

#include <atomic>
#include <set>
#include <thread>

namespace sallyport::cloud {
namespace {

using namespace test;

/// Both clocks, moved by hand.
class stepped_time final : public time_source {
public:
  instant now() override {
    std::lock_guard lock{mutex_};
    return now_;
  }
  void advance(milliseconds by) {
    std::lock_guard lock{mutex_};
    now_.mono += by, now_.wall += by;
  }

private:
  std::mutex mutex_;
  instant now_{mono_time{1'000s}, wall_time{1'700'000'000s}};
};

/// An answer to come.
struct mail {
  std::promise<answer> promise;
  std::shared_future<answer> future = promise.get_future().share();
  std::atomic<int> calls{0};

  [[nodiscard]] bool here() const { return future.wait_for(0s) == std::future_status::ready; }
  const answer& get() const {
    EXPECT_EQ(future.wait_for(20s), std::future_status::ready);
    return future.get();
  }
  [[nodiscard]] std::string code() const {
    const auto* e = std::get_if<error>(&get());
    return e ? std::string{to_string(e->code)} : "";
  }
};

struct hosted {
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::shared_ptr<stepped_time> time = std::make_shared<stepped_time>();
  std::shared_ptr<gated_store::gates> doors;
  std::promise<std::string> stopped;
  std::mutex mutex;
  std::vector<std::string> alarms;
  std::unique_ptr<shard_host> host;

  explicit hosted(const shard_host_settings& settings = {}) {
    auto store = std::make_unique<gated_store>(disk);
    doors = store->doors;
    shard_host_ports ports;
    ports.store = std::move(store);
    ports.time = time;
    ports.on_stop = [this](const std::string& why) { stopped.set_value(why); };
    ports.on_alarm = [this](const std::string& what) {
      std::lock_guard lock{mutex};
      alarms.push_back(what);
    };
    host = std::make_unique<shard_host>(settings, std::move(ports));
    EXPECT_TRUE(host->start().ok());
  }
  ~hosted() { doors->append.open(); }

  template <class Ask>
  std::shared_ptr<mail> submit(Ask what, std::uint64_t bytes = 100, ticket* as = nullptr) {
    auto m = std::make_shared<mail>();
    command c;
    c.scope.all = true;
    c.what = std::move(what);
    const auto t = host->submit(std::move(c), bytes, [m](answer a) {
      if (m->calls++ == 0)
        m->promise.set_value(std::move(a));
    });
    if (as)
      *as = t;
    return m;
  }

  static ask::enqueue enqueueing(const std::string& id) {
    event_item item;
    item.attributes.id = id, item.attributes.source = "/t", item.attributes.type = "t";
    item.bytes = std::make_shared<const std::string>(event(id));
    item.content = content_digest(*item.bytes);
    return {{"g"}, {"c"}, {std::move(item)}, true};
  }
  static ask::open opening(const std::string& agent, std::uint64_t highest_epoch = 0) {
    wire::open_session o;
    o.group = {"g"}, o.agent = {agent}, o.id = {agent}, o.life = {1, 1}, o.highest_epoch = {highest_epoch};
    wire::announced_connection c;
    c.name = {"c"}, c.adapter = "null", c.state = wire::reach::up;
    o.connections = {c};
    return {std::move(o), true};
  }
  static ask::claim claiming(session_id session, std::uint64_t seq, milliseconds wait) {
    return {session, {{"l"}, seq, 10, 1 << 20, wait, {{{"c"}, 10}}}};
  }
  session_id open(const std::string& agent) { return std::get<wire::session_opened>(submit(opening(agent))->get()).session; }
  host_view view() {
    std::promise<host_view> seen;
    host->inspect([&](host_view v) { seen.set_value(v); });
    return seen.get_future().get();
  }
};

TEST(shard_host, what_arrives_during_an_append_goes_into_the_next) {
  hosted h;
  h.submit(hosted::enqueueing("first"))->get();
  const auto before = h.disk->appends();
  h.doors->append.close();
  auto a = h.submit(hosted::enqueueing("a"));
  h.doors->append.wait_for_a_guest();
  std::vector<std::shared_ptr<mail>> gathered;
  for (int i = 0; i < 100; ++i)
    gathered.push_back(h.submit(hosted::enqueueing("b" + std::to_string(i))));
  h.host->step();
  EXPECT_FALSE(a->here()); // Not before it is durable.
  EXPECT_FALSE(gathered[0]->here());
  h.doors->append.open();
  for (auto& m : gathered)
    EXPECT_EQ(m->code(), "");
  EXPECT_EQ(a->code(), "");
  EXPECT_EQ(h.disk->appends() - before, 2u);
}

// A little that comes during an append is left to whoever comes with its outcome; when that takes long, the owner sees to it.
TEST(shard_host, deciding_goes_on_while_an_append_hangs) {
  shard_host_settings settings;
  settings.shard.session_ttl = 9s;
  hosted h{settings};
  const auto sleeper = h.open("sleeper"), lively = h.open("lively");
  h.doors->append.close();
  auto stuck = h.submit(hosted::enqueueing("e"));
  h.doors->append.wait_for_a_guest();
  auto parked = h.submit(hosted::claiming(lively, 1, 50s));
  // Without a step: nothing but the clock of the owner.
  EXPECT_TRUE(eventually([&] { return h.view().counters.granted == 1; }));
  for (int i = 0; i < 8; ++i) {
    h.time->advance(2s); // Never so long that the hub itself seems to have been away.
    h.submit(ask::beat{lively, {}});
    h.host->step();
  }
  EXPECT_EQ(h.view().counters.sessions_live, 1u);
  EXPECT_EQ(h.view().counters.sessions_expired, 1u);
  EXPECT_FALSE(stuck->here());
  EXPECT_FALSE(parked->here()); // Decided, and not durable.
  h.doors->append.open();
  EXPECT_EQ(stuck->code(), "");
  EXPECT_EQ(std::get<wire::claim_reply>(parked->get()).grants.size(), 1u);
  EXPECT_NE(h.submit(hosted::claiming(sleeper, 1, 0s))->code(), "");
}

TEST(shard_host, many_threads_bring_at_once_and_each_is_answered_once) {
  constexpr int threads = 8, each = 200;
  hosted h;
  std::vector<std::vector<std::shared_ptr<mail>>> sent(threads);
  std::vector<std::thread> producers;
  for (int t = 0; t < threads; ++t)
    producers.emplace_back([&, t] {
      for (int n = 0; n < each; ++n)
        sent[t].push_back(h.submit(hosted::enqueueing(std::to_string(t) + "-" + std::to_string(n))));
    });
  for (int i = 0; i < 20; ++i) { // The owner, the inspectors and the disk come in between.
    h.host->step();
    h.view();
    h.doors->append.close();
    h.doors->append.open();
  }
  for (auto& p : producers)
    p.join();
  std::set<std::uint64_t> serials;
  for (auto& of_thread : sent) {
    std::uint64_t last = 0; // A thread's commands are decided on in the order it brought them.
    for (auto& m : of_thread) {
      ASSERT_EQ(m->code(), "");
      const auto& messages = std::get<wire::enqueue_reply>(m->get()).messages;
      ASSERT_EQ(messages.size(), 1u);
      EXPECT_GT(messages[0].message.serial, last);
      last = messages[0].message.serial;
      serials.insert(last);
    }
  }
  EXPECT_EQ(serials.size(), std::size_t{threads} * each);
  h.host->stop();
  for (auto& of_thread : sent)
    for (auto& m : of_thread)
      EXPECT_EQ(m->calls, 1);
}

TEST(shard_host, the_mailbox_has_an_edge_and_a_reserve_for_those_who_finish) {
  shard_host_settings s;
  s.mailbox = 8;
  hosted h{s};
  const auto session = h.open("a");
  h.doors->append.close();
  std::vector<std::shared_ptr<mail>> accepted;
  for (int i = 0; i < 8; ++i)
    accepted.push_back(h.submit(hosted::enqueueing("e" + std::to_string(i))));
  auto over = h.submit(hosted::enqueueing("over"));
  ASSERT_TRUE(over->here()); // At once, whatever the disk does.
  EXPECT_EQ(over->code(), "too_many_requests");
  EXPECT_TRUE(std::get<error>(over->get()).retry_after_s.has_value());
  auto beat = h.submit(ask::beat{session, {}});
  h.host->step();
  EXPECT_FALSE(beat->here());
  h.doors->append.open();
  EXPECT_EQ(beat->code(), "");
  for (auto& m : accepted)
    EXPECT_EQ(m->code(), "");
  EXPECT_EQ(h.submit(hosted::enqueueing("over"))->code(), "");
  EXPECT_EQ(h.view().counters.enqueued, 9u); // Nothing of the refused one was stored the first time.
  EXPECT_EQ(h.view().refused, 1u);
}

TEST(shard_host, the_mailbox_has_an_edge_in_bytes) {
  shard_host_settings s;
  s.mailbox_bytes = 1000;
  hosted h{s};
  h.doors->append.close();
  auto large = h.submit(hosted::enqueueing("large"), 5000); // Alone it passes: a limit below one command would stop everything.
  EXPECT_EQ(h.submit(hosted::enqueueing("small"), 10)->code(), "too_many_requests");
  h.doors->append.open();
  EXPECT_EQ(large->code(), "");
  EXPECT_EQ(h.submit(hosted::enqueueing("small"), 10)->code(), "");
}

TEST(shard_host, parked_claims_take_no_room_in_the_mailbox) {
  shard_host_settings s;
  s.mailbox = 4;
  hosted h{s};
  std::vector<std::shared_ptr<mail>> parked;
  for (int i = 0; i < 20; ++i) {
    parked.push_back(h.submit(hosted::claiming(h.open("a" + std::to_string(i)), 1, 50s)));
    h.host->step();
  }
  EXPECT_EQ(h.view().counters.claims_parked, 20u);
  EXPECT_EQ(h.submit(hosted::enqueueing("e"))->code(), "");
}

TEST(shard_host, a_forgotten_claim_is_taken_back_and_never_answered) {
  hosted h;
  const auto session = h.open("a");
  ticket t;
  auto claim = h.submit(hosted::claiming(session, 1, 50s), 100, &t);
  h.host->step();
  ASSERT_EQ(h.view().counters.claims_parked, 1u);
  h.host->forget(t);
  h.host->step();
  EXPECT_EQ(h.view().counters.claims_parked, 0u);
  h.submit(hosted::enqueueing("e"))->get();
  EXPECT_EQ(h.view().counters.granted, 0u);
  h.host->stop();
  EXPECT_EQ(claim->calls, 0);
}

TEST(shard_host, stepped_time_lets_a_parked_claim_time_out) {
  hosted h;
  auto claim = h.submit(hosted::claiming(h.open("a"), 1, 2s));
  h.host->step();
  EXPECT_FALSE(claim->here());
  h.time->advance(1999ms);
  h.host->step();
  EXPECT_FALSE(claim->here());
  h.time->advance(1ms);
  h.host->step();
  EXPECT_TRUE(std::get<wire::claim_reply>(claim->get()).grants.empty());
}

TEST(shard_host, content_is_fetched_when_the_shard_has_let_it_go) {
  shard_host_settings s;
  s.shard.payload_cache_bytes = 0;
  hosted h{s};
  const auto session = h.open("a");
  h.submit(hosted::enqueueing("one"))->get();
  h.submit(hosted::enqueueing("two"))->get();
  auto peeked = h.submit(ask::list{{"g"}, {"c"}, ask::listed::any, std::nullopt, 10, true});
  ASSERT_EQ(peeked->code(), "");
  EXPECT_EQ(std::get<page_answer>(peeked->get()).page.messages.at(1).event, event("two"));
  auto claimed = h.submit(hosted::claiming(session, 1, 0s));
  const auto& grants = std::get<wire::claim_reply>(claimed->get()).grants;
  ASSERT_EQ(grants.size(), 2u);
  EXPECT_EQ(*grants[0].event, event("one"));
  wire::settlement done;
  done.message = grants[0].message, done.fence = grants[0].fence, done.result = R"({"rows":1})";
  h.submit(ask::settle{session, {{"a"}, {done}}})->get();
  auto seen = h.submit(ask::view_message{grants[0].message});
  EXPECT_EQ(std::get<message_answer>(seen->get()).view.result, R"({"rows":1})");
}

TEST(shard_host, content_that_cannot_be_read_is_an_error_and_not_an_empty_answer) {
  shard_host_settings s;
  s.shard.payload_cache_bytes = 0;
  hosted h{s};
  const auto session = h.open("a");
  h.submit(hosted::enqueueing("one"))->get();
  h.disk->fail_next_fetch(make_error(errc::store_io, "input/output error"));
  EXPECT_EQ(h.submit(hosted::claiming(session, 1, 0s))->code(), "internal");
  auto again = h.submit(hosted::claiming(session, 1, 0s)); // The same seq: the same grant.
  EXPECT_EQ(*std::get<wire::claim_reply>(again->get()).grants.at(0).event, event("one"));
}

TEST(shard_host, after_a_failed_append_waiters_are_told_and_work_goes_on) {
  hosted h;
  h.submit(hosted::enqueueing("kept"))->get();
  const auto epoch = h.view().epoch;
  h.disk->fail_next_append({append_status::failed, 0, "no luck"});
  EXPECT_EQ(h.submit(hosted::enqueueing("lost"))->code(), "outcome_unknown");
  auto again = h.submit(hosted::enqueueing("lost"));
  ASSERT_EQ(again->code(), "");
  EXPECT_FALSE(std::get<wire::enqueue_reply>(again->get()).messages.at(0).duplicate);
  auto kept = h.submit(hosted::enqueueing("kept"));
  EXPECT_TRUE(std::get<wire::enqueue_reply>(kept->get()).messages.at(0).duplicate);
  EXPECT_GT(h.view().epoch, epoch);
  EXPECT_EQ(h.view().reopened, 1u);
}

TEST(shard_host, an_unknown_append_that_reached_the_disk_is_found_again) {
  hosted h;
  h.submit(hosted::enqueueing("first"))->get();
  h.disk->fail_next_append({append_status::unknown, 0, "the answer was lost"}, true);
  EXPECT_EQ(h.submit(hosted::enqueueing("there"))->code(), "outcome_unknown");
  auto again = h.submit(hosted::enqueueing("there"));
  EXPECT_TRUE(std::get<wire::enqueue_reply>(again->get()).messages.at(0).duplicate);
}

TEST(shard_host, a_failed_sync_ends_the_process) {
  hosted h;
  h.disk->fail_next_append({append_status::unknown, 0, "fdatasync: input/output error", true});
  EXPECT_EQ(h.submit(hosted::enqueueing("e"))->code(), "outcome_unknown");
  auto why = h.stopped.get_future();
  ASSERT_EQ(why.wait_for(20s), std::future_status::ready);
  EXPECT_NE(why.get().find("sync"), std::string::npos);
  EXPECT_EQ(h.submit(hosted::enqueueing("f"))->code(), "shutting_down");
  EXPECT_NE(h.host->why_not_ready(), "");
}

TEST(shard_host, an_agent_that_has_seen_a_later_epoch_lifts_the_hub_above_it) {
  hosted h;
  const auto epoch = h.view().epoch.value;
  EXPECT_EQ(h.submit(hosted::opening("a", epoch + 1000))->code(), "not_ready");
  auto opened = h.submit(hosted::opening("a", epoch + 1000));
  ASSERT_EQ(opened->code(), "");
  EXPECT_GT(std::get<wire::session_opened>(opened->get()).epoch.value, epoch + 1000);
  std::lock_guard lock{h.mutex};
  EXPECT_FALSE(h.alarms.empty());
}

// The outcome may come before, while or after the owner has heard of the reopening: in a store whose sync has failed nobody goes on.
TEST(shard_host, a_sync_that_fails_while_the_store_is_to_be_opened_again_ends_the_process) {
  for (int i = 0; i < 40; ++i) {
    hosted h;
    const auto epoch = h.view().epoch.value;
    h.disk->fail_next_append({append_status::unknown, 0, "fdatasync: input/output error", true});
    h.doors->append.close();
    auto stuck = h.submit(hosted::enqueueing("e"));
    h.doors->append.wait_for_a_guest();
    std::thread disk{[&h, i] {
      std::this_thread::sleep_for(std::chrono::microseconds{10 * i});
      h.doors->append.open();
    }};
    h.submit(hosted::opening("a", epoch + 1000));
    h.host->step(); // Decides here and now.
    disk.join();
    EXPECT_EQ(stuck->code(), "outcome_unknown");
    auto why = h.stopped.get_future();
    ASSERT_EQ(why.wait_for(20s), std::future_status::ready) << i;
    EXPECT_NE(why.get().find("sync"), std::string::npos);
  }
}

TEST(shard_host, stop_answers_everybody_once) {
  hosted h;
  const auto session = h.open("a");
  auto parked = h.submit(hosted::claiming(session, 1, 50s));
  h.host->step();
  h.doors->append.close();
  auto enqueued = h.submit(hosted::enqueueing("e"));
  h.doors->append.wait_for_a_guest();
  std::thread stopper{[&] { h.host->stop(); }};
  EXPECT_TRUE(eventually([&] {
    auto late = h.submit(hosted::enqueueing("late"));
    return late->here() && late->code() == "shutting_down";
  }));
  h.doors->append.open();
  stopper.join();
  EXPECT_EQ(enqueued->code(), ""); // It was on its way to the disk: the truth is waited for.
  EXPECT_EQ(parked->code(), "");
  EXPECT_EQ(parked->calls, 1);
  EXPECT_EQ(enqueued->calls, 1);
}

TEST(shard_host, stop_does_not_wait_for_ever_for_a_disk) {
  shard_host_settings s;
  s.stop_within = 50ms;
  hosted h{s};
  h.doors->append.close();
  auto stuck = h.submit(hosted::enqueueing("e"));
  h.doors->append.wait_for_a_guest();
  std::thread stopper{[&] { h.host->stop(); }};
  EXPECT_EQ(stuck->code(), "outcome_unknown");
  h.doors->append.open(); // Joining the committer does wait: a write that is under way must not meet a closed store.
  stopper.join();
}

TEST(shard_host, an_epoch_is_the_time_of_opening_and_never_repeats) {
  hosted h;
  const auto first = h.view().epoch.value;
  EXPECT_EQ(first, static_cast<std::uint64_t>(h.time->now().wall.time_since_epoch().count()));
  h.disk->fail_next_append({append_status::failed, 0, "no luck"});
  h.submit(hosted::enqueueing("e"))->get(); // The clock stands still here, and the next life is above all the same.
  EXPECT_EQ(h.view().epoch.value, first + 1);
}

TEST(shard_host, a_store_that_cannot_be_read_refuses_to_start) {
  auto disk = std::make_shared<memory_disk>();
  disk->fail_next_open(make_error(errc::store_newer, "format 9"));
  shard_host_ports ports;
  ports.store = std::make_unique<memory_store>(disk);
  ports.time = std::make_shared<stepped_time>();
  shard_host host{{}, std::move(ports)};
  auto started = host.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.err().code, errc::store_newer);
}

TEST(shard_host, a_record_that_is_not_understood_refuses_to_start) {
  auto disk = std::make_shared<memory_disk>();
  {
    memory_store store{disk};
    auto opened = store.open({});
    ASSERT_TRUE(opened.ok());
    change c;
    c.key = "\xff\xff what is this", c.value = "?";
    ASSERT_EQ(store.append(opened->epoch, opened->tail, {c}).status, append_status::durable);
    store.close();
  }
  shard_host_ports ports;
  ports.store = std::make_unique<memory_store>(disk);
  ports.time = std::make_shared<stepped_time>();
  shard_host host{{}, std::move(ports)};
  auto started = host.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.err().code, errc::store_damaged);
}

} // namespace
} // namespace sallyport::cloud
