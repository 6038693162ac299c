// The judgement of a round: what the clients were told, what the hub says of every acknowledged message, and what is there at the targets.
// weigh() is pure; the common laws (tests/judge) do most of it, and the laws that only these targets allow stand beside them.
#pragma once

#include "tests/chaos/record.hpp"
#include "tests/chaos/shop.hpp"

#include <map>
#include <set>

namespace sallyport::chaos {

/// A row of the table `effects`, in the order of its serial.
struct effect_row {
  std::string id;
  message_id message;
  fence_token fence;
};

struct evidence {
  std::deque<event> events;
  std::vector<judge::seen_grant> grants;
  std::vector<judge::effect> started, done; // By hand.
  std::vector<judge::seen_verdict> verdicts;
  std::vector<judge::violation> seen_at_once;

  bool drained = true;
  std::map<message_id, wire::message_view> at_end;
  std::vector<effect_row> rows;
  std::uint64_t inbox_rows = 0;
  bool inbox = true; // Whether the sql connection keeps one.
  std::vector<order> orders;
  std::map<std::string, std::string> files; // Name and content.
};

struct verdict {
  std::vector<judge::violation> violations;
  std::vector<std::string> histories; // Of the messages that some of them name, one text each.
  std::uint64_t lost = 0, settled_twice = 0, sql_effects_doubled = 0, others = 0;
  std::uint64_t expired_grants = 0;
  std::map<std::string, std::uint64_t> states; // Of the acknowledged messages.
  std::uint64_t never_acknowledged = 0, of_those_took_effect = 0;
  std::uint64_t http_repeated = 0; // Orders that came more than once, as they may.
};

[[nodiscard]] verdict weigh(evidence e);

} // namespace sallyport::chaos
