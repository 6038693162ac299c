// Every typed actor handle of the agent and the whole conversation it takes part in. Include from .cpp files; headers use actors/fwd.hpp.
//
//   steward ── knows who is who now, hears what happens, drains and ends the agent
//   root supervisor
//   ├─ session unit (one_for_all): hub_link, lease_manager, poller      they know each other by session_unit
//   └─ adapters (one_for_one): adapter_host per connection              they know the lease manager by session_unit
//        each with N workers, on threads of their own (unless the adapter never blocks)
//
//   poller ──claim──▶ hub_link ──grants──▶ poller ──grants──▶ lease_manager ──jobs──▶ adapter_host ──▶ worker
//   hub_link ◀──settlements── lease_manager ◀──outcomes── adapter_host ◀── worker
//
// Our ids in CAF are 1200 to 1399 (the block below, published in docs/embedding.md). All messages stay inside the process.
#pragma once

#include "actors/fwd.hpp"
#include "adapters/api/adapter.hpp"
#include "protocol/result.hpp"
#include "runtime/core/agent_event.hpp"
#include "runtime/core/agent_status.hpp"
#include "runtime/core/lease_keeper.hpp"
#include "runtime/core/session_keeper.hpp"
#include "runtime/core/transport.hpp"
#include "runtime/core/work.hpp"

#include <caf/all.hpp>

#include <string>
#include <vector>

namespace sallyport::actors::atom {

// At most ten characters each.
using announce = caf::atom_constant<caf::atom("announce")>;
using children = caf::atom_constant<caf::atom("children")>;
using close = caf::atom_constant<caf::atom("close")>;
using closed = caf::atom_constant<caf::atom("closed")>;
using done = caf::atom_constant<caf::atom("done")>;
using drain = caf::atom_constant<caf::atom("drain")>;
using drained = caf::atom_constant<caf::atom("drained")>;
using ended = caf::atom_constant<caf::atom("ended")>;
using probe = caf::atom_constant<caf::atom("probe")>;
using start = caf::atom_constant<caf::atom("start")>;
using status = caf::atom_constant<caf::atom("status")>;
using stop = caf::atom_constant<caf::atom("stop")>;
using tick = caf::atom_constant<caf::atom("tick")>;

} // namespace sallyport::actors::atom

namespace sallyport::actors {

// -- messages --------------------------------------------------------------------------------------------------------------------

/// The transport's answer to one of the hub link's requests.
struct hub_answer {
  std::uint64_t tag = 0;
  result<runtime::http_reply> what;
};
struct claim_answer {
  claim_ptr asked;
  result<wire::claim_reply> what;
};
struct verdicts {
  result<wire::settle_reply> what;
};
/// Until when held work may go on, and how long running work has to heed its cancel signal after that.
struct drain_order {
  mono_time until{};
  milliseconds grace{};
};
/// How a host introduces itself to a lease manager: what it can do, what it is at, and what it has not heard confirmed.
struct host_report {
  runtime::connection_index connection = 0;
  runtime::lease_keeper::host_hello hello;
  wire::reach state = wire::reach::unknown;
  std::string detail;
};
struct host_change {
  runtime::connection_index connection = 0;
  wire::reach state = wire::reach::unknown;
  std::string detail;
  bool leaving = false; // It takes no more work; what it runs it will still report.
};
/// A batch for a worker, with the signals its host may raise.
struct work_order {
  jobs_ptr jobs;
  std::unique_ptr<adapters::cancel_signal[]> signals; // One per grant.
};
/// What a worker has to say; exactly one for each order and each probe.
struct worker_report {
  std::size_t worker = 0;
  outcomes_ptr outcomes;        // Of the order.
  adapters::probe_result probe; // Of the probe.
  bool was_probe = false;
  bool threw = false;         // The adapter threw; `error` says what. The worker ends.
  bool target_failed = false; // An outcome blamed the target.
  std::string error;
};

// -- actors ----------------------------------------------------------------------------------------------------------------------

/// The HUB LINK interface. It alone talks to the hub, and keeps the session.
using hub_link_actor = caf::typed_actor<
  // Who it works with; opens the session.
  caf::reacts_to<unit_ptr>,
  // What the lease manager knows, as asked for before each opening and heartbeat.
  caf::reacts_to<presence_ptr>,
  // A claim of the poller, answered by a claim_answer when the hub answers or the transport gives up.
  caf::reacts_to<claim_ptr>,
  // Outcomes for the hub, answered by verdicts.
  caf::reacts_to<settlements_ptr>,
  // The hub should hear soon what changed: the next heartbeat leaves at once.
  caf::reacts_to<atom::announce>,
  // Nothing more is wanted: tells the hub, then the poller.
  caf::reacts_to<atom::drain>,
  // Closes the session; answered by `closed` to the lease manager, whatever comes of it, within three requests.
  caf::reacts_to<atom::close>,
  // From the transport's thread.
  caf::reacts_to<hub_answer_ptr>,
  // Its own alarm clock.
  caf::reacts_to<atom::tick>>;

/// The LEASE MANAGER interface. It owns every grant from its arrival to its settlement.
using lease_manager_actor = caf::typed_actor<
  // Who it works with.
  caf::reacts_to<unit_ptr>,
  // Which adapter hosts live now; each new one is greeted and reports.
  caf::reacts_to<roster_ptr>,
  // A host's introduction, and what changes with it later.
  caf::reacts_to<host_report_ptr>, caf::reacts_to<host_change_ptr>,
  // The hub link wants to open a session or send a heartbeat; answered by a presence. For an opening that waits until every living
  // host has reported, so that no running work goes unnamed.
  caf::reacts_to<runtime::presence_ask>,
  // A session is open; and until when it is known to live.
  caf::reacts_to<session_ptr>, caf::reacts_to<runtime::deadline_moved>,
  // Fences taken from us: not begun, they are dropped; running, their work is told.
  caf::reacts_to<lost_ptr>,
  // New grants from the poller, one batch per message.
  caf::reacts_to<grants_ptr>,
  // A host reports how a batch ended; settled with the next request to the hub.
  caf::reacts_to<outcomes_ptr>,
  // The hub's answer to a settle request.
  caf::reacts_to<verdicts_ptr>,
  // The poller knows that no grant is under way any more.
  caf::reacts_to<atom::drained>,
  // The hub link has closed the session, or given up on it.
  caf::reacts_to<atom::closed>,
  // Stops taking work; answers when nothing is held any more and the session is closed. A second order can only shorten the first.
  caf::replies_to<atom::drain, drain_order>::with<atom::done>,
  // Answers at once.
  caf::replies_to<atom::status>::with<status_ptr>,
  // Its own alarm clock.
  caf::reacts_to<atom::tick>>;

/// The POLLER interface. It keeps claims parked at the hub as long as there is room for grants.
using poller_actor = caf::typed_actor<
  // Who it works with.
  caf::reacts_to<unit_ptr>,
  // A session is open: its lanes start anew.
  caf::reacts_to<session_ptr>,
  // The session is over: nothing is asked until the next.
  caf::reacts_to<atom::ended>,
  // How much the lease manager would take.
  caf::reacts_to<room_ptr>,
  // The hub link's answer to a claim.
  caf::reacts_to<claim_answer_ptr>,
  // The hub knows that nothing more is wanted: fetches what is under way, then says `drained` to the lease manager.
  caf::reacts_to<atom::drain>,
  // Its own alarm clock.
  caf::reacts_to<atom::tick>>;

/// The ADAPTER HOST interface. It does one connection's work, outlives the session unit, and remembers every batch until the hub has
/// answered its outcomes.
using adapter_host_actor = caf::typed_actor<
  // A lease manager (perhaps a new one) says hello: answered by a host_report.
  caf::reacts_to<unit_ptr>,
  // A batch for a worker that is free.
  caf::reacts_to<jobs_ptr>,
  // Raises cancel signals; messages that do not run any more are ignored.
  caf::reacts_to<cancel_ptr>,
  // These batches may be forgotten.
  caf::reacts_to<confirm_ptr>,
  // From its workers.
  caf::reacts_to<worker_report_ptr>,
  // Time to look whether the target is there.
  caf::reacts_to<atom::probe>>;

/// The WORKER interface. It owns one adapter, and blocks as its adapter does (traits::blocks).
using worker_actor = caf::typed_actor<
  // Carries the batch out and reports to its host.
  caf::reacts_to<work_ptr>,
  // Asks the adapter whether the target is there and reports.
  caf::reacts_to<atom::probe>>;

/// The SUPERVISOR interface. Starts, watches, restarts and stops children; see actors/supervisor.hpp.
using supervisor_actor = caf::typed_actor<
  // Its own alarm clock: the wait before a restart is over. The number tells waits apart.
  caf::reacts_to<atom::start, std::uint64_t>,
  // A child that was told to stop has had its time.
  caf::reacts_to<atom::stop, std::uint64_t>,
  // Which children live now.
  caf::replies_to<atom::children>::with<children_ptr>>;

/// The STEWARD interface. It knows who is who now, hears what happens, and ends the agent.
using steward_actor = caf::typed_actor<
  // The session unit was started anew, or is gone (then without handles).
  caf::reacts_to<unit_ptr>,
  // Which adapter hosts live now.
  caf::reacts_to<roster_ptr>,
  // Something happened that the embedder should hear of.
  caf::reacts_to<event_ptr>,
  // Drains within the configured time, then ends the agent.
  caf::reacts_to<atom::drain>,
  // Gives everything back at once, then ends the agent.
  caf::reacts_to<atom::stop>,
  // Its own alarm clock: what should have ended has not. The number tells waits apart.
  caf::reacts_to<atom::tick, std::uint64_t>,
  // The supervisors below the root.
  caf::replies_to<atom::children>::with<children_ptr>,
  // Answers at once.
  caf::replies_to<atom::status>::with<status_ptr>>;

/// What an embedder's own actor answers to be an adapter (runtime/typed.hpp). Outcomes in the order of the jobs.
struct adapter_jobs {
  std::vector<adapters::job> jobs;
};
struct adapter_outcomes {
  std::vector<adapters::outcome> outcomes;
};
using adapter_jobs_ptr = std::shared_ptr<const adapter_jobs>;
using adapter_outcomes_ptr = std::shared_ptr<const adapter_outcomes>;
using adapter_probe_ptr = std::shared_ptr<const adapters::probe_result>;
using adapter_actor = caf::typed_actor<
  // Is the target there? Asked every probe interval.
  caf::replies_to<atom::probe>::with<adapter_probe_ptr>,
  // Carry these out; each has its own deadline and cancel signal. An error as answer counts as a throw.
  caf::replies_to<adapter_jobs_ptr>::with<adapter_outcomes_ptr>>;

// -- who is who ------------------------------------------------------------------------------------------------------------------

/// The three that live and die together.
struct session_unit {
  hub_link_actor link;
  lease_manager_actor leases;
  poller_actor poll;
};
/// The adapter hosts by connection_index; empty handles where one is being restarted.
struct host_roster {
  std::vector<adapter_host_actor> hosts;
};
struct child_list {
  struct child {
    std::string name;
    caf::actor handle; // Empty while it is down.
  };
  std::vector<child> children;
};

} // namespace sallyport::actors

// Never sent over a network: pointers to shared, immutable batches.
#define SALLYPORT_MESSAGE_TYPES(X)                                                                                               \
  X(sallyport::actors::jobs_ptr)                                                                                                 \
  X(sallyport::actors::outcomes_ptr)                                                                                             \
  X(sallyport::actors::settlements_ptr)                                                                                          \
  X(sallyport::actors::lost_ptr)                                                                                                 \
  X(sallyport::actors::session_ptr)                                                                                              \
  X(sallyport::actors::room_ptr)                                                                                                 \
  X(sallyport::actors::claim_ptr)                                                                                                \
  X(sallyport::actors::cancel_ptr)                                                                                               \
  X(sallyport::actors::confirm_ptr)                                                                                              \
  X(sallyport::actors::event_ptr)                                                                                                \
  X(sallyport::actors::presence_ptr)                                                                                             \
  X(sallyport::actors::grants_ptr)                                                                                               \
  X(sallyport::actors::claim_answer_ptr)                                                                                         \
  X(sallyport::actors::hub_answer_ptr)                                                                                           \
  X(sallyport::actors::verdicts_ptr)                                                                                             \
  X(sallyport::actors::host_report_ptr)                                                                                          \
  X(sallyport::actors::host_change_ptr)                                                                                          \
  X(sallyport::actors::roster_ptr)                                                                                               \
  X(sallyport::actors::unit_ptr)                                                                                                 \
  X(sallyport::actors::work_ptr)                                                                                                 \
  X(sallyport::actors::worker_report_ptr)                                                                                        \
  X(sallyport::actors::children_ptr)                                                                                             \
  X(sallyport::actors::status_ptr)                                                                                               \
  X(sallyport::actors::adapter_jobs_ptr)                                                                                         \
  X(sallyport::actors::adapter_outcomes_ptr)                                                                                     \
  X(sallyport::actors::adapter_probe_ptr)                                                                                        \
  X(sallyport::actors::drain_order)                                                                                              \
  X(sallyport::runtime::presence_ask)                                                                                            \
  X(sallyport::runtime::deadline_moved)

#define SALLYPORT_UNSAFE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(type)
SALLYPORT_MESSAGE_TYPES(SALLYPORT_UNSAFE)
#undef SALLYPORT_UNSAFE

CAF_BEGIN_TYPE_ID_BLOCK(sallyport, 1200)
#define SALLYPORT_TYPE_ID(type) CAF_ADD_TYPE_ID(sallyport, (type))
SALLYPORT_MESSAGE_TYPES(SALLYPORT_TYPE_ID)
#undef SALLYPORT_TYPE_ID
CAF_END_TYPE_ID_BLOCK(sallyport)
static_assert(caf::id_block::sallyport::end <= 1400, "the published range of type ids is full");
