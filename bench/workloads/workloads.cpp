#include "bench/workloads/workloads.hpp"

namespace sallyport::bench {

const std::vector<workload>& workloads() {
  static const std::vector<workload> all{
    throughput_workload(),
  };
  return all;
}

} // namespace sallyport::bench
