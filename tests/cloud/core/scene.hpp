// A stage for shard tests: one shard over a memory store, pretend time, and agents that talk in one line.
// Everything is synchronous: a request is submitted, its append is carried out, its answer is returned.
#pragma once

#include "cloud/core/shard.hpp"
#include "cloud/store/memory.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::cloud::test {

inline const group_name plant{"plant"};
inline const connection_name erp{"erp"};

struct opening {
  std::string agent = "a";
  std::uint64_t process = 1, turn = 1;
  std::vector<wire::held_grant> held{};
  wire::reach state = wire::reach::up;
  std::string id{}; // Of the installation; by default made from the agent's name.
  std::uint64_t highest_epoch = 0;
  std::string fingerprint = "test://target";
  std::vector<std::string> connections{"erp"};
};

struct asked_claim {
  std::uint64_t seq = 1;
  std::string lane = "lane";
  std::uint32_t most = 100;
  milliseconds wait{0};
  std::vector<std::string> connections{"erp"};
  std::uint64_t bytes = 1 << 20;
};

class scene : public ::testing::Test {
protected:
  scene();

  // -- time and disk
  void pass(milliseconds span); // Time goes by in ticks of a quarter of a second.
  void leap(milliseconds span); // Time goes by without a tick: the hub was away. Then one tick.
  void restart();               // The hub's process dies and starts again over the same disk.
  void pump();                  // Carries out duties until there are none.
  bool commits = true;          // False: appends stay under way until it is true and pump() is called.

  // -- the shard
  ticket submit(decltype(command::what) what, std::optional<group_scope> scope = {});
  std::optional<answer> take(ticket t);
  template <class T>
  T get(decltype(command::what) what) {
    return get<T>(submit(std::move(what)));
  }
  template <class T>
  T get(ticket t) {
    auto got = take(t);
    if (!got) {
      ADD_FAILURE() << "no answer yet";
      return {};
    }
    if (auto* e = std::get_if<error>(&*got); e && !std::is_same_v<T, error>) {
      ADD_FAILURE() << to_string(*e);
      return {};
    }
    if (!std::holds_alternative<T>(*got)) {
      ADD_FAILURE() << "another kind of answer: " << got->index();
      return {};
    }
    return std::get<T>(std::move(*got));
  }
  errc refused(decltype(command::what) what) { return get<error>(std::move(what)).code; }

  // -- people and agents
  static event_item event(const std::string& id, const std::string& data = "1", const std::string& key = {});
  std::vector<message_id> enqueue_events(std::vector<event_item> items, connection_name to = erp);
  std::vector<message_id> enqueue_all(const std::vector<std::string>& ids);
  message_id enqueue(const std::string& id) { return enqueue_events({event(id)}).front(); }
  static ask::open opening_of(const opening& o);
  session_id open(const opening& o) { return get<wire::session_opened>(opening_of(o)).session; }
  ask::claim claim_of(session_id s, const asked_claim& c = {}) const;
  std::vector<wire::grant> claim(session_id s, const asked_claim& c = {}) {
    return get<wire::claim_reply>(claim_of(s, c)).grants;
  }
  static wire::settlement done(const wire::grant& g, std::string result = {});
  static wire::settlement failed(const wire::grant& g, bool retryable = true,
                                 wire::failure_scope scope = wire::failure_scope::message);
  static wire::settlement release(const wire::grant& g);
  std::vector<wire::verdict> settle(session_id s, std::vector<wire::settlement> items, const std::string& agent = "a");
  wire::verdict settle(session_id s, wire::settlement item, const std::string& agent = "a") {
    return settle(s, std::vector{std::move(item)}, agent).front();
  }
  wire::heartbeat_reply beat(session_id s, const std::vector<wire::grant>& held = {});
  wire::message_view look(message_id m) { return get<message_answer>(ask::view_message{m}).view; }
  wire::connection_view queue() { return get<wire::connection_view>(ask::view_connection{plant, erp}); }
  void configure(wire::policy_patch patch) { get<configured>(ask::configure{plant, erp, std::move(patch)}); }
  std::string told(message_id m); // "queued granted(a) lost(a)": the history in one line.

  shard_settings settings;
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::unique_ptr<memory_store> store;
  std::unique_ptr<shard> core;
  instant now{mono_time{milliseconds{1'000'000}}, wall_time{milliseconds{1'800'000'000'000}}};
  std::map<std::uint64_t, answer> answers;
  std::vector<std::string> alarms;
  std::vector<std::string> stops;
  std::optional<duty::append> under_way;

private:
  void start(epoch_number at_least);

  std::uint64_t next_ticket_ = 1;
};

} // namespace sallyport::cloud::test
