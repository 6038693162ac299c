// Assertions that stay on in release: a broken belief about our own state must stop the process, because what it would do next is
// unknown, and everything durable is safe in the store.
#pragma once

namespace sallyport {

/// Prints the belief and where it was held, then aborts.
[[noreturn]] void assertion_failed(const char* belief, const char* file, int line) noexcept;

} // namespace sallyport

#define SALLYPORT_ASSERT(belief)                                                                                                 \
  do {                                                                                                                           \
    if (!(belief)) [[unlikely]]                                                                                                  \
      ::sallyport::assertion_failed(#belief, __FILE__, __LINE__);                                                                \
  } while (false)
