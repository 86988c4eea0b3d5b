// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as in iSCSI: crc32c("123456789") = 0xE3069283.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace posefix::plan {

// `crc` continues an earlier call's result over the bytes that came before.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace posefix::plan
