// Keys of the content tree, for whoever fetches what the shard only names. Big-endian, so that they rise with the order of enqueueing.
#pragma once

#include "protocol/ids.hpp"

#include <string>

namespace sallyport::cloud {

[[nodiscard]] std::string event_key(message_id message);
[[nodiscard]] std::string result_key(message_id message);

} // namespace sallyport::cloud
