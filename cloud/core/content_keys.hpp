// Keys of the content tree, for whoever fetches what the shard only names. Big-endian, so that they rise with the order of enqueueing.
#pragma once

#include "cloud/store/port.hpp"
#include "protocol/ids.hpp"

namespace sallyport::cloud {

[[nodiscard]] record_key event_key(message_id message);
[[nodiscard]] record_key result_key(message_id message);

} // namespace sallyport::cloud
