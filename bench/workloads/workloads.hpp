// One function per file of this folder: the workload it holds. workloads.cpp puts them in order.
#pragma once

#include "bench/harness/workload.hpp"

namespace sallyport::bench {

workload throughput_workload(); // W1

} // namespace sallyport::bench
