// JPEG files that carry an EXIF orientation, for tests.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace posefix::image {

// `jpeg` with an EXIF block (EXIF 2.3, a TIFF block in APP1) that holds only the orientation, 1..8.
inline std::vector<std::byte> with_orientation(const std::vector<std::byte>& jpeg, int orientation,
                                               bool big_endian = false) {
  std::string tiff = big_endian ? std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0?\0\0\0\0\0\0", 26)
                                : std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0?\0\0\0\0\0\0\0", 26);
  std::replace(tiff.begin(), tiff.end(), '?', static_cast<char>(orientation));
  const std::string segment = std::string("\xFF\xE1\0\x22", 4) + std::string("Exif\0\0", 6) + tiff;
  std::vector<std::byte> result(jpeg.begin(), jpeg.begin() + 2);
  result.resize(2 + segment.size());
  std::memcpy(result.data() + 2, segment.data(), segment.size());
  result.insert(result.end(), jpeg.begin() + 2, jpeg.end());
  return result;
}

}  // namespace posefix::image
