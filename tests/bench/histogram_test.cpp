#include "bench/harness/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

namespace {

using sallyport::bench::histogram;

TEST(histogram, every_bucket_ends_where_the_next_begins) {
  for (std::size_t bucket = 0; bucket + 1 < histogram::buckets; ++bucket) {
    ASSERT_EQ(histogram::bucket_of(histogram::edge_of(bucket)), bucket);
    ASSERT_EQ(histogram::bucket_of(histogram::edge_of(bucket) + 1), bucket + 1);
  }
}

TEST(histogram, values_below_128_ns_are_exact) {
  for (std::uint64_t ns = 0; ns < 128; ++ns)
    EXPECT_EQ(histogram::edge_of(histogram::bucket_of(ns)), ns);
}

TEST(histogram, a_value_beyond_the_last_bucket_counts_there_and_the_longest_stays_exact) {
  const auto h = std::make_unique<histogram>();
  const auto very_long = std::uint64_t{1} << 60;
  EXPECT_EQ(histogram::bucket_of(very_long), histogram::buckets - 1);
  h->add(very_long);
  EXPECT_EQ(h->count(), 1u);
  EXPECT_EQ(h->longest(), very_long);
}

TEST(histogram, a_quantile_lies_at_or_a_sixty_fourth_above_that_of_the_sorted_values) {
  constexpr std::uint64_t seed = 4711;
  std::mt19937_64 dice(seed);
  std::lognormal_distribution<double> latencies(std::log(800'000.0), 1.5); // Median 0.8 ms, with a long tail.
  const auto h = std::make_unique<histogram>();
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 100'003; ++i) {
    values.push_back(static_cast<std::uint64_t>(latencies(dice)));
    h->add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double part : {0.0001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size())));
    const auto exact = values[rank - 1];
    EXPECT_GE(h->quantile(part), exact) << part << ", seed " << seed;
    EXPECT_LE(static_cast<double>(h->quantile(part)), static_cast<double>(exact) * (1 + 1.0 / 64)) << part << ", seed " << seed;
  }
  EXPECT_EQ(h->quantile(1), values.back());
}

TEST(histogram, a_quantile_is_never_above_the_longest) {
  const auto h = std::make_unique<histogram>();
  h->add(1'000'001); // In the lower part of its bucket.
  EXPECT_EQ(h->quantile(0.5), 1'000'001u);
}

TEST(histogram, has_no_quantile_without_values) {
  const auto h = std::make_unique<histogram>();
  EXPECT_EQ(h->quantile(0.99), 0u);
  EXPECT_EQ(h->mean(), 0);
}

TEST(histogram, merging_two_is_adding_the_values_of_both) {
  const auto one = std::make_unique<histogram>(), other = std::make_unique<histogram>(), both = std::make_unique<histogram>();
  for (std::uint64_t i = 1; i < 2'000; ++i) {
    (i % 3 == 0 ? *one : *other).add(i * i);
    both->add(i * i);
  }
  one->merge(*other);
  EXPECT_EQ(one->count(), both->count());
  EXPECT_EQ(one->longest(), both->longest());
  EXPECT_EQ(one->mean(), both->mean());
  for (const double part : {0.1, 0.5, 0.9, 0.999})
    EXPECT_EQ(one->quantile(part), both->quantile(part)) << part;
}

} // namespace
