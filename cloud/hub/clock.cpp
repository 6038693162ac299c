#include "cloud/hub/clock.hpp"

#include <ctime>
#include <utility>

namespace sallyport::cloud {

instant real_time::now() {
  timespec boot{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  auto mono = std::chrono::seconds{boot.tv_sec} + std::chrono::nanoseconds{boot.tv_nsec};
  return {mono_time{std::chrono::duration_cast<milliseconds>(mono)},
          std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now())};
}

instant wall_keeper::correct(instant reading) {
  if (!started_) {
    started_ = true;
    return last_ = reading;
  }
  const auto passed = reading.mono > last_.mono ? reading.mono - last_.mono : milliseconds{0};
  const auto expected = last_.wall + passed;
  const bool jumped = reading.wall - expected > believable;
  if (jumped && !holding_)
    alarm_ = true;
  holding_ = jumped;
  if (jumped || std::chrono::abs(reading.wall - expected) <= in_step)
    last_.wall = expected;
  else if (reading.wall >= last_.wall)
    last_.wall = reading.wall;
  else { // Standing still would stop every retry until the clock is met again.
    crawled_ += passed;
    last_.wall += crawled_ / 2;
    crawled_ %= 2;
  }
  if (reading.mono > last_.mono)
    last_.mono = reading.mono;
  return last_;
}

bool wall_keeper::take_alarm() {
  return std::exchange(alarm_, false);
}

} // namespace sallyport::cloud
