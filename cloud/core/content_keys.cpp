#include "cloud/core/content_keys.hpp"

#include "cloud/core/rows.hpp"

namespace sallyport::cloud {

std::string event_key(message_id message) { return message_key('e', message); }
std::string result_key(message_id message) { return message_key('r', message); }

} // namespace sallyport::cloud
