// The promise as laws over a history. They stand apart from what they judge: no law asks how the hub or an agent decides, and none needs
// more than what people outside could have seen. Each adds what it finds to the history's violations, under its own name.
#pragma once

#include "tests/judge/history.hpp"

namespace sallyport::judge {

struct expectations {
  bool drained = true; // Faults have stopped and everything was worked off: what is not final is an error.
  wire::on_dead dead = wire::on_dead::skip;
  std::uint32_t max_attempts = 0; // Of the queues; 0: not judged.
  bool dead_on_unknown_effect = false;
  milliseconds session_ttl{}; // Zero: expiry is not judged.
  milliseconds clock_slack{}; // By which the clocks of producers and hub may differ.
};

/// All laws.
void judge(history& h, const expectations& expected);

// -- one by one, as the promise has them
void conservation(history& h, const expectations& expected); // What was acknowledged is there, or has ended as one may end.
void one_message(history& h);                                // One event, one message, however often it was sent.
void fences_rise(history& h);                                // Per message, across epochs; never given twice.
void one_holder(history& h);                                 // No work is begun under a fence once a newer one was given out;
void live_until_silent(history& h, const expectations& e);   // no grant is lost while its session is heard from;
void losses_taken_back(history& h);                          // a process that comes back takes its losses back;
void replaced_is_silent(history& h);                         // and nobody is served under a session that was replaced.
void one_settlement(history& h);                             // Of one message, by its latest fence.
void stale_changes_nothing(history& h);                    // Stale and burnt verdicts are true, and leave no trace but evidence.
void same_answer(history& h);                              // A request repeated is answered as the first time.
void key_order(history& h);                                // Of one key, in order.
void not_early(history& h, const expectations& expected);  // Nothing is granted before its time.
void never_started(history& h);                            // "Never ran" is true.
void effect_once(history& h);                              // Where the target keeps an inbox.
void fair_dead_letters(history& h, const expectations& e); // A dead letter had all its attempts, or really ended three processes.

} // namespace sallyport::judge
