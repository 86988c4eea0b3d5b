// The codecs behind decode() and encode(), one file each. Internal to image/.
//
// Every function takes a whole file in memory and a name for messages; damaged data end in Error (bad input) that names
// the byte offset. No codec prints.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "image/image.h"

namespace posefix::image {

using Bytes = std::span<const std::byte>;

// Pictures with more pixels are refused: a damaged header must not exhaust the memory.
inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

// Error (bad input) for sides below 1 or too many pixels.
void check_size(int64_t width, int64_t height, const std::string& name);

bool is_jpeg(Bytes bytes);  // FF D8
bool is_png(Bytes bytes);   // 89 50 4E 47 0D 0A 1A 0A

// Size, channels and EXIF orientation from the markers alone; pixels are not touched.
ImageHeader jpeg_header(Bytes bytes, const std::string& name);
ImageHeader png_header(Bytes bytes, const std::string& name);
// Orientation of a TIFF block (as in EXIF), 1 when it has none or is damaged.
int tiff_orientation(Bytes tiff);

// Into `image`, whose memory is used again.
void decode_jpeg(Bytes bytes, const std::string& name, Image& image);
void decode_png(Bytes bytes, const std::string& name, Image& image);
std::vector<std::byte> encode_png(const Image& image);

// The upright picture of one stored with the EXIF orientation 1..8.
Image upright(Image image, int orientation);

}  // namespace posefix::image
