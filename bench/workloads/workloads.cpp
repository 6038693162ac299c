#include "bench/workloads/workloads.hpp"

namespace sallyport::bench {

const std::vector<workload>& workloads() {
  static const std::vector<workload> all{
    throughput_workload(), latency_workload(),   singles_workload(), payload_workload(), backlog_workload(),
    fan_workload(),        fail_over_workload(), sql_workload(),     tls_workload(),     embedded_workload(),
  };
  return all;
}

} // namespace sallyport::bench
