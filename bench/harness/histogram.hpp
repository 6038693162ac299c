// Latencies, counted in buckets whose width is at most 1/64 of their value: small enough for shared memory, exact enough for a p99.99.
//
// Values below 128 ns have a bucket each; above, every power of two is cut into 64. Quantiles answer the upper edge of their bucket, so
// they never flatter. Plain data without pointers: one writer, readers after it has ended. The scheme is that of HdrHistogram
// (hdrhistogram.org), of which Debian has no C++ edition.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace sallyport::bench {

class histogram {
public:
  static constexpr unsigned cuts = 64;    // Buckets in a power of two.
  static constexpr unsigned octaves = 36; // 2^(6+36) ns: over an hour. What is longer counts there.
  static constexpr std::size_t buckets = (octaves + 1) * cuts;

  void add(std::uint64_t ns) {
    ++counts_[bucket_of(ns)];
    ++count_;
    sum_ += ns;
    if (ns > longest_)
      longest_ = ns;
  }
  void merge(const histogram& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t longest() const { return longest_; }
  [[nodiscard]] double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }
  /// The value that this part (0 to 1) of all values does not exceed, in ns, never above the longest. 0 when there are none.
  [[nodiscard]] std::uint64_t quantile(double part) const;

  [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t ns) {
    if (ns < 2 * cuts)
      return static_cast<std::size_t>(ns);
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - 7; // Leaves 64 to 127.
    const auto bucket = (std::size_t{shift} + 1) * cuts + static_cast<std::size_t>((ns >> shift) - cuts);
    return bucket < buckets ? bucket : buckets - 1;
  }
  /// The largest value of a bucket.
  [[nodiscard]] static constexpr std::uint64_t edge_of(std::size_t bucket) {
    if (bucket < 2 * cuts)
      return bucket;
    const auto shift = static_cast<unsigned>(bucket / cuts) - 1;
    return ((bucket % cuts + cuts + 1) << shift) - 1;
  }

private:
  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0, sum_ = 0, longest_ = 0;
};

} // namespace sallyport::bench
