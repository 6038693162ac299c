#include "bench/harness/event.hpp"
#include "protocol/event.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

namespace {

using namespace sallyport::bench;

constexpr auto most = std::numeric_limits<std::uint64_t>::max();

TEST(bench_event, number_and_due_time_are_read_back) {
  event_maker maker(1024);
  for (const auto& [number, due] : {std::pair<std::uint64_t, std::uint64_t>{0, 0}, {7, 123'456'789'012}, {most, most}, {1, 2}}) {
    const auto stamp = stamp_of(maker.make(number, due));
    EXPECT_EQ(stamp.number, number);
    EXPECT_EQ(stamp.due_ns, due);
  }
}

TEST(bench_event, has_exactly_the_size_asked_for_or_the_least_there_is) {
  for (const std::size_t bytes : {event_bytes_min, event_bytes_min + 1, std::size_t{1024}, std::size_t{1} << 20}) {
    event_maker maker(bytes);
    EXPECT_EQ(maker.make(1, 1).size(), bytes);
    EXPECT_EQ(maker.bytes(), bytes);
  }
  EXPECT_EQ(event_maker(64).make(1, 1).size(), event_bytes_min);
}

TEST(bench_event, is_a_cloudevent_as_the_hub_reads_it) {
  event_maker maker(300);
  const auto parsed = sallyport::parse_event(maker.make(42, 43), {});
  ASSERT_TRUE(parsed) << to_string(parsed.err());
}

TEST(bench_event, bytes_of_others_are_refused) {
  event_maker maker(1024);
  EXPECT_THROW((void)stamp_of(""), std::runtime_error);
  EXPECT_THROW((void)stamp_of(std::string(1024, 'x')), std::runtime_error);
  EXPECT_THROW((void)stamp_of(maker.make(1, 1).substr(0, 60)), std::runtime_error);
  std::string damaged{maker.make(1, 1)};
  damaged[damaged.find("00000")] = 'z';
  EXPECT_THROW((void)stamp_of(damaged), std::runtime_error);
}

} // namespace
