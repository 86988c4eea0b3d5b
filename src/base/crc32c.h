// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78: the checksum of TensorFlow's checkpoints and of plans; with
// SSE 4.2 where the processor has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace posefix {

// Checksum of the concatenation of what `crc` covers (0: nothing) and `bytes`.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);
uint32_t crc32c(std::string_view bytes, uint32_t crc = 0);
// The same in plain C++, for processors without the instruction and for the test that both agree.
uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc = 0);

// The form that files hold, so that a checksum of data that contains checksums stays sound.
// Source: tensorflow/core/lib/hash/crc32c.h.
constexpr uint32_t mask_crc32c(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

}  // namespace posefix
