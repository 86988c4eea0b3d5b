#include <array>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "image/codec.h"
#include "image/image.h"

namespace posefix::image {
namespace {

bool begins_with(Bytes bytes, std::string_view prefix, size_t offset = 0) {
  return bytes.size() >= offset + prefix.size() &&
         std::string_view(reinterpret_cast<const char*>(bytes.data()) + offset, prefix.size()) == prefix;
}

bool looks_like_web_page(Bytes bytes) {
  size_t at = 0;
  while (at < bytes.size() && (std::to_integer<int>(bytes[at]) <= ' ' || std::to_integer<int>(bytes[at]) >= 0x80)) {
    if (++at == 64) return false;  // white space and a byte order mark at most
  }
  constexpr std::array kOpenings{"<!DOCTYPE", "<!doctype", "<html", "<HTML", "<head", "<?xml", "<body", "<Error"};
  for (const char* opening : kOpenings) {
    if (begins_with(bytes, opening, at)) return true;
  }
  return false;
}

// Name of a picture format that is recognised but not read, "" if none.
std::string_view foreign_format(Bytes bytes) {
  if (begins_with(bytes, "GIF8")) return "GIF";
  if (begins_with(bytes, "BM")) return "BMP";
  if (begins_with(bytes, "RIFF") && begins_with(bytes, "WEBP", 8)) return "WebP";
  if (begins_with(bytes, std::string_view("II*\0", 4)) || begins_with(bytes, std::string_view("MM\0*", 4))) {
    return "TIFF";
  }
  if (begins_with(bytes, "ftypheic", 4) || begins_with(bytes, "ftypmif1", 4)) return "HEIC";
  if (begins_with(bytes, "ftypavif", 4)) return "AVIF";
  if (begins_with(bytes, "PK\x03\x04")) return "ZIP";
  return {};
}

Error not_a_picture(Bytes bytes, const std::string& name) {
  if (bytes.empty()) return bad_input("{}: the file is empty (0 bytes), expected a JPEG or PNG; fetch it again", name);
  if (looks_like_web_page(bytes)) {
    return bad_input(
        "{}: byte 0: a web page or XML ({} bytes) instead of a picture, as a failed download leaves; fetch it again",
        name, bytes.size());
  }
  if (const std::string_view format = foreign_format(bytes); !format.empty()) {
    return bad_input("{}: byte 0: a {} file; only JPEG and PNG are read: convert it", name, format);
  }
  std::string start;
  for (size_t i = 0; i < bytes.size() && i < 8; ++i) start += fmt::format(" {:02X}", std::to_integer<int>(bytes[i]));
  return bad_input("{}: byte 0: neither JPEG (FF D8) nor PNG (89 50 4E 47), found{}", name, start);
}

ImageHeader header_of(Bytes bytes, const std::string& name) {
  if (is_jpeg(bytes)) return jpeg_header(bytes, name);
  if (is_png(bytes)) return png_header(bytes, name);
  throw not_a_picture(bytes, name);
}

}  // namespace

void check_size(int64_t width, int64_t height, const std::string& name) {
  if (width < 1 || height < 1) throw bad_input("{}: the picture is {} x {} px, it has no pixels", name, width, height);
  if (width > kMaxPixels / height) {  // their product may not fit 64 bits
    throw bad_input(
        "{}: the header says {} x {} px, more than the {} px that are read; the file is damaged or too large", name,
        width, height, kMaxPixels);
  }
}

namespace {

void decode_bytes(Bytes bytes, const std::string& name, Image& image, ExifOrientation orientation) {
  const ImageHeader header = header_of(bytes, name);
  if (is_jpeg(bytes)) {
    decode_jpeg(bytes, name, image);
  } else {
    decode_png(bytes, name, image);
  }
  if (orientation == ExifOrientation::kApply) image = upright(std::move(image), header.exif_orientation);
}

}  // namespace

Image decode(std::span<const std::byte> bytes, const std::string& name, ExifOrientation orientation) {
  Image image;
  decode_bytes(bytes, name, image, orientation);
  return image;
}

Image decode(const std::filesystem::path& path, ExifOrientation orientation) {
  Image image;
  decode_into(path, image, orientation);
  return image;
}

void decode_into(const std::filesystem::path& path, Image& image, ExifOrientation orientation) {
  decode_bytes(MappedFile::open(path)->bytes(), path.string(), image, orientation);
}

ImageHeader read_header(const std::filesystem::path& path, ExifOrientation orientation) {
  ImageHeader header = header_of(MappedFile::open(path)->bytes(), path.string());
  const bool lies_on_its_side = header.exif_orientation >= 5;
  if (orientation == ExifOrientation::kApply && lies_on_its_side) std::swap(header.width, header.height);
  return header;
}

}  // namespace posefix::image
