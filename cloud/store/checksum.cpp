#include "cloud/store/checksum.hpp"

#include <array>
#include <cstring>

namespace sallyport::cloud {
namespace {

// tables[0] advances by one byte; tables[k] by one byte that k others follow, so that eight bytes take eight independent
// look-ups.
constexpr auto make_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    auto crc = byte;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < tables.size(); ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
  return tables;
}
constexpr auto tables = make_tables();

#if defined(__x86_64__)
/// What so many zero bytes make of a checksum: it is linear, so that four look-ups tell.
class zeros {
public:
  constexpr explicit zeros(std::size_t count) {
    std::uint32_t of_bit[32] = {};
    for (unsigned bit = 0; bit < 32; ++bit) {
      auto crc = std::uint32_t{1} << bit;
      for (std::size_t i = 0; i < count; ++i)
        crc = (crc >> 8) ^ tables[0][crc & 0xff];
      of_bit[bit] = crc;
    }
    for (unsigned k = 0; k < 4; ++k)
      for (unsigned byte = 0; byte < 256; ++byte)
        for (unsigned bit = 0; bit < 8; ++bit)
          if ((byte >> bit & 1) != 0)
            after_[k][byte] ^= of_bit[k * 8 + bit];
  }
  [[nodiscard]] std::uint64_t after(std::uint64_t crc) const noexcept {
    return after_[0][crc & 0xff] ^ after_[1][crc >> 8 & 0xff] ^ after_[2][crc >> 16 & 0xff] ^ after_[3][crc >> 24 & 0xff];
  }

private:
  std::uint32_t after_[4][256] = {};
};

// The instruction takes one cycle and its result comes after three: three runs of bytes side by side keep it busy. A message of 1 KiB
// is one such stride.
constexpr std::size_t run = 336;
constexpr zeros one_run{run}, two_runs{2 * run};

inline std::uint64_t word_at(const char* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::uint32_t so_far, std::string_view bytes) noexcept {
  std::uint64_t crc = ~so_far;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * run; at += 3 * run, left -= 3 * run) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < run; i += 8) {
      crc = __builtin_ia32_crc32di(crc, word_at(at + i));
      second = __builtin_ia32_crc32di(second, word_at(at + run + i));
      third = __builtin_ia32_crc32di(third, word_at(at + 2 * run + i));
    }
    crc = two_runs.after(crc) ^ one_run.after(second) ^ third;
  }
  for (; left >= 8; at += 8, left -= 8)
    crc = __builtin_ia32_crc32di(crc, word_at(at));
  auto narrow = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left)
    narrow = __builtin_ia32_crc32qi(narrow, static_cast<unsigned char>(*at));
  return ~narrow;
}
#endif

} // namespace

std::uint32_t crc32c_portable(std::uint32_t so_far, std::string_view bytes) noexcept {
  auto crc = ~so_far;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    crc ^= at[0] | std::uint32_t{at[1]} << 8 | std::uint32_t{at[2]} << 16 | std::uint32_t{at[3]} << 24;
    crc = tables[7][crc & 0xff] ^ tables[6][(crc >> 8) & 0xff] ^ tables[5][(crc >> 16) & 0xff] ^ tables[4][crc >> 24]
          ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
  }
  for (; left > 0; ++at, --left)
    crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

std::uint32_t crc32c(std::uint32_t so_far, std::string_view bytes) noexcept {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction)
    return crc32c_sse42(so_far, bytes);
#endif
  return crc32c_portable(so_far, bytes);
}

} // namespace sallyport::cloud
