// Numbers as they lie on disk: little-endian. Private to this folder.
#pragma once

#include <cstddef>

namespace sallyport::cloud {

template <class Number>
void write_little(char* to, Number value) {
  for (std::size_t i = 0; i < sizeof value; ++i)
    to[i] = static_cast<char>(value >> (8 * i));
}

template <class Number>
Number read_little(const char* from) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value = static_cast<Number>(value | static_cast<Number>(static_cast<Number>(static_cast<unsigned char>(from[i])) << (8 * i)));
  return value;
}

} // namespace sallyport::cloud
