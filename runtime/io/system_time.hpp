// The real clocks, behind the port that tests step.
#pragma once

#include "runtime/core/transport.hpp"

namespace sallyport::io {

/// CLOCK_BOOTTIME (counts on while the machine sleeps, so a lease does not outlive its hub's patience unnoticed) and CLOCK_REALTIME.
/// Stateless; any thread.
class system_time_source final : public runtime::time_source {
public:
  instant now() override;
};

} // namespace sallyport::io
