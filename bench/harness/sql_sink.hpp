// W8's work, as a plain at-least-once consumer does it: the events of a batch become rows of PostgreSQL, one transaction a batch, and only
// after its commit are they acknowledged. Uses libpq: one prepared statement with an array per column, in binary form, so one round trip.
#pragma once

#include "bench/harness/system.hpp"

#include <memory>
#include <string>

namespace sallyport::bench {

/// Writes each batch to table `effects` (id text, body text) of the database, then hands it on. Throws when the database refuses. One
/// connection per thread that calls take().
std::unique_ptr<sink> make_sql_sink(const std::string& conninfo, sink& then);

} // namespace sallyport::bench
