#include "runtime/io/system_time.hpp"

#include <time.h>

namespace sallyport::io {
namespace {

milliseconds read_clock(clockid_t clock) {
  timespec t{};
  SALLYPORT_ASSERT(clock_gettime(clock, &t) == 0);
  return milliseconds(std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000);
}

} // namespace

instant system_time_source::now() {
  return {mono_time(read_clock(CLOCK_BOOTTIME)), wall_time(read_clock(CLOCK_REALTIME))};
}

} // namespace sallyport::io
