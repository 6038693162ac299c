// The null adapter: takes messages and does nothing. For benchmarks, and for trying a hub without a local system.
#pragma once

#include "adapters/api/adapter.hpp"

#include <atomic>

namespace sallyport::adapters::null {

struct settings {
  milliseconds latency{0}; // How long every perform() call takes.
  std::string result;      // Raw JSON; the result of every message.
  std::size_t batch_max = 256;
  std::size_t workers = 1;
  std::shared_ptr<std::atomic<std::uint64_t>> performed{}; // Counts messages, when given.
};

/// Every fault at once, one per line of the detail. Errors: invalid_config.
[[nodiscard]] result<void> check(const settings& s);
[[nodiscard]] factory make_factory(const settings& s);

} // namespace sallyport::adapters::null
