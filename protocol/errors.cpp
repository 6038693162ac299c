#include "protocol/errors.hpp"

#include "protocol/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace sallyport {

void assertion_failed(const char* belief, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, belief);
  std::abort();
}

std::string_view to_string(errc code) noexcept {
  switch (code) {
#define SALLYPORT_X(name, number, status, adv, sentence)                                                                         \
  case errc::name: return #name;
    SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  }
  return "internal";
}

std::optional<errc> parse_errc(std::string_view text) noexcept {
#define SALLYPORT_X(name, number, status, adv, sentence)                                                                         \
  if (text == #name)                                                                                                             \
    return errc::name;
  SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  return std::nullopt;
}

int http_status(errc code) noexcept {
  switch (code) {
#define SALLYPORT_X(name, number, status, adv, sentence)                                                                         \
  case errc::name: return status;
    SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  }
  return 500;
}

advice retry_advice(errc code) noexcept {
  switch (code) {
#define SALLYPORT_X(name, number, status, adv, sentence)                                                                         \
  case errc::name: return advice::adv;
    SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  }
  return advice::ask_first;
}

std::string_view sentence(errc code) noexcept {
  switch (code) {
#define SALLYPORT_X(name, number, status, adv, words)                                                                            \
  case errc::name: return words;
    SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
  }
  return "";
}

std::string to_string(const error& e) {
  std::string out{to_string(e.code)};
  out.append(": ").append(sentence(e.code));
  if (!e.detail.empty())
    out.append(": ").append(e.detail);
  if (e.index)
    out.append(" (item ").append(std::to_string(*e.index)).append(")");
  return out;
}

} // namespace sallyport
