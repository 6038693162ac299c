#include "cloud/core/content_keys.hpp"

#include "cloud/core/rows.hpp"

namespace sallyport::cloud {

// Results sort below events, so that new events land behind everything there is and fill their pages.
std::string event_key(message_id message) {
  return message_key('e', message);
}
std::string result_key(message_id message) {
  return message_key('d', message);
}

} // namespace sallyport::cloud
