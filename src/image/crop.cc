#include "image/crop.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "base/rounding.h"

namespace posefix::image {
namespace {

struct Point {
  float x = 0;
  float y = 0;
};
using Triangle = std::array<Point, 3>;

// Gaussian elimination with partial pivoting; the order of the operations is that of cv2's solver, so that equal
// points give equal bits.
std::array<double, 6> solve(std::array<std::array<double, 6>, 6> a, std::array<double, 6> b) {
  for (size_t i = 0; i < 6; ++i) {
    size_t pivot = i;
    for (size_t row = i + 1; row < 6; ++row) {
      if (std::abs(a[row][i]) > std::abs(a[pivot][i])) pivot = row;
    }
    if (std::abs(a[pivot][i]) == 0) return {};
    std::swap(a[i], a[pivot]);
    std::swap(b[i], b[pivot]);
    const double negative_inverse = -1 / a[i][i];
    for (size_t row = i + 1; row < 6; ++row) {
      const double factor = a[row][i] * negative_inverse;
      for (size_t column = i + 1; column < 6; ++column) a[row][column] += factor * a[i][column];
      b[row] += factor * b[i];
    }
  }
  for (size_t i = 6; i-- > 0;) {
    double sum = b[i];
    for (size_t column = i + 1; column < 6; ++column) sum -= a[i][column] * b[column];
    b[i] = sum / a[i][i];
  }
  return b;
}

// The affine map that takes three points to three others; zeros when the first three lie on a line.
Affine three_point_affine(const Triangle& from, const Triangle& to) {
  std::array<std::array<double, 6>, 6> a{};
  std::array<double, 6> b{};
  for (size_t i = 0; i < 3; ++i) {
    const double x = static_cast<double>(from[i].x);
    const double y = static_cast<double>(from[i].y);
    a[2 * i] = {x, y, 1, 0, 0, 0};
    a[2 * i + 1] = {0, 0, 0, x, y, 1};
    b[2 * i] = static_cast<double>(to[i].x);
    b[2 * i + 1] = static_cast<double>(to[i].y);
  }
  return solve(a, b);
}

// The corner that completes a right angle at `second`, in f32.
Point third_point(Point first, Point second) {
  const float dx = first.x - second.x;
  const float dy = first.y - second.y;
  return {second.x - dy, second.y + dx};
}

Triangle triangle(double x, double y, double direction_x, double direction_y) {
  Triangle points;
  points[0] = {round_to_f32(x), round_to_f32(y)};
  points[1] = {round_to_f32(x + direction_x), round_to_f32(y + direction_y)};
  points[2] = third_point(points[0], points[1]);
  return points;
}

}  // namespace

CropGeometry crop_geometry(const pose::Box& box, CropSize size, int image_width, const Augmentation& augmentation) {
  const auto as_f32 = [](double value) { return static_cast<double>(round_to_f32(value)); };
  double w = as_f32(box.w);
  double h = as_f32(box.h);
  CropGeometry geometry;
  geometry.center_x = as_f32(box.x) + w * 0.5;
  geometry.center_y = as_f32(box.y) + h * 0.5;
  const double aspect = static_cast<double>(size.width) / size.height;
  if (w > aspect * h) {
    h = w / aspect;
  } else if (w < aspect * h) {
    w = h * aspect;
  }
  geometry.scale_w = w * 1.25 * augmentation.scale;
  geometry.scale_h = h * 1.25 * augmentation.scale;
  geometry.flip = augmentation.flip;
  geometry.image_width = image_width;
  if (geometry.flip) geometry.center_x = image_width - 1 - geometry.center_x;

  const double angle = std::numbers::pi * augmentation.rotation_deg / 180;
  const double up = geometry.scale_w * -0.5;
  const Triangle picture = triangle(geometry.center_x, geometry.center_y, -up * std::sin(angle), up * std::cos(angle));
  const Triangle crop = triangle(size.width * 0.5, size.height * 0.5, 0, size.width * -0.5);
  geometry.to_crop = three_point_affine(picture, crop);
  geometry.to_image = three_point_affine(crop, picture);
  return geometry;
}

void map_to_crop(const CropGeometry& geometry, double& x, double& y) {
  const Affine& m = geometry.to_crop;
  const double u = geometry.flip ? geometry.image_width - 1 - x : x;
  const double v = y;
  x = m[0] * u + m[1] * v + m[2];
  y = m[3] * u + m[4] * v + m[5];
}

void mirror(std::span<const uint8_t> crop, CropSize size, std::span<uint8_t> mirrored) {
  const size_t stride = 3 * static_cast<size_t>(size.width);
  PFX_CHECK(crop.size() == stride * static_cast<size_t>(size.height) && mirrored.size() == crop.size());
  for (int y = 0; y < size.height; ++y) {
    const uint8_t* in = crop.data() + stride * static_cast<size_t>(y);
    uint8_t* out = mirrored.data() + stride * static_cast<size_t>(y + 1);
    for (int x = 0; x < size.width; ++x, in += 3) {
      out -= 3;
      out[0] = in[0];
      out[1] = in[1];
      out[2] = in[2];
    }
  }
}

}  // namespace posefix::image
