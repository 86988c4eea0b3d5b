// Sizes and orientations from the first bytes: JPEG markers (ITU-T T.81 annex B), EXIF 2.3 (a TIFF block in APP1),
// PNG chunks (ISO/IEC 15948; eXIf).
#include "base/error.h"
#include "image/codec.h"

namespace posefix::image {
namespace {

int byte_at(Bytes bytes, size_t at) { return std::to_integer<int>(bytes[at]); }
int u16_big(Bytes bytes, size_t at) { return byte_at(bytes, at) << 8 | byte_at(bytes, at + 1); }
uint32_t u32_big(Bytes bytes, size_t at) {
  return static_cast<uint32_t>(u16_big(bytes, at)) << 16 | static_cast<uint32_t>(u16_big(bytes, at + 2));
}

bool has_text(Bytes bytes, size_t at, std::string_view text) {
  if (bytes.size() < at + text.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (byte_at(bytes, at + i) != static_cast<unsigned char>(text[i])) return false;
  }
  return true;
}

// SOF0..SOF15 without DHT, JPG and DAC, which share the range.
bool is_start_of_frame(int marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

bool has_no_length(int marker) { return marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8); }

}  // namespace

bool is_jpeg(Bytes bytes) { return bytes.size() >= 3 && u16_big(bytes, 0) == 0xFFD8 && byte_at(bytes, 2) == 0xFF; }

bool is_png(Bytes bytes) { return has_text(bytes, 0, "\x89PNG\r\n\x1a\n"); }

int tiff_orientation(Bytes tiff) {
  if (tiff.size() < 8) return 1;
  const bool big = byte_at(tiff, 0) == 'M';
  const auto u16 = [&](size_t at) { return big ? u16_big(tiff, at) : byte_at(tiff, at) | byte_at(tiff, at + 1) << 8; };
  const size_t high = static_cast<size_t>(u16(big ? 4 : 6));
  const size_t directory = high << 16 | static_cast<size_t>(u16(big ? 6 : 4));
  if (directory + 2 > tiff.size()) return 1;
  const int entries = u16(directory);
  for (int i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + 12 * static_cast<size_t>(i);
    if (at + 12 > tiff.size()) return 1;
    if (u16(at) != 0x0112) continue;
    const int orientation = u16(at + 8);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
  }
  return 1;
}

ImageHeader jpeg_header(Bytes bytes, const std::string& name) {
  ImageHeader header;
  size_t at = 2;
  for (;;) {
    while (at < bytes.size() && byte_at(bytes, at) != 0xFF) ++at;  // stray bytes between segments are passed over
    while (at < bytes.size() && byte_at(bytes, at) == 0xFF) ++at;  // fill bytes
    if (at >= bytes.size()) {
      throw bad_input("{}: byte {}: the JPEG ends before its frame header; the file is truncated: fetch it again", name,
                      bytes.size());
    }
    const int marker = byte_at(bytes, at++);
    if (marker == 0 || has_no_length(marker)) continue;
    if (marker == 0xD9 || marker == 0xDA) {
      throw bad_input("{}: byte {}: JPEG marker FF{:02X} before any frame header; the file is damaged", name, at - 2,
                      marker);
    }
    if (at + 2 > bytes.size() || at + static_cast<size_t>(u16_big(bytes, at)) > bytes.size()) {
      throw bad_input(
          "{}: byte {}: the JPEG ends inside segment FF{:02X}, which began at byte {}; the file is "
          "truncated: fetch it again",
          name, bytes.size(), marker, at - 2);
    }
    const size_t length = static_cast<size_t>(u16_big(bytes, at));
    if (is_start_of_frame(marker) && length >= 8) {
      header.height = u16_big(bytes, at + 3);
      header.width = u16_big(bytes, at + 5);
      header.channels = byte_at(bytes, at + 7);
      check_size(header.width, header.height, name);
      return header;
    }
    if (marker == 0xE1 && length >= 8 && has_text(bytes, at + 2, std::string_view("Exif\0\0", 6))) {
      header.exif_orientation = tiff_orientation(bytes.subspan(at + 8, length - 8));
    }
    at += std::max<size_t>(length, 2);
  }
}

ImageHeader png_header(Bytes bytes, const std::string& name) {
  if (bytes.size() < 33) {
    throw bad_input("{}: byte {}: the PNG ends inside its header; the file is truncated: fetch it again", name,
                    bytes.size());
  }
  if (!has_text(bytes, 12, "IHDR"))
    throw bad_input("{}: byte 12: expected the PNG chunk IHDR; the file is damaged", name);
  ImageHeader header;
  const uint32_t width = u32_big(bytes, 16);
  const uint32_t height = u32_big(bytes, 20);
  check_size(width, height, name);
  header.width = static_cast<int>(width);
  header.height = static_cast<int>(height);
  const int color_type = byte_at(bytes, 25);  // bit 0 palette, bit 1 colour, bit 2 alpha
  header.channels = ((color_type & 2) != 0 ? 3 : 1) + ((color_type & 4) != 0 ? 1 : 0);
  for (size_t at = 33; at + 12 <= bytes.size() && !has_text(bytes, at + 4, "IDAT");) {
    const size_t length = u32_big(bytes, at);
    if (length > bytes.size() - at - 12) break;
    if (has_text(bytes, at + 4, "eXIf")) header.exif_orientation = tiff_orientation(bytes.subspan(at + 8, length));
    at += 12 + length;
  }
  return header;
}

}  // namespace posefix::image
