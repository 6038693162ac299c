#include "bench/harness/histogram.hpp"

#include <algorithm>
#include <cmath>

namespace sallyport::bench {

void histogram::merge(const histogram& other) {
  for (std::size_t i = 0; i < buckets; ++i)
    counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  longest_ = std::max(longest_, other.longest_);
}

std::uint64_t histogram::quantile(double part) const {
  const auto rank = static_cast<std::uint64_t>(std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(count_)));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    below += counts_[i];
    if (counts_[i] > 0 && below >= rank)
      return std::min(edge_of(i), longest_);
  }
  return longest_;
}

} // namespace sallyport::bench
