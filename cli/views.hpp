// What the hub tells, as text for a terminal. Pure; any thread.
#pragma once

#include "protocol/wire.hpp"

#include <string>

namespace sallyport::cli {

/// Groups with their agents and connections, as tables.
[[nodiscard]] std::string status_text(const wire::groups_reply& groups, wall_time now);

/// A message's life, one line per event of its history.
[[nodiscard]] std::string explain_text(const wire::message_view& message, wall_time now);

/// A page of messages, as a table.
[[nodiscard]] std::string page_text(const wire::queue_page& page, wall_time now);

} // namespace sallyport::cli
