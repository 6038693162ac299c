#include "cloud/core/content_keys.hpp"

#include "cloud/core/rows.hpp"

namespace sallyport::cloud {

// Results sort below events, so that new events land behind everything there is and fill their pages.
record_key event_key(message_id message) {
  return message_key('e', message);
}
record_key result_key(message_id message) {
  return message_key('d', message);
}

} // namespace sallyport::cloud
