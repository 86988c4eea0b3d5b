// Whether a version 5 .mat file is whole. matio reads a damaged one as zeros without a word.
//
// Layout: 128 bytes of header (text, version u16 at 124, endianness "IM" or "MI" at 126), then elements: type u32,
// size u32, data; type 15 is a zlib stream and not padded, all others are padded to 8 bytes.
#pragma once

#include <span>
#include <string>

namespace posefix::dataset::formats {

// Walks the elements and inflates the compressed ones (zlib's checksum included). Error (bad input) names `path` and
// the byte offset of the element that is cut off or damaged. Files of other versions pass.
void check_mat_integrity(std::span<const std::byte> bytes, const std::string& path);

}  // namespace posefix::dataset::formats
