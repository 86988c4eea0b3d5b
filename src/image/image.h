// Decoded pictures: 8-bit BGR, rows top to bottom, no padding.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace posefix::image {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> bgr;  // [height][width][3]
};

struct ImageHeader {
  int width = 0;
  int height = 0;
  int channels = 0;
  int exif_orientation = 1;  // 1..8
};

enum class ExifOrientation { kIgnore, kApply };  // COCO and the reference ignore it

// JPEG (libjpeg-turbo, islow IDCT, fancy upsampling: the bytes of cv2.imread with IMREAD_IGNORE_ORIENTATION) or PNG by
// content, grey expanded, alpha dropped, 16 bit cut to 8. Error (bad input) names file, what is wrong and the byte
// offset where the data ends early.
Image decode(const std::filesystem::path& path, ExifOrientation orientation = ExifOrientation::kIgnore);
Image decode(std::span<const std::byte> bytes, const std::string& name,
             ExifOrientation orientation = ExifOrientation::kIgnore);
// The same into a picture whose memory is used again. On an Error its contents are unspecified.
void decode_into(const std::filesystem::path& path, Image& image,
                 ExifOrientation orientation = ExifOrientation::kIgnore);
// Reads only as much as the size needs. Width and height are those of the picture that decode() gives.
ImageHeader read_header(const std::filesystem::path& path, ExifOrientation orientation = ExifOrientation::kIgnore);

// PNG, or JPEG at quality 92 for .jpg/.jpeg; written beside and renamed.
void encode(const Image& image, const std::filesystem::path& path);
// Error (bad input) if encode() would refuse the file's extension.
void check_can_encode(const std::filesystem::path& path);
// The bytes of a JPEG file, quality 1..100.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace posefix::image
