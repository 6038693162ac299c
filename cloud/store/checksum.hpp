// CRC-32C (Castagnoli), as in iSCSI and ext4: by the processor's own instruction where there is one. Private to this folder.
#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport::cloud {

/// The checksum of the bytes that gave `so_far` (0 for none) followed by `bytes`.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t so_far, std::string_view bytes) noexcept;
/// The same without the instruction; the oracle of the other, and what other processors use.
[[nodiscard]] std::uint32_t crc32c_portable(std::uint32_t so_far, std::string_view bytes) noexcept;

} // namespace sallyport::cloud
