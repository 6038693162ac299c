// A hub inside a test's own process, with time that only the test moves. The hub's own API, shard and lease table on a store in memory;
// nothing but the sockets is left out. For the tests of programs that embed an agent, and for ours.
//
//   testing::hub hub;
//   ... start an agent with hub.transport() and hub.time() ...
//   auto id = hub.enqueue({"site"}, {"erp"}, R"({"specversion":"1.0","id":"1","source":"/shop","type":"order","data":{}})");
//   hub.wait_until([&] { return hub.message(*id)->state == "settled"; });
//   hub.advance(30s);
//
// Connections are made when first used or announced, and no token is asked for, as by `sallyport hub --dev`.
//
// Threads: all functions may be called from any thread but from a transport's handler; those that move time one after the other. Functions
// that ask the hub wait for its decision, in real time and for at most `wait_for_hub`. Handlers run on one thread of the hub's.
// After restart() the hub has what it had acknowledged, as after a crash. Transports and clock may outlive the hub: they find nobody there.
#pragma once

#include "protocol/result.hpp"
#include "protocol/wire.hpp"
#include "runtime/core/transport.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sallyport::cloud {
class memory_disk;
}

namespace sallyport::testing {

struct hub_options {
  milliseconds session_ttl{10'000};
  wire::queue_policy policy;               // For new queues.
  milliseconds tick{100};                  // The step in which time moves; at most a quarter of session_ttl is used.
  wall_time start{seconds{1'767'225'600}}; // 2026-01-01T00:00:00Z
  /// Real time. Before a step that would bring a live session past half its time since it was last heard, advance() waits this long for its
  /// agent, which runs in real time and may need a moment. A session that stays silent is waited for once. 0: time waits for nobody.
  milliseconds wait_for_agents{10'000};
  milliseconds wait_for_hub{20'000}; // Real time. How long any one question to the hub, or wait_until, may take.
};

/// What a cut line does to requests.
enum class outage : std::uint8_t {
  refused, // Ended at once: unreachable, or outcome_unknown if they had left. The hub notices, and takes parked claims back.
  silent,  // No answer, until their time is up. The hub does not notice: what it grants to a parked claim is never received.
};

class hub {
public:
  explicit hub(hub_options options = {});
  ~hub();
  hub(const hub&) = delete;
  hub& operator=(const hub&) = delete;

  // -- for the agent

  /// Makes transports to this hub, whatever the address. Their timeouts run in stepped time.
  [[nodiscard]] runtime::transport_factory transport();
  [[nodiscard]] std::shared_ptr<runtime::time_source> time();

  // -- time

  [[nodiscard]] instant now() const;
  /// Moves time on in ticks. At each, the hub sweeps, answers are handed over, requests run out of time, and the hook below runs.
  void advance(milliseconds by);
  /// The same, with a short real pause at each tick, until the condition holds. False: it did not within `at_most` of stepped time.
  [[nodiscard]] bool advance_until(const std::function<bool()>& holds, milliseconds at_most = seconds{60});
  /// Waits in real time, at most wait_for_hub, while stepped time stands still.
  [[nodiscard]] bool wait_until(const std::function<bool()>& holds);
  /// Runs after every tick, on the thread that moves time, and may not move it: the place to drive a scheduler that is stepped, too.
  void between_ticks(std::function<void()> hook);
  /// Returns when every request sent so far was decided and what was answered has been handed to its handler.
  void sync();

  // -- for producers and people; not subject to faults of the line

  /// One CloudEvent in JSON.
  result<message_id> enqueue(const group_name& group, const connection_name& connection, std::string event);
  /// Waits for the result, while stepped time stands still unless another thread moves it.
  result<wire::call_reply> call(const group_name& group, const connection_name& connection, std::string event,
                                seconds wait = seconds{30});
  result<wire::message_view> message(message_id id);
  result<wire::group_view> group(const group_name& name);
  /// Creates the connection or changes its policy.
  result<wire::connection_view> configure(const group_name& group, const connection_name& connection,
                                          const wire::policy_patch& patch);
  /// Any operation of the wire (docs/openapi.yaml). Errors: timed_out; a refusal of the hub is a reply.
  result<runtime::http_reply> request(std::string method, std::string target, std::string body = {},
                                      std::string content_type = "application/json", std::string prefer = {});

  // -- faults

  /// Cuts the line between all transports and the hub, until mend().
  void cut(outage how = outage::refused);
  void mend();
  /// The next `count` requests to a target that ends so are carried out, but their answers are lost (outcome_unknown).
  void lose_replies(std::size_t count, std::string target_end = {});
  /// Kills the hub and starts it again: memory is dropped, the disk stays, requests under way end with outcome_unknown.
  void restart();
  /// Cuts the line for as long as sessions live, and mends it: moves time by that much.
  void expire_sessions();
  /// The hub's disk, for faults of its own (cloud/store/memory.hpp): full, failing.
  [[nodiscard]] cloud::memory_disk& disk();

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::testing
