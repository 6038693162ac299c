// The claims an agent keeps parked at the hub. PURE. Owned by the poller.
//
//            ┌──────────── credit worth asking for ───────────┐
//   idle ────┴─▶ asked ──(grants, or none)──▶ idle             │
//                  │                                           │
//                  ├──(no answer)──▶ waiting ──(backoff)──▶ asked again, same seq
//                  └──(a few, at once)──▶ gathering ──(2 ms)──▶ idle
//
// A lane asks again with the same sequence number until it is answered: the hub then gives the same grants, so a lost answer loses
// nothing. Lanes and their numbers are scoped to the session. Beside the configured lanes there are spare ones, up to the protocol's
// eight: they ask, for a short time, on behalf of connections that every parked claim was sent too early to name.
#pragma once

#include "protocol/result.hpp"
#include "protocol/wire.hpp"
#include "runtime/core/backoff.hpp"
#include "runtime/core/credit_window.hpp"
#include "runtime/core/work.hpp"

#include <variant>
#include <vector>

namespace sallyport::runtime {

struct lane_settings {
  std::vector<connection_name> connections; // By connection_index.
  std::uint32_t lanes = 2;
  std::uint32_t max_messages = 1'024;
  std::uint64_t max_bytes = 8 << 20;
  milliseconds wait{25'000};
  milliseconds spare_wait{2'000};
  milliseconds gather{2};        // A lane that was granted a few at once lets so much time pass before it asks for more;
  std::uint32_t gather_from = 8; // for so many, and for less than a quarter of what it asked for.
  milliseconds retry_min{200};
  milliseconds retry_max{5'000};
};

/// Send this claim; call answered() with what came of it.
struct send_claim {
  std::size_t lane = 0;
  bool repetition = false; // The first request may still be parked: do not queue behind it.
  session_id session;
  wire::claim body;
};
/// What an answered claim brought, for the lease manager.
struct grant_batch {
  session_id session;
  lane_id lane;
  std::uint64_t seq = 0;
  mono_time asked_at{}; // When the claim was first sent: what it brings may have been decided at any time since.
  std::vector<wire::grant> grants;
};
/// Every lane has been answered and none will ask again.
struct lanes_drained {};
using lane_action = std::variant<send_claim, grant_batch, lanes_drained>;

class claim_lanes {
public:
  using actions = std::vector<lane_action>;

  static constexpr std::size_t lanes_max = 8; // Of the protocol.

  claim_lanes(lane_settings settings, std::uint64_t seed);

  /// A new session: all lanes start anew under new names.
  actions opened(session_id session, mono_time now);
  /// The session is over: nothing is asked until the next. Answers that still come are of no use: the next opening did not name them.
  actions ended();
  /// What there is room for now.
  actions room(const room_report& report, mono_time now);
  /// `sent` is what was sent, as it was.
  actions answered(const send_claim& sent, result<wire::claim_reply> reply, mono_time now);
  actions tick(mono_time now);
  /// Asks for nothing new. Claims that are parked are asked again without waiting, so that every grant under way is known to have
  /// arrived; to be called when the hub knows that no more are wanted.
  actions drain();

  [[nodiscard]] mono_time next_wake() const;

private:
  enum class phase : std::uint8_t { idle, asked, waiting, gathering };
  struct lane_state {
    lane_id id;
    std::uint64_t seq = 0;
    phase at = phase::idle;
    wire::claim body;
    std::vector<std::uint32_t> promised; // By connection, while asked or waiting.
    mono_time first_asked{};
    mono_time asks_at{}; // While waiting: again. While gathering: for more.
    bool spare = false;
    bool finishing = false;          // Asked again in order to drain: the answer to that one is the last.
    std::vector<fence_token> handed; // While finishing both requests may bring the same grants; these were handed on already.
    backoff pause{milliseconds{1}, milliseconds{1}};
  };

  void ask_where_worth_it(actions& out, mono_time now);
  [[nodiscard]] bool ask(std::size_t lane, std::uint32_t shares, actions& out, mono_time now);
  void send(std::size_t lane, actions& out);
  [[nodiscard]] bool worth_gathering(const lane_state& lane, std::size_t granted, mono_time now) const;
  void hand_on(lane_state& lane, std::vector<wire::grant> grants, actions& out);
  void rest(lane_state& lane);
  void say_if_drained(actions& out);
  [[nodiscard]] std::uint64_t free_of(connection_index c) const;
  [[nodiscard]] std::uint64_t free_in_total() const;
  [[nodiscard]] bool worth_asking(connection_index c) const;
  [[nodiscard]] bool is_asked_for(connection_index c) const;
  void add_lane(bool spare);
  [[nodiscard]] lane_id new_lane_id();

  lane_settings settings_;
  dice chance_;
  session_id session_;
  bool draining_ = false, drained_ = false;
  room_report room_;
  std::vector<std::uint64_t> received_; // Grants ever handed to the lease manager, by connection.
  std::vector<lane_state> lanes_;
  std::size_t first_served_ = 0; // Turns, so that the first connection does not take what the window has left every time.
};

} // namespace sallyport::runtime
