// From a person's box to the network's input: box rules, the picture-to-crop transform, the pixels.
//
// Source: PoseFix_RELEASE main/gen_batch.py and OpenCV 3/4's fixed-point warpAffine. Goldens: tests/golden/crop.
#pragma once

#include <array>
#include <span>

#include "image/image.h"
#include "pose/keypoints.h"

namespace posefix::image {

struct CropSize {
  int height;  // 256 or 384
  int width;   // 192 or 288
};

// Row-major 2x3: crop = m * (x, y, 1), image_px -> crop_px.
using Affine = std::array<double, 6>;

struct Augmentation {
  double scale = 1;         // factor on the crop's extent
  double rotation_deg = 0;  // counter-clockwise as cv2 sees it
  bool flip = false;        // mirror the picture first
};

struct CropGeometry {
  Affine to_crop;                     // of the mirrored picture when flipped
  Affine to_image;                    // its inverse
  double center_x = 0, center_y = 0;  // image_px, mirrored when flipped
  double scale_w = 0, scale_h = 0;    // extent of the crop in the picture after aspect correction, 1.25 and scale
  bool flip = false;
  int image_width = 0;
};

// Box -> aspect ratio W:H, times 1.25, times augmentation.scale. The three defining points are rounded to f32 as in
// the reference. `image_width` matters only for flips.
CropGeometry crop_geometry(const pose::Box& box, CropSize size, int image_width, const Augmentation& augmentation = {});

// One joint, image_px -> crop_px (mirrors first when the geometry is flipped; the caller swaps pairs).
void map_to_crop(const CropGeometry& geometry, double& x, double& y);

// Bilinear warp, black outside; bit-exact with cv2 4's warpAffine(INTER_LINEAR, BORDER_CONSTANT).
// `crop` is [size.height][size.width][3] BGR.
void warp(const Image& image, const CropGeometry& geometry, CropSize size, std::span<uint8_t> crop);

// The horizontally mirrored crop (x -> W-1-x).
void mirror(std::span<const uint8_t> crop, CropSize size, std::span<uint8_t> mirrored);

}  // namespace posefix::image
