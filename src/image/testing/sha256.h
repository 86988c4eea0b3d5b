// SHA-256 (FIPS 180-4) for golden tests that store a picture's digest instead of its bytes. Not for security.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace posefix::image::testing {

// Lower-case hexadecimal digest.
std::string sha256_hex(std::span<const uint8_t> bytes);

}  // namespace posefix::image::testing
