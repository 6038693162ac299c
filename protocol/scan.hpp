// Runs of text that need no second look, sixteen bytes at a step. Private to protocol/.
#pragma once

#include <bit>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sallyport::detail {

/// The end of a run without quotes, backslashes and control characters: where the first of those is, or `end`.
inline const char* plain_end(const char* p, const char* end) {
#if defined(__SSE2__)
  const auto quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
  for (; end - p >= 16; p += 16) {
    auto v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    auto hit =
      _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)), _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
    if (auto mask = static_cast<unsigned>(_mm_movemask_epi8(hit)))
      return p + std::countr_zero(mask);
  }
#endif
  while (p != end && *p != '"' && *p != '\\' && static_cast<unsigned char>(*p) >= 0x20)
    ++p;
  return p;
}

/// The same, and it ends at the first byte beyond ASCII too.
inline const char* plain_ascii_end(const char* p, const char* end) {
#if defined(__SSE2__)
  const auto quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
  for (; end - p >= 16; p += 16) {
    auto v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    // As signed numbers, what is beyond ASCII lies below the space as control characters do.
    auto hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)), _mm_cmplt_epi8(v, space));
    if (auto mask = static_cast<unsigned>(_mm_movemask_epi8(hit)))
      return p + std::countr_zero(mask);
  }
#endif
  while (p != end && *p != '"' && *p != '\\' && static_cast<signed char>(*p) >= 0x20)
    ++p;
  return p;
}

} // namespace sallyport::detail
