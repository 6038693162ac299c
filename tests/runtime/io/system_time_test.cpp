#include "runtime/io/system_time.hpp"

#include <gtest/gtest.h>

namespace sallyport::io {
namespace {

TEST(system_time, never_goes_back_and_moves_on) {
  system_time_source source;
  const auto first = source.now();
  auto last = first;
  // Ends by itself only if the clock runs; ctest's limit ends it otherwise.
  while (last.mono < first.mono + milliseconds(3)) {
    const auto now = source.now();
    ASSERT_GE(now.mono, last.mono);
    last = now;
  }
}

TEST(system_time, tells_the_wall_clock_in_unix_time) {
  system_time_source source;
  const auto before = std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
  const auto told = source.now().wall;
  const auto after = std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
  EXPECT_LE(before, told);
  EXPECT_LE(told, after);
}

} // namespace
} // namespace sallyport::io
