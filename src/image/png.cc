// PNG by libpng: palette, grey and transparency expanded, alpha dropped, 16 bits cut to their high 8, BGR.
//
// libpng leaves by longjmp on errors; the functions that call it hold no C++ objects of their own.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <string>

#include "base/error.h"
#include "image/codec.h"

namespace posefix::image {
namespace {

struct PngSource {
  const std::byte* bytes;
  size_t size;
  size_t at;
  bool ran_out;
  char message[160];
};

void on_error(png_structp png, png_const_charp message) {
  auto* source = static_cast<PngSource*>(png_get_error_ptr(png));
  std::strncpy(source->message, message, sizeof source->message - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, size_t count) {
  auto* source = static_cast<PngSource*>(png_get_io_ptr(png));
  if (count > source->size - source->at) {
    source->ran_out = true;
    source->at = source->size;
    png_error(png, "the data end early");
  }
  std::memcpy(to, source->bytes + source->at, count);
  source->at += count;
}

struct PngTarget {
  Image* image;
  std::vector<png_bytep>* rows;
};

void prepare(png_structp png, png_infop info, PngTarget& target) {
  png_set_strip_16(png);
  png_set_palette_to_rgb(png);
  png_set_expand_gray_1_2_4_to_8(png);
  png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);
  png_set_bgr(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  Image& image = *target.image;
  const size_t stride = png_get_rowbytes(png, info);
  if (stride != size_t{3} * static_cast<size_t>(image.width)) png_error(png, "unexpected row size");
  image.bgr.resize(stride * static_cast<size_t>(image.height));
  target.rows->resize(static_cast<size_t>(image.height));
  for (size_t y = 0; y < target.rows->size(); ++y) (*target.rows)[y] = image.bgr.data() + y * stride;
}

bool run_decoder(png_structp png, png_infop info, PngSource& source, PngTarget& target) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, &source, read_bytes);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
  png_read_info(png, info);
  prepare(png, info, target);
  png_read_image(png, target.rows->data());
  png_read_end(png, nullptr);
  return true;
}

void append_bytes(png_structp png, png_bytep from, size_t count) {
  auto* out = static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  const auto* first = reinterpret_cast<const std::byte*>(from);
  out->insert(out->end(), first, first + count);
}

void no_flush(png_structp) {}

bool run_encoder(png_structp png, png_infop info, const Image& image, std::vector<std::byte>& out) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_write_fn(png, &out, append_bytes, no_flush);
  png_set_compression_level(png, 4);
  png_set_IHDR(png, info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8,
               PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_set_bgr(png);
  const size_t stride = size_t{3} * static_cast<size_t>(image.width);
  for (int y = 0; y < image.height; ++y) png_write_row(png, image.bgr.data() + static_cast<size_t>(y) * stride);
  png_write_end(png, info);
  return true;
}

}  // namespace

void decode_png(Bytes bytes, const std::string& name, Image& image) {
  const ImageHeader header = png_header(bytes, name);
  image.width = header.width;
  image.height = header.height;
  std::vector<png_bytep> rows;
  PngSource source{bytes.data(), bytes.size(), 0, false, {}};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
  if (png == nullptr) throw std::bad_alloc();
  png_infop info = png_create_info_struct(png);
  PngTarget target{&image, &rows};
  const bool finished = info != nullptr && run_decoder(png, info, source, target);
  png_destroy_read_struct(&png, &info, nullptr);
  if (finished) return;
  if (source.ran_out) {
    throw bad_input(
        "{}: the PNG data end at byte {} before the picture is complete; the file is truncated: fetch it "
        "again",
        name, source.size);
  }
  throw bad_input("{}: near byte {}: not a readable PNG: {}", name, source.at, source.message);
}

std::vector<std::byte> encode_png(const Image& image) {
  std::vector<std::byte> out;
  PngSource trouble{};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &trouble, on_error, on_warning);
  if (png == nullptr) throw std::bad_alloc();
  png_infop info = png_create_info_struct(png);
  const bool finished = info != nullptr && run_encoder(png, info, image, out);
  png_destroy_write_struct(&png, &info);
  if (!finished) throw failed("cannot encode a PNG of {} x {} px: {}", image.width, image.height, trouble.message);
  return out;
}

}  // namespace posefix::image
