#include "image/crop.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace posefix::image {
namespace {

Image noise(int width, int height) {
  Image image{width, height, std::vector<uint8_t>(3 * static_cast<size_t>(width) * static_cast<size_t>(height))};
  Rng rng(3, 0, 0);
  for (uint8_t& value : image.bgr) value = static_cast<uint8_t>(rng.next_u32());
  return image;
}

Image mirrored_picture(const Image& image) {
  Image result = image;
  mirror(image.bgr, {image.height, image.width}, result.bgr);
  return result;
}

struct Drawn {
  pose::Box box;
  Augmentation augmentation;
};

Drawn draw(Rng& rng, int width, int height) {
  Drawn drawn;
  drawn.box = {rng.uniform(-0.5, 1) * width, rng.uniform(-0.5, 1) * height, rng.uniform(1, 1.5 * width),
               rng.uniform(1, 1.5 * height)};
  drawn.augmentation = {rng.uniform(0.7, 1.3), rng.uniform(-80, 80), rng.uniform() < 0.5};
  return drawn;
}

std::vector<uint8_t> warped(const Image& image, const CropGeometry& geometry, CropSize size) {
  std::vector<uint8_t> crop(3 * static_cast<size_t>(size.width) * static_cast<size_t>(size.height));
  warp(image, geometry, size, crop);
  return crop;
}

TEST(Crop, MappingBackIsIdentity) {
  Rng rng(1, 0, 0);
  for (int round = 0; round < 500; ++round) {
    const Drawn drawn = draw(rng, 640, 480);
    const CropGeometry geometry = crop_geometry(drawn.box, {256, 192}, 640, drawn.augmentation);
    const double x = rng.uniform(0, 640);
    const double y = rng.uniform(0, 480);
    double u = x;
    double v = y;
    map_to_crop(geometry, u, v);
    const Affine& back = geometry.to_image;
    const double x_mirrored = back[0] * u + back[1] * v + back[2];
    EXPECT_NEAR(geometry.flip ? 639 - x_mirrored : x_mirrored, x, 1e-4);
    EXPECT_NEAR(back[3] * u + back[4] * v + back[5], y, 1e-4);
  }
}

TEST(Crop, FlippedGeometryEqualsCropOfTheMirroredPicture) {
  const Image image = noise(61, 47);
  const Image other = mirrored_picture(image);
  Rng rng(2, 0, 0);
  for (int round = 0; round < 100; ++round) {
    Drawn drawn = draw(rng, image.width, image.height);
    drawn.augmentation.flip = true;
    const CropSize size{64, 48};
    CropGeometry geometry = crop_geometry(drawn.box, size, image.width, drawn.augmentation);
    const std::vector<uint8_t> direct = warped(image, geometry, size);
    geometry.flip = false;
    EXPECT_EQ(warped(other, geometry, size), direct);
  }
}

TEST(Crop, MirrorTwiceIsIdentity) {
  const Image image = noise(37, 5);
  EXPECT_EQ(mirrored_picture(mirrored_picture(image)).bgr, image.bgr);
}

TEST(Crop, AgreesWithExactBilinearWithinTheFixedPoint) {
  const Image image = noise(80, 60);
  Rng rng(4, 0, 0);
  for (int round = 0; round < 20; ++round) {
    const Drawn drawn = draw(rng, image.width, image.height);
    const CropSize size{64, 48};
    const CropGeometry geometry = crop_geometry(drawn.box, size, image.width, drawn.augmentation);
    const std::vector<uint8_t> crop = warped(image, geometry, size);
    const auto pixel = [&](int x, int y, int channel) -> double {
      if (x < 0 || y < 0 || x >= image.width || y >= image.height) return 0;
      if (geometry.flip) x = image.width - 1 - x;
      return image.bgr[3 * static_cast<size_t>(y * image.width + x) + static_cast<size_t>(channel)];
    };
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        const Affine& m = geometry.to_image;
        const double u = m[0] * x + m[1] * y + m[2];
        const double v = m[3] * x + m[4] * y + m[5];
        const int left = static_cast<int>(std::floor(u));
        const int top = static_cast<int>(std::floor(v));
        for (int channel = 0; channel < 3; ++channel) {
          const double fx = u - left;
          const double fy = v - top;
          const double exact = (pixel(left, top, channel) * (1 - fx) + pixel(left + 1, top, channel) * fx) * (1 - fy) +
                               (pixel(left, top + 1, channel) * (1 - fx) + pixel(left + 1, top + 1, channel) * fx) * fy;
          // A position is off by at most about 1/64 px a side, a neighbour by at most 255.
          EXPECT_NEAR(crop[3 * static_cast<size_t>(y * size.width + x) + static_cast<size_t>(channel)], exact, 10);
        }
      }
    }
  }
}

TEST(Crop, DegenerateInputIsBlackOrSmallButNeverOutOfBounds) {
  const CropSize size{64, 48};
  for (const auto& [width, height] : {std::pair{1, 1}, {2, 2}, {1, 50}, {50, 1}, {3, 3}}) {
    const Image image = noise(width, height);
    for (const pose::Box& box : {pose::Box{0, 0, 1, 1}, pose::Box{-5, -5, 20, 20}, pose::Box{0, 0, 0, 0},
                                 pose::Box{0, 0, 1e9, 1e9}, pose::Box{1e9, 1e9, 1, 1}, pose::Box{0.5, 0.5, 1e-9, 0}}) {
      for (const bool flip : {false, true}) {
        warped(image, crop_geometry(box, size, width, {1, 30, flip}), size);
      }
    }
  }
}

}  // namespace
}  // namespace posefix::image
