// What the microbenchmarks feed the product with: the same bytes at every run. Pure functions.
#pragma once

#include "protocol/event.hpp"
#include "protocol/wire.hpp"

#include <string>
#include <vector>

namespace sallyport::bench {

inline constexpr std::uint32_t batch_events = 256;

/// A CloudEvent of 1 KiB. Its data is either one long string, as in a document or a log line, or many short members, as in a row of a table.
[[nodiscard]] std::string event_of_1_kib(std::size_t n, bool is_row);
/// batch_events of them, as a producer posts them.
[[nodiscard]] std::string batch_body(bool is_row);

/// A claim's answer with batch_events grants.
[[nodiscard]] wire::claim_reply claim_reply_of_256(bool is_row);
/// Every grant of a claim, done.
[[nodiscard]] std::vector<wire::settlement> settlements_of(const wire::claim_reply& claimed);
/// The hub's answer to them.
[[nodiscard]] wire::settle_reply verdicts_of(const std::vector<wire::settlement>& items);
/// The hub's answer to a batch.
[[nodiscard]] wire::enqueue_reply enqueue_reply_of_256();

} // namespace sallyport::bench
