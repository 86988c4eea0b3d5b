#include "image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"
#include "image/codec.h"
#include "image/testing/exif_jpeg.h"

namespace posefix::image {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Image noise(int width, int height, uint64_t seed = 1) {
  Image image{width, height, std::vector<uint8_t>(3 * static_cast<size_t>(width) * static_cast<size_t>(height))};
  Rng rng(seed, 0, 0);
  for (uint8_t& value : image.bgr) value = static_cast<uint8_t>(rng.next_u32());
  return image;
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string message_of(std::span<const std::byte> bytes) {
  return bad_input_message([&] { decode(bytes, "x.jpg"); });
}

TEST(Image, PngRoundTripIsExact) {
  for (const auto& [width, height] : {std::pair{1, 1}, {7, 3}, {3, 200}, {256, 192}}) {
    const Image image = noise(width, height);
    const Image back = decode(encode_png(image), "x.png");
    EXPECT_EQ(back.width, width);
    EXPECT_EQ(back.height, height);
    EXPECT_EQ(back.bgr, image.bgr);
  }
}

TEST(Image, JpegKeepsASmoothPicture) {
  Image image{64, 48, std::vector<uint8_t>(3 * 64 * 48)};
  for (size_t i = 0; i < image.bgr.size(); ++i) image.bgr[i] = static_cast<uint8_t>(i / 3 % 64 * 3 + i % 3);
  const Image back = decode(encode_jpeg(image, 92), "x.jpg");
  ASSERT_EQ(back.bgr.size(), image.bgr.size());
  for (size_t i = 0; i < image.bgr.size(); ++i) EXPECT_NEAR(back.bgr[i], image.bgr[i], 12);
}

TEST(Image, EncodeChoosesByExtensionAndLeavesNothingBehind) {
  const TemporaryFolder folder;
  const Image image = noise(20, 10);
  encode(image, folder / "a.png");
  encode(image, folder / "b.JPG");
  EXPECT_EQ(decode(folder / "a.png").bgr, image.bgr);
  EXPECT_EQ(read_header(folder / "b.JPG").width, 20);
  EXPECT_THROW(encode(image, folder / "c.gif"), Error);
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++entries;
  EXPECT_EQ(entries, 2U);
}

TEST(Image, NotAPicture) {
  EXPECT_THAT(message_of({}), AllOf(HasSubstr("x.jpg"), HasSubstr("empty")));
  EXPECT_THAT(message_of(bytes_of("\n <!DOCTYPE html><html><body>404</body>")), HasSubstr("web page"));
  EXPECT_THAT(message_of(bytes_of("<html>")), HasSubstr("web page"));
  EXPECT_THAT(message_of(bytes_of("GIF89a......")), HasSubstr("GIF"));
  EXPECT_THAT(message_of(bytes_of("RIFF....WEBPVP8 ")), HasSubstr("WebP"));
  EXPECT_THAT(message_of(bytes_of("hello")), AllOf(HasSubstr("neither JPEG"), HasSubstr("68 65 6C 6C 6F")));
  EXPECT_THROW(decode(std::filesystem::path("/no/such/picture.jpg")), Error);
}

TEST(Image, EveryTruncationIsReportedWithItsOffset) {
  const Image image = noise(40, 30);
  for (const std::vector<std::byte>& whole : {encode_jpeg(image, 92), encode_png(image)}) {
    const size_t last = whole.size() - (is_jpeg(whole) ? 3 : 1);  // a JPEG may lack its end marker
    for (size_t length = 3; length < last; length += length < 700 ? 1 : 37) {
      SCOPED_TRACE(length);
      const std::string message = message_of(std::span(whole).first(length));
      EXPECT_THAT(message, HasSubstr("x.jpg"));
      EXPECT_NE(message, "no error");
      if (length > 60) {
        EXPECT_THAT(message, HasSubstr(std::to_string(length)));
      }
    }
  }
}

TEST(Image, DamageNeverCrashes) {
  const Image image = noise(40, 30);
  for (const std::vector<std::byte>& whole : {encode_jpeg(image, 92), encode_png(image)}) {
    Rng rng(5, 0, 0);
    for (int round = 0; round < 400; ++round) {
      std::vector<std::byte> damaged = whole;
      for (int i = 0; i < 3; ++i)
        damaged[rng.below(static_cast<uint32_t>(whole.size()))] = std::byte{uint8_t(rng.next_u32())};
      try {
        decode(damaged, "x");
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kBadInput);
      }
    }
  }
}

TEST(Image, ExifOrientationIsReadAndAppliedOnRequest) {
  const Image image = noise(24, 16);
  const std::vector<std::byte> plain = encode_jpeg(image, 100);
  const Image stored = decode(plain, "x.jpg");
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool big : {false, true}) {
      SCOPED_TRACE(orientation);
      const std::vector<std::byte> marked = with_orientation(plain, orientation, big);
      EXPECT_EQ(jpeg_header(marked, "x").exif_orientation, orientation);
      EXPECT_EQ(decode(marked, "x").bgr, stored.bgr);
      const Image turned = decode(marked, "x", ExifOrientation::kApply);
      EXPECT_EQ(turned.width, orientation >= 5 ? 16 : 24);
      // Where the stored top left pixel lies in the upright picture.
      const bool right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
      const bool bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
      const int x = right ? turned.width - 1 : 0;
      const int y = bottom ? turned.height - 1 : 0;
      const size_t at = 3 * static_cast<size_t>(y * turned.width + x);
      EXPECT_TRUE(
          std::equal(stored.bgr.begin(), stored.bgr.begin() + 3, turned.bgr.begin() + static_cast<ptrdiff_t>(at)));
    }
  }
}

TEST(Image, HeaderWithoutPixels) {
  const std::vector<std::byte> png = encode_png(noise(33, 21));
  const ImageHeader header = png_header(png, "x");
  EXPECT_EQ(header.width, 33);
  EXPECT_EQ(header.height, 21);
  EXPECT_EQ(header.channels, 3);
}

}  // namespace
}  // namespace posefix::image
