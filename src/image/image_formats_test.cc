// Kinds of JPEG and PNG that are not plain 8-bit colour, made here with the codecs' own libraries.
#include <gtest/gtest.h>

// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
// clang-format on
#include <png.h>

#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "image/codec.h"
#include "image/image.h"

namespace posefix::image {
namespace {

constexpr int kWidth = 19;
constexpr int kHeight = 11;

// `pixel(x, y, channel)` of 8 bits.
template <typename Pixel>
std::vector<std::byte> jpeg_of(J_COLOR_SPACE space, int channels, bool progressive, Pixel pixel) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = kWidth;
  info.image_height = kHeight;
  info.input_components = channels;
  info.in_color_space = space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  for (int y = 0; y < kHeight; ++y) {
    std::vector<JSAMPLE> row;
    for (int x = 0; x < kWidth; ++x) {
      for (int channel = 0; channel < channels; ++channel) row.push_back(static_cast<JSAMPLE>(pixel(x, y, channel)));
    }
    JSAMPROW rows[1] = {row.data()};
    jpeg_write_scanlines(&info, rows, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::vector<std::byte> bytes(reinterpret_cast<std::byte*>(buffer), reinterpret_cast<std::byte*>(buffer) + size);
  std::free(buffer);
  return bytes;
}

void append(png_structp png, png_bytep from, size_t count) {
  auto* out = static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  out->insert(out->end(), reinterpret_cast<std::byte*>(from), reinterpret_cast<std::byte*>(from) + count);
}

// Rows as the format packs them.
std::vector<std::byte> png_of(int color_type, int depth, int interlace, std::vector<std::vector<uint8_t>> rows) {
  std::vector<std::byte> out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &out, append, [](png_structp) {});
  png_set_IHDR(png, info, kWidth, kHeight, depth, color_type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_color palette[4] = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}, {200, 210, 220}};
  png_byte transparency[4] = {0, 100, 200, 255};
  if (color_type == PNG_COLOR_TYPE_PALETTE) {
    png_set_PLTE(png, info, palette, 4);
    png_set_tRNS(png, info, transparency, 4, nullptr);
  }
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  pointers.reserve(rows.size());
  for (auto& row : rows) pointers.push_back(row.data());
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

template <typename Row>
std::vector<std::vector<uint8_t>> rows_of(Row row) {
  std::vector<std::vector<uint8_t>> rows;
  rows.reserve(kHeight);
  for (int y = 0; y < kHeight; ++y) rows.push_back(row(y));
  return rows;
}

// expected(x, y) gives {b, g, r}.
template <typename Expected>
void expect_pixels(const std::vector<std::byte>& bytes, int tolerance, Expected expected) {
  const Image image = decode(bytes, "x");
  ASSERT_EQ(image.width, kWidth);
  ASSERT_EQ(image.height, kHeight);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const std::array<int, 3> bgr = expected(x, y);
      for (size_t channel = 0; channel < 3; ++channel) {
        EXPECT_NEAR(image.bgr[3 * static_cast<size_t>(y * kWidth + x) + channel], bgr[channel], tolerance);
      }
    }
  }
}

// Width and height of a PNG are 32 bits each.
TEST(ImageFormats, SidesWhoseProductOverflowsAreRefused) {
  std::vector<std::byte> header;
  for (const char c :
       std::string_view("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xFF\0\x31\0\xC0\0\x0F\xD8\x08\2\0\0\0\0\0\0\0", 33)) {
    header.push_back(static_cast<std::byte>(c));
  }
  try {
    decode(header, "wide.png", ExifOrientation::kIgnore);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("more than the"), std::string::npos) << error.what();
  }
}

TEST(ImageFormats, GreyJpeg) {
  for (const bool progressive : {false, true}) {
    const auto bytes = jpeg_of(JCS_GRAYSCALE, 1, progressive, [](int x, int y, int) { return 100 + 3 * x + 2 * y; });
    expect_pixels(bytes, 2, [](int x, int y) {
      const int grey = 100 + 3 * x + 2 * y;
      return std::array<int, 3>{grey, grey, grey};
    });
    EXPECT_EQ(jpeg_header(bytes, "x").channels, 1);
  }
}

TEST(ImageFormats, CmykJpegAsAdobeWritesIt) {
  // Inverted: 255 is no ink.
  const auto bytes = jpeg_of(JCS_CMYK, 4, false, [](int, int, int channel) {
    constexpr std::array<int, 4> kInk{200, 120, 60, 230};
    return kInk[static_cast<size_t>(channel)];
  });
  const auto mixed = [](int ink) { return 230 - ((255 - ink) * 230 >> 8); };
  expect_pixels(bytes, 2, [&](int, int) { return std::array<int, 3>{mixed(60), mixed(120), mixed(200)}; });
  EXPECT_EQ(jpeg_header(bytes, "x").channels, 4);
}

TEST(ImageFormats, ProgressiveJpegMissingItsLastScanIsTruncated) {
  const auto bytes = jpeg_of(JCS_RGB, 3, true, [](int x, int y, int c) { return (x * 31 + y * 57 + c * 11) % 256; });
  expect_pixels(bytes, 255, [](int, int) { return std::array<int, 3>{0, 0, 0}; });
  EXPECT_ANY_THROW(decode(std::span(bytes).first(bytes.size() - 20), "x"));
}

TEST(ImageFormats, SixteenBitPngKeepsTheHighByte) {
  const auto rows = rows_of([](int y) {
    std::vector<uint8_t> row;
    for (int x = 0; x < kWidth; ++x) {
      for (const int high : {10 + x, 20 + y, 200}) {
        row.push_back(static_cast<uint8_t>(high));
        row.push_back(0xF0);  // would round up
      }
    }
    return row;
  });
  expect_pixels(png_of(PNG_COLOR_TYPE_RGB, 16, PNG_INTERLACE_NONE, rows), 0, [](int x, int y) {
    return std::array<int, 3>{200, 20 + y, 10 + x};
  });
}

TEST(ImageFormats, AlphaIsDropped) {
  const auto rows = rows_of([](int y) {
    std::vector<uint8_t> row;
    for (int x = 0; x < kWidth; ++x) {
      for (const int value : {3 * x, 5 * y, 77, x % 2}) row.push_back(static_cast<uint8_t>(value));
    }
    return row;
  });
  for (const int interlace : {PNG_INTERLACE_NONE, PNG_INTERLACE_ADAM7}) {
    expect_pixels(png_of(PNG_COLOR_TYPE_RGB_ALPHA, 8, interlace, rows), 0, [](int x, int y) {
      return std::array<int, 3>{77, 5 * y, 3 * x};
    });
  }
  const auto grey_rows = rows_of([](int y) {
    std::vector<uint8_t> row;
    for (int x = 0; x < kWidth; ++x) {
      row.push_back(static_cast<uint8_t>(x + 10 * y));
      row.push_back(static_cast<uint8_t>(x));
    }
    return row;
  });
  expect_pixels(png_of(PNG_COLOR_TYPE_GRAY_ALPHA, 8, PNG_INTERLACE_NONE, grey_rows), 0, [](int x, int y) {
    return std::array<int, 3>{x + 10 * y, x + 10 * y, x + 10 * y};
  });
}

TEST(ImageFormats, PaletteAndBilevelPng) {
  const auto palette_rows = rows_of([](int y) {
    std::vector<uint8_t> row((2 * kWidth + 7) / 8, 0);
    for (int x = 0; x < kWidth; ++x)
      row[static_cast<size_t>(x / 4)] |= static_cast<uint8_t>((x + y) % 4 << (6 - x % 4 * 2));
    return row;
  });
  expect_pixels(png_of(PNG_COLOR_TYPE_PALETTE, 2, PNG_INTERLACE_NONE, palette_rows), 0, [](int x, int y) {
    constexpr std::array<std::array<int, 3>, 4> kColors{{{30, 20, 10}, {60, 50, 40}, {90, 80, 70}, {220, 210, 200}}};
    return kColors[static_cast<size_t>((x + y) % 4)];
  });
  const auto bilevel_rows = rows_of([](int y) {
    std::vector<uint8_t> row((kWidth + 7) / 8, 0);
    for (int x = 0; x < kWidth; ++x)
      row[static_cast<size_t>(x / 8)] |= static_cast<uint8_t>((x + y) % 2 << (7 - x % 8));
    return row;
  });
  expect_pixels(png_of(PNG_COLOR_TYPE_GRAY, 1, PNG_INTERLACE_NONE, bilevel_rows), 0, [](int x, int y) {
    const int grey = (x + y) % 2 * 255;
    return std::array<int, 3>{grey, grey, grey};
  });
}

}  // namespace
}  // namespace posefix::image
