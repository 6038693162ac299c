#include "adapters/null/options.hpp"

namespace sallyport::adapters::null {

const config::options_of<settings>& options() {
  using s = settings;
  static const config::options_of<settings> table(
    "connection.null",
    {
      config::section<s>("connection.null",
                         "Takes messages and does nothing. For benchmarks, and for trying a hub without a local system."),
      config::option(&s::latency, "connection.null.latency_ms", "How long a batch takes."),
      config::option(&s::result, "connection.null.result", "JSON; the result of every message.", {.example = "\"{}\""}),
      config::option(&s::batch_max, "connection.null.batch_max", "Messages of one batch.",
                     {.min = std::size_t{1}, .max = std::size_t{1024}}),
      config::option(&s::workers, "connection.null.workers", "Batches at once.", {.min = std::size_t{1}, .max = std::size_t{64}}),
    });
  return table;
}

} // namespace sallyport::adapters::null
