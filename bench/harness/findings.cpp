#include "bench/harness/workload.hpp"

#include <algorithm>

namespace sallyport::bench {

void findings::add(const measurement& like, double value) {
  auto at = std::find_if(measurements.begin(), measurements.end(), [&like](const measurement& m) {
    return m.workload == like.workload && m.system == like.system && m.point == like.point && m.what == like.what;
  });
  if (at == measurements.end()) {
    at = measurements.insert(measurements.end(), like);
    at->rounds.clear();
  }
  at->rounds.push_back(value);
  if (!like.mark.empty())
    at->mark = like.mark;
  at->comparable = at->comparable && like.comparable;
}

const measurement* findings::find(const std::string& workload, const std::string& system, const std::string& point,
                                  const std::string& what) const {
  for (const auto& m : measurements)
    if (m.workload == workload && m.system == system && m.point == point && m.what == what)
      return &m;
  return nullptr;
}

double median(std::vector<double> values) {
  if (values.empty())
    return 0;
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

} // namespace sallyport::bench
