// An answer leaves when what it says is on the disk, and not before: read from the system calls of a real hub under strace, by their
// order. One request is under way at a time, so that nothing else is written in between.
#include "protocol/codec.hpp"
#include "protocol/json.hpp"
#include "runtime/io/client.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/process.hpp"
#include "tests/support/strace_log.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <future>

namespace sallyport::testing {

namespace {

constexpr const char* messages = "/v1/groups/plant/connections/sink/messages";

std::string event(const std::string& id) {
  json_writer w;
  w.begin_object().field("specversion", "1.0").field("id", id).field("source", "/test").field("type", "test").end_object();
  return w.take();
}

/// A hub under strace, an agent's session, and what both said.
class traced_hub {
public:
  explicit traced_hub(const std::vector<std::string>& program) {
    // -D: strace watches from the side, so that the hub is this test's own child, and ends with it.
    std::vector<std::string> argv{"strace",
                                  "-D",
                                  "-f",
                                  "-q",
                                  "-y",
                                  "-s",
                                  "1000000",
                                  "-e",
                                  "signal=none",
                                  "-e",
                                  "trace=openat,open,close,read,readv,recvfrom,recvmsg,recvmmsg,write,writev,"
                                  "pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,fsync,fdatasync",
                                  "-o",
                                  folder_ / "trace"};
    argv.insert(argv.end(), program.begin(), program.end());
    for (auto& word : argv)
      if (word == "DATA")
        word = folder_ / "hub";
    // Built with sanitizers, a program looks for leaks when it ends, which it cannot do while it is traced.
    const char* sanitizer = std::getenv("ASAN_OPTIONS");
    const auto no_leaks = "ASAN_OPTIONS=" + std::string(sanitizer ? sanitizer : "") + ":detect_leaks=0";
    hub_.emplace(process_options{argv, {no_leaks}, folder_ / "out", folder_ / "err", {}, {}});
    const auto line = hub_->wait_for_line("http://", std::chrono::seconds(60));
    if (!line)
      throw std::runtime_error("the hub did not start:\n" + hub_->err());
    io::transport_settings s;
    s.token = "dev";
    auto made = io::client::make(*line, s);
    if (!made)
      throw std::runtime_error(to_string(made.err()));
    client_.emplace(*std::move(made));

    wire::open_session open;
    open.group = {"plant"}, open.agent = {"a"}, open.id = {"id"}, open.life = {1, 1};
    open.connections.push_back({{"sink"}, "null", wire::effect_promise::idempotent, "null", wire::reach::up, {}});
    session_ = to_string(decoded<wire::session_opened>(ask("/v1/sessions", wire::encode(open))).session);
  }

  runtime::http_reply ask(const std::string& target, const std::string& body, const std::string& type = "application/json",
                          std::uint32_t slot = 0) {
    runtime::http_request r;
    r.method = body.empty() ? "GET" : "POST";
    r.target = target, r.body = body, r.content_type = type, r.slot = slot, r.timeout = std::chrono::seconds(60);
    auto reply = client_->send(std::move(r));
    if (!reply)
      throw std::runtime_error(target + ": " + to_string(reply.err()));
    return *std::move(reply);
  }
  void enqueue(const std::string& id) {
    const auto reply = ask(messages, event(id), "application/cloudevents+json");
    EXPECT_EQ(reply.status, 201) << reply.body;
  }
  std::vector<wire::grant> claim(std::uint64_t seq, milliseconds wait) {
    wire::claim c;
    c.lane = {"lane"}, c.seq = seq, c.max_messages = 10, c.max_bytes = 1 << 20, c.wait = wait;
    c.connections.push_back({{"sink"}, 10});
    return decoded<wire::claim_reply>(ask("/v1/sessions/" + session_ + "/claims", wire::encode(c), "application/json", 1)).grants;
  }
  wire::settle_reply settle(const wire::grant& g) {
    wire::settle s;
    auto& item = s.items.emplace_back();
    item.message = g.message, item.fence = g.fence;
    return decoded<wire::settle_reply>(ask("/v1/sessions/" + session_ + "/settlements", wire::encode(s)));
  }
  /// A view of anything is answered when everything decided before it is durable: then nothing is under way.
  void wait_until_idle() { ask("/v1/groups/plant/connections/sink", {}); }

  /// Ends the hub, and reads what it did.
  strace_log finish() {
    hub_->stop(SIGTERM);
    const auto ended = "\n" + std::to_string(hub_->pid()) + " ";
    std::string text;
    EXPECT_TRUE(eventually([&] {
      text = content_of(folder_ / "trace");
      const auto last = text.rfind(ended);
      return last != text.npos && text.find("+++ exited", last) != text.npos;
    }))
      << "the trace has no end";
    return strace_log{text};
  }
  [[nodiscard]] durable_question question(const std::string& request, std::vector<std::string> answer,
                                          const std::string& stored) const {
    // Symbolic links on the way, as a temporary directory may have, are followed in the trace.
    const auto data = std::filesystem::weakly_canonical(folder_ / "hub").string();
    return {request, std::move(answer), data + "/store.mdb", stored, data + "/store.journal"};
  }

private:
  template <class T>
  static T decoded(const runtime::http_reply& reply) {
    auto value = wire::decode<T>(reply.body);
    if (reply.status / 100 != 2 || !value)
      throw std::runtime_error(std::to_string(reply.status) + " " + reply.body);
    return *std::move(value);
  }

  temp_dir folder_;
  std::optional<process> hub_;
  std::optional<io::client> client_;
  std::string session_;
};

class durability : public ::testing::Test {
protected:
  void SetUp() override {
    if (const auto why = why_no_tracing())
      GTEST_SKIP() << "this machine does not let strace trace a process, so the order of its system calls is not seen: " << *why;
  }
  const std::vector<std::string> hub{SALLYPORT_BINARY, "hub", "--dev", "--listen", "127.0.0.1:0", "--data", "DATA"};
};

} // namespace

TEST_F(durability, a_201_leaves_after_the_event_is_written_and_synced) {
  traced_hub traced{hub};
  traced.enqueue("one-event");
  const auto about = traced.question("\"one-event\"", {"HTTP/1.1 201", "\"one-event\""}, "\"one-event\"");
  EXPECT_EQ(why_not_durable(traced.finish(), about), "");
}

TEST_F(durability, a_batch_is_synced_whole_before_its_201) {
  traced_hub traced{hub};
  std::string batch = "[";
  for (int n = 1; n <= 200; ++n)
    batch += (n == 1 ? "" : ",") + event("batch-" + std::to_string(n));
  const auto reply = traced.ask(messages, batch + "]", "application/cloudevents-batch+json");
  EXPECT_EQ(reply.status, 201) << reply.body;
  const auto log = traced.finish();
  for (const auto* id : {"\"batch-1\"", "\"batch-100\"", "\"batch-200\""})
    EXPECT_EQ(why_not_durable(log, traced.question("\"batch-200\"", {"HTTP/1.1 201", id}, id)), "");
}

TEST_F(durability, a_grant_rides_on_the_sync_of_the_enqueue_that_feeds_it) {
  traced_hub traced{hub};
  auto parked = std::async(std::launch::async, [&] { return traced.claim(1, std::chrono::seconds(50)); });
  ASSERT_TRUE(
    eventually([&] { return traced.ask("/metrics", {}).body.find("sallyport_hub_claims_parked 1") != std::string::npos; },
               std::chrono::seconds(40)));
  traced.wait_until_idle();
  traced.enqueue("fed-at-once");
  EXPECT_EQ(parked.get().size(), 1u);
  const auto log = traced.finish();
  const auto enqueued = traced.question("\"fed-at-once\"", {"HTTP/1.1 201", "\"fed-at-once\""}, "\"fed-at-once\"");
  const auto granted = traced.question("\"fed-at-once\"", {"HTTP/1.1 200", "\"grants\"", "\"fed-at-once\""}, "\"fed-at-once\"");
  EXPECT_EQ(why_not_durable(log, enqueued), "");
  EXPECT_EQ(why_not_durable(log, granted), "");
  EXPECT_EQ(commits_between(log, {enqueued, granted}), 1u) << "the enqueue and the grant were not one append";
}

TEST_F(durability, a_verdict_leaves_after_the_settlement_is_written_and_synced) {
  traced_hub traced{hub};
  traced.enqueue("to-be-settled");
  const auto grants = traced.claim(1, milliseconds{0});
  ASSERT_EQ(grants.size(), 1u);
  const auto fence = "\"" + to_string(grants[0].fence) + "\"";
  const auto reply = traced.settle(grants[0]);
  ASSERT_EQ(reply.items.size(), 1u);
  EXPECT_EQ(reply.items[0].kind, wire::verdict_kind::settled);
  const auto about = traced.question(fence + ",\"outcome\"", {"HTTP/1.1 200", "\"verdict\"", fence}, "");
  EXPECT_EQ(why_not_durable(traced.finish(), about), "");
}

TEST_F(durability, a_hub_that_answers_before_its_disk_is_found_out) {
  traced_hub traced{{HASTY_HUB, "DATA"}};
  traced.enqueue("too-early");
  const auto grants = traced.claim(1, milliseconds{0});
  ASSERT_EQ(grants.size(), 1u);
  const auto fence = "\"" + to_string(grants[0].fence) + "\"";
  traced.settle(grants[0]);
  const auto log = traced.finish();
  const auto enqueued = traced.question("\"too-early\"", {"HTTP/1.1 201", "\"too-early\""}, "\"too-early\"");
  const auto settled = traced.question(fence + ",\"outcome\"", {"HTTP/1.1 200", "\"verdict\"", fence}, "");
  EXPECT_NE(why_not_durable(log, enqueued).find("nothing of it was written"), std::string::npos)
    << why_not_durable(log, enqueued);
  EXPECT_NE(why_not_durable(log, settled).find("nothing of it was written"), std::string::npos) << why_not_durable(log, settled);
}

} // namespace sallyport::testing
