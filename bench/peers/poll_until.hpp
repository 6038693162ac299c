// Waiting for several sockets at once, with an end.
#pragma once

#include "bench/harness/clock.hpp"

#include <poll.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace sallyport::bench {

/// True when one of the wishes has come (see revents); false when give_up_ns of now_ns() has passed, or a signal came first. Throws
/// std::runtime_error that names the one waited for.
inline bool poll_until(std::vector<pollfd>& wishes, std::uint64_t give_up_ns, const std::string& whom) {
  const auto now = now_ns();
  const auto left = give_up_ns > now ? give_up_ns - now : 0;
  const timespec bound{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  const int ready = ppoll(wishes.data(), wishes.size(), &bound, nullptr);
  if (ready < 0 && errno != EINTR)
    throw std::runtime_error("waiting for " + whom + ": " + std::strerror(errno));
  return ready > 0;
}

} // namespace sallyport::bench
