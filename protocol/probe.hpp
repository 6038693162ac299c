// Probes: what tests ask of our decisions without changing them. In the product they are nothing; code built with SALLYPORT_PROBES (the
// `_probed` twins of the libraries, linked by the simulator and the crash tests alone) knows two kinds:
//
//   SALLYPORT_MARK(name)       this rare branch was reached. A run of the simulator that never reaches one has not tested it, and fails.
//   SALLYPORT_MUTANT(name)     false, unless this planted mistake was chosen at the start of the process. Each must be caught.
//
// Counters are plain: probed code runs on one thread.
#pragma once

// Branches of the cores that only faults lead to.
// clang-format off
#define SALLYPORT_MARKS(X)                                                                                                       \
  X(open_repeated)            /* The answer to an opening was lost, and asked for again. */                                      \
  X(open_rebinds)             /* An opening carries grants over into the new session, */                                         \
  X(open_rebinds_lost)        /* among them one that had been lost. */                                                           \
  X(open_replaces_life)       /* A new process ends its predecessor's session at once. */                                        \
  X(open_forgives_loss)       /* The process lived: its losses are taken back. */                                                \
  X(open_refused_old)         /* A late opening of an older life. */                                                             \
  X(list_takes_back)          /* Claimed and never received: found by the list of fences held. */                                \
  X(claim_repeated)           /* The answer to a claim was lost, and given again. */                                             \
  X(claim_seq_stale)          /* A late claim arrives after its successor. */                                                    \
  X(claim_superseded)         /* A parked claim whose lane asked anew. */                                                        \
  X(suspects_alone)           /* Messages lost too often are granted apart. */                                                   \
  X(dead_by_losses)           /* A message that ended three processes. */                                                        \
  X(session_expired)          /* The sweep found a silent agent. */                                                              \
  X(sessions_renewed)         /* The hub itself was away. */                                                                     \
  X(settle_repeated)          /* The answer to a settlement was lost. */                                                         \
  X(settle_stale)             /* A newer holder exists. */                                                                       \
  X(settle_burnt)             /* The message was taken from its holder. */                                                       \
  X(settle_after_expiry)      /* Nobody was granted it since: it counts. */                                                      \
  X(run_taken_back)           /* The rest of a key's run goes back behind the one that failed. */                                \
  X(target_pauses)            /* The circuit opens, */                                                                           \
  X(target_probed)            /* and one tries. */                                                                               \
  X(hold_limit_passed)        /* Held too long. */                                                                               \
  X(cancel_of_granted)        /* A person takes a message from its holder. */                                                    \
  X(expired_waiting)          /* The message's own time ended while it waited. */                                                \
  X(call_not_started)         /* A call ends, and nothing was begun. */                                                          \
  X(call_unknown)             /* A call ends, and may have run. */                                                               \
  X(append_failed)            /* Memory is ahead of the disk: every waiter is told. */                                           \
  X(append_unknown)           /* The same, and it may be on the disk. */                                                         \
  X(agent_past_deadline)      /* The agent starts nothing new. */                                                                \
  X(agent_lost_running)       /* The agent hears that a running attempt's fence is gone. */                                      \
  X(agent_claim_repeated)     /* The agent asks again with the same seq. */                                                      \
  X(agent_claim_gathers)      /* Granted a few at once, it lets more come together. */                                           \
  X(inbox_knew)               /* A repeated message got its first result. */

// Mistakes somebody could make.
#define SALLYPORT_MUTANTS(X)                                                                                                     \
  X(settle_ignores_fence, "a settlement counts whatever its fence")                                                              \
  X(fence_restarts, "after a crash fences begin again in the old epoch")                                                         \
  X(waiters_survive_reopen, "waiters are keyed by position alone, and outlive a failed append")                                  \
  X(answer_before_durable, "answers leave before their append is on the disk")                                                   \
  X(sweep_before_arrivals, "the hub sweeps before it has looked at what has arrived")                                            \
  X(pause_expires_sessions, "a hub that was itself away blames its agents")                                                      \
  X(not_started_after_grant, "a call past its deadline is answered not_started although it was granted")                         \
  X(cancel_never_ran, "a cancelled message is said never to have run although it was granted")                                   \
  X(dedup_lost_on_restart, "a restarted hub has forgotten which events it has")                                                  \
  X(lane_lost_on_restart, "a restarted hub has forgotten which claims it answered")                                              \
  X(delayed_lost_on_restart, "a restarted hub forgets the messages that wait for their time")                                    \
  X(delay_lost_on_restart, "a restarted hub grants delayed messages at once")                                                    \
  X(verdict_lost_on_restart, "a restarted hub does not know which settlements it accepted")                                      \
  X(old_life_accepted, "an old incarnation may open again")                                                                      \
  X(old_session_served, "requests of a replaced session are served")                                                             \
  X(flaps_count, "losses of a process that came back are not taken back")                                                        \
  X(retry_breaks_order, "a retried message goes to the end of its key")                                                          \
  X(run_goes_on, "the rest of a key's run stays granted when its head fails")                                                    \
  X(taken_keeps_fence, "a message is taken from its holder without a new fence")                                                 \
  X(list_tears, "the list of fences takes back grants whose answer is under way")                                                \
  X(outage_burns_attempts, "a target that is down costs its messages their attempts")                                            \
  X(early_grant, "a message is granted before its time")                                                                         \
  X(deadline_from_reply, "the agent counts its lease from the reply")                                                            \
  X(lost_fence_started, "the agent starts work whose fence it was told is gone")                                                 \
  X(inbox_outside, "the inbox row is written outside the transaction")                                                           \
  X(inbox_last, "the inbox row is not the first statement, and a known one does not stop the rest")
// clang-format on

#ifdef SALLYPORT_PROBES

namespace sallyport::probe {

enum class mark : unsigned char {
#define SALLYPORT_NAME(name) name,
  SALLYPORT_MARKS(SALLYPORT_NAME)
#undef SALLYPORT_NAME
    count_
};
enum class mutant : unsigned char {
  none,
#define SALLYPORT_NAME(name, what) name,
  SALLYPORT_MUTANTS(SALLYPORT_NAME)
#undef SALLYPORT_NAME
    count_
};

inline constexpr const char* mark_names[] = {
#define SALLYPORT_NAME(name) #name,
  SALLYPORT_MARKS(SALLYPORT_NAME)
#undef SALLYPORT_NAME
};
struct mutant_text {
  const char *name, *what;
};
inline constexpr mutant_text mutant_texts[] = {{"none", "no mistake"},
#define SALLYPORT_NAME(name, what) {#name, what},
                                               SALLYPORT_MUTANTS(SALLYPORT_NAME)
#undef SALLYPORT_NAME
};

inline unsigned long long reached[static_cast<unsigned>(mark::count_)] = {};
inline mutant planted = mutant::none;

} // namespace sallyport::probe

#define SALLYPORT_MARK(name) ((void)++::sallyport::probe::reached[static_cast<unsigned>(::sallyport::probe::mark::name)])
#define SALLYPORT_MUTANT(name) (::sallyport::probe::planted == ::sallyport::probe::mutant::name)

#else

#define SALLYPORT_MARK(name) ((void)0)
#define SALLYPORT_MUTANT(name) false

#endif
