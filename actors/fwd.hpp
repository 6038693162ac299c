// Names of the actors' messages, for headers. The handles are in actors/interfaces.hpp.
#pragma once

#include <memory>
#include <vector>

namespace sallyport::runtime {
struct agent_event;
struct agent_status;
struct grant_batch;
struct job_batch;
struct outcome_batch;
struct presence;
struct room_report;
struct send_claim;
struct session_started;
namespace lease {
struct cancel;
struct confirm;
} // namespace lease
} // namespace sallyport::runtime

namespace sallyport::wire {
struct held_grant;
struct settlement;
} // namespace sallyport::wire

namespace sallyport::actors {

struct agent_context;
struct child_list;
struct claim_answer;
struct host_change;
struct host_report;
struct host_roster;
struct hub_answer;
struct session_unit;
struct verdicts;
struct work_order;
struct worker_report;
struct supervisor_spec;

// One message per batch: each of these is shared and immutable, but for the few whose one receiver takes the contents out.
using jobs_ptr = std::shared_ptr<const runtime::job_batch>;
using outcomes_ptr = std::shared_ptr<const runtime::outcome_batch>;
using settlements_ptr = std::shared_ptr<const std::vector<wire::settlement>>;
using lost_ptr = std::shared_ptr<const std::vector<wire::held_grant>>;
using session_ptr = std::shared_ptr<const runtime::session_started>;
using room_ptr = std::shared_ptr<const runtime::room_report>;
using claim_ptr = std::shared_ptr<const runtime::send_claim>;
using cancel_ptr = std::shared_ptr<const runtime::lease::cancel>;
using confirm_ptr = std::shared_ptr<const runtime::lease::confirm>;
using event_ptr = std::shared_ptr<const runtime::agent_event>;
using presence_ptr = std::shared_ptr<runtime::presence>;  // Taken by the hub link.
using grants_ptr = std::shared_ptr<runtime::grant_batch>; // Taken by the lease manager.
using claim_answer_ptr = std::shared_ptr<claim_answer>;   // Taken by the poller.
using hub_answer_ptr = std::shared_ptr<hub_answer>;       // Taken by the hub link.
using verdicts_ptr = std::shared_ptr<const verdicts>;
using host_report_ptr = std::shared_ptr<const host_report>;
using host_change_ptr = std::shared_ptr<const host_change>;
using roster_ptr = std::shared_ptr<const host_roster>;
using unit_ptr = std::shared_ptr<const session_unit>;
using work_ptr = std::shared_ptr<const work_order>;
using worker_report_ptr = std::shared_ptr<const worker_report>;
using children_ptr = std::shared_ptr<const child_list>;
using status_ptr = std::shared_ptr<const runtime::agent_status>;

} // namespace sallyport::actors
