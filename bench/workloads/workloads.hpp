// One function per file of this folder: the workload it holds. workloads.cpp puts them in order.
#pragma once

#include "bench/harness/workload.hpp"

namespace sallyport::bench {

workload throughput_workload(); // W1
workload latency_workload();    // W2
workload singles_workload();    // W3
workload payload_workload();    // W4
workload backlog_workload();    // W5
workload fan_workload();        // W6
workload fail_over_workload();  // W7
workload sql_workload();        // W8
workload tls_workload();        // W9
workload embedded_workload();   // W10

} // namespace sallyport::bench
