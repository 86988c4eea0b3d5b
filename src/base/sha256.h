// SHA-256 (FIPS 180-4): which file a sidecar belongs to. Not for security.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace posefix {

// Lower-case hexadecimal digest, 64 characters.
std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace posefix
