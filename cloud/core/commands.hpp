// What may be asked of a shard, and what it may answer. Commands carry everything a decision needs: both clocks are given with each one,
// hashes are computed by whoever parsed the request, and randomness comes as a number.
#pragma once

#include "protocol/event.hpp"
#include "protocol/wire.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sallyport::cloud {

/// Names one waiting request at the host. The shard hands it back with the answer, exactly once.
struct ticket {
  std::uint64_t value = 0;
  friend auto operator<=>(const ticket&, const ticket&) = default;
};

/// Which groups the asker's token covers. Paths that name a group are checked at the door; sessions and messages here, where their group
/// is known.
struct group_scope {
  bool all = false;
  std::vector<group_name> groups;
  [[nodiscard]] bool covers(const group_name& group) const;
};

/// One event to be stored. `bytes` are the raw JSON as it came.
struct event_item {
  event_attributes attributes;
  wire::shared_bytes bytes;
  digest128 content; // content_digest(*bytes): the same id with other content is refused.
};

namespace ask {

struct enqueue {
  group_name group;
  connection_name connection;
  std::vector<event_item> items;
  bool create = false; // --dev: the connection is made on first use.
};
/// Enqueue and wait. Repeating a call (same source and id) waits for, or returns, the first one's result.
struct call {
  group_name group;
  connection_name connection;
  event_item item;
  milliseconds deadline{}; // The call is never granted later than this after its arrival.
  milliseconds wait{};     // How long the asker waits for the answer; shorter than deadline means 202 afterwards.
  bool create = false;
};
struct open {
  wire::open_session body;
  bool announce = true; // Unknown connections are created.
};
struct beat {
  session_id session;
  wire::heartbeat body;
};
struct claim {
  session_id session;
  wire::claim body;
};
struct settle {
  session_id session;
  wire::settle body;
};
struct extend {
  session_id session;
  wire::extend body;
};
struct close {
  session_id session;
};
struct cancel {
  message_id message;
};
/// The host found that a granted message's event cannot be read from the store: a dead letter, so that its neighbours are not held up.
struct bury {
  message_id message;
  fence_token fence;
  std::string why;
};
struct redrive {
  group_name group;
  connection_name connection;
  std::vector<message_id> messages; // Empty: all dead letters.
};
struct purge {
  group_name group;
  connection_name connection;
  bool ready = false, delayed = false, dead = false; // Which states; granted messages are never purged.
};
/// PUT, pause, resume: creates the connection (and its group) when there is none.
struct configure {
  group_name group;
  connection_name connection;
  wire::policy_patch patch;
  bool create = true;
};
struct view_message {
  message_id message;
};
struct view_groups {
  std::optional<group_name> group;
};
struct view_connection {
  group_name group;
  connection_name connection;
};
enum class listed : std::uint8_t { any, ready, delayed, granted, dead };
struct list {
  group_name group;
  connection_name connection;
  listed state = listed::any;
  std::optional<message_id> after;
  std::uint32_t limit = 100;
  bool peek = false; // With the events.
};

} // namespace ask

struct command {
  group_scope scope;
  std::uint64_t entropy = 0; // For the jitter of backoffs. Not a secret.
  std::variant<ask::enqueue, ask::call, ask::open, ask::beat, ask::claim, ask::settle, ask::extend, ask::close, ask::cancel,
               ask::bury, ask::redrive, ask::purge, ask::configure, ask::view_message, ask::view_groups, ask::view_connection,
               ask::list>
    what;
};

/// A call that is still going when its asker stops waiting: 202 and where to look.
struct call_pending {
  message_id message;
};
/// A call_reply whose result must be fetched first.
struct call_answer {
  wire::call_reply reply;
};
/// Results and events are content: the shard keeps them in the store and names those the host must fetch before it answers
/// (see content_keys.hpp).
struct message_answer {
  wire::message_view view;
  bool fetch_result = false;
};
/// Grants whose `event` is null must be fetched; the same for the lines of a page when peeking.
struct page_answer {
  wire::queue_page page;
  bool fetch_events = false;
};
struct configured {
  wire::connection_view view;
  bool created = false;
};
using answer = std::variant<error, wire::enqueue_reply, wire::call_reply, call_answer, call_pending, wire::session_opened,
                            wire::heartbeat_reply, wire::session_closed, wire::claim_reply, wire::settle_reply,
                            wire::extend_reply, wire::cancel_reply, wire::count_reply, message_answer, wire::groups_reply,
                            wire::group_view, wire::connection_view, configured, page_answer>;

} // namespace sallyport::cloud
