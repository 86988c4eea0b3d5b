// The fixed-point bilinear warp of OpenCV 3 and 4, pixel for pixel.
//
// For crop pixel (x, y) the source position in 1/1024 px is X = rint(m0*x*1024) + rint((m1*y + m2)*1024) + 16, cut to
// 1/32 px; the four neighbours are weighted by (32 - fx)(32 - fy) etc., and the sum is rounded at 2^10. Source X grows
// or falls steadily along a row of the crop, so the columns whose four neighbours all lie inside the picture are one
// interval per row: it runs without tests, what lies left and right of it is tested pixel by pixel.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/cpu_clones.h"
#include "base/error.h"
#include "image/crop.h"

namespace posefix::image {
namespace {

typedef uint8_t U8x16 __attribute__((vector_size(16)));
typedef uint16_t U16x8 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));

constexpr int kFractionBits = 5;               // 1/32 px
constexpr int kFraction = 1 << kFractionBits;  //
constexpr double kPositionScale = 1024;        // positions before they are cut to 1/32 px
constexpr int kPositionRound = 16;             // half of 1/32 px in 1/1024 px
constexpr double kPositionLimit = 1 << 29;     // sums of two stay within int32

struct Source {
  const uint8_t* pixels;
  int width;
  int height;
  ptrdiff_t stride;
  bool flip;
};

// One row of the crop: positions of column x are (x0 + column_x[x], y0 + column_y[x]), 1/1024 px.
struct Row {
  const int32_t* column_x;
  const int32_t* column_y;
  int32_t x0;
  int32_t y0;
};

// Weight of each neighbour out of 1024; those outside the picture count as black.
void border_pixel(const Source& source, int32_t position_x, int32_t position_y, uint8_t* out) {
  const int32_t u = position_x >> kFractionBits;
  const int32_t v = position_y >> kFractionBits;
  const int left = u >> kFractionBits;
  const int top = v >> kFractionBits;
  const int fx = u & (kFraction - 1);
  const int fy = v & (kFraction - 1);
  int sum[3] = {512, 512, 512};
  for (int dy = 0; dy < 2; ++dy) {
    const int row = top + dy;
    if (row < 0 || row >= source.height) continue;
    for (int dx = 0; dx < 2; ++dx) {
      const int column = left + dx;
      if (column < 0 || column >= source.width) continue;
      const int weight = (dx == 0 ? kFraction - fx : fx) * (dy == 0 ? kFraction - fy : fy);
      const int stored = source.flip ? source.width - 1 - column : column;
      const uint8_t* pixel = source.pixels + row * source.stride + 3 * static_cast<ptrdiff_t>(stored);
      for (int channel = 0; channel < 3; ++channel) sum[channel] += weight * pixel[channel];
    }
  }
  for (int channel = 0; channel < 3; ++channel) out[channel] = static_cast<uint8_t>(sum[channel] >> 10);
}

// The four neighbours are inside, and two bytes past the lower right one may be read.
bool is_inside(const Source& source, int32_t position_x, int32_t position_y) {
  const int left = position_x >> (2 * kFractionBits);
  const int top = position_y >> (2 * kFractionBits);
  return left >= 0 && left + 1 < source.width && top >= 0 && top + 1 < source.height &&
         (source.flip ? left > 0 : left + 2 < source.width);
}

// Columns [begin, end), all inside; writes one byte past the last pixel unless that is the end of the row, which
// the caller sees to.
POSEFIX_CPU_CLONES("avx2")
void inner_pixels(const Source& source, const Row& row, int begin, int end, uint8_t* out) {
  const uint8_t* const pixels = source.pixels;
  const ptrdiff_t stride = source.stride;
  const int32_t* const column_x = row.column_x;
  const int32_t* const column_y = row.column_y;
  const int32_t x0 = row.x0;
  const int32_t y0 = row.y0;
  // A mirrored picture is read from its other end: base - X in place of X, and the fraction from the other side.
  const int32_t sign = source.flip ? -1 : 1;
  const int32_t left_base = source.flip ? source.width - 2 : 0;
  const int32_t fraction_base = source.flip ? kFraction : 0;
  const U8x16 zero8{};
  const U16x8 zero16{};
  const auto load = [&](const uint8_t* from) {
    U8x16 eight{};
    std::memcpy(&eight, from, 8);
    return reinterpret_cast<U16x8>(
        __builtin_shufflevector(eight, zero8, 0, 16, 1, 16, 2, 16, 3, 16, 4, 16, 5, 16, 6, 16, 7, 16));
  };
  out += 3 * static_cast<ptrdiff_t>(begin);
  for (int x = begin; x < end; ++x, out += 3) {
    const int32_t u = (x0 + column_x[x]) >> kFractionBits;
    const int32_t v = (y0 + column_y[x]) >> kFractionBits;
    const ptrdiff_t left = left_base + sign * (u >> kFractionBits);
    const uint8_t* const top = pixels + (v >> kFractionBits) * stride + 3 * left;
    const int fx = fraction_base + sign * (u & (kFraction - 1));
    const int fy = v & (kFraction - 1);
    // At most 255 * 32: fits u16.
    const U16x8 blend =
        load(top) * static_cast<uint16_t>(kFraction - fy) + load(top + stride) * static_cast<uint16_t>(fy);
    const auto first = reinterpret_cast<I32x4>(__builtin_shufflevector(blend, zero16, 0, 8, 1, 8, 2, 8, 3, 8));
    const auto second = reinterpret_cast<I32x4>(__builtin_shufflevector(blend, zero16, 3, 8, 4, 8, 5, 8, 6, 8));
    const I32x4 sum = (first * (kFraction - fx) + second * fx + 512) >> 10;
    const auto bytes = reinterpret_cast<U8x16>(sum);
    const U8x16 packed = __builtin_shufflevector(bytes, bytes, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    std::memcpy(out, &packed, 4);
  }
}

void warp_row(const Source& source, const Row& row, int width, uint8_t* out) {
  const auto inside = [&](int x) { return is_inside(source, row.x0 + row.column_x[x], row.y0 + row.column_y[x]); };
  const auto border = [&](int x) {
    border_pixel(source, row.x0 + row.column_x[x], row.y0 + row.column_y[x], out + 3 * static_cast<ptrdiff_t>(x));
  };
  int begin = 0;
  while (begin < width && !inside(begin)) border(begin++);
  if (begin == width) return;
  int end = width;
  while (!inside(end - 1)) --end;
  // The last one goes by the byte-exact way, since the vector way writes one byte too many.
  inner_pixels(source, row, begin, end - 1, out);
  for (int x = end - 1; x < width; ++x) border(x);
}

// The inverse of a 2x3 matrix as cv2 computes it.
Affine inverse(const Affine& m) {
  const double determinant = m[0] * m[4] - m[1] * m[3];
  const double d = determinant != 0 ? 1 / determinant : 0;
  Affine inverted{m[4] * d, m[1] * -d, 0, m[3] * -d, m[0] * d, 0};
  inverted[2] = -inverted[0] * m[2] - inverted[1] * m[5];
  inverted[5] = -inverted[3] * m[2] - inverted[4] * m[5];
  return inverted;
}

// Whether every position of the crop fits the fixed-point range.
bool representable(const Affine& m, CropSize size) {
  for (const size_t axis : {size_t{0}, size_t{3}}) {
    const double columns = std::abs(m[axis]) * size.width;
    const double rows = std::abs(m[axis + 1]) * size.height + std::abs(m[axis + 2]);
    if (!(columns * kPositionScale < kPositionLimit) || !(rows * kPositionScale < kPositionLimit)) return false;
  }
  return true;
}

}  // namespace

void warp(const Image& image, const CropGeometry& geometry, CropSize size, std::span<uint8_t> crop) {
  const auto width = static_cast<size_t>(size.width);
  PFX_CHECK(crop.size() == 3 * width * static_cast<size_t>(size.height));
  PFX_CHECK(image.bgr.size() == 3 * static_cast<size_t>(image.width) * static_cast<size_t>(image.height));
  const Affine m = inverse(geometry.to_crop);
  if (!representable(m, size)) {  // a box of a million pixels: nothing of the picture is larger than a dot
    std::memset(crop.data(), 0, crop.size());
    return;
  }
  const Source source{image.bgr.data(), image.width, image.height, 3 * static_cast<ptrdiff_t>(image.width),
                      geometry.flip};
  const auto fixed = [](double value) { return static_cast<int32_t>(std::lrint(value * kPositionScale)); };
  thread_local std::vector<int32_t> columns;
  columns.resize(2 * width);
  for (int x = 0; x < size.width; ++x) {
    columns[static_cast<size_t>(x)] = fixed(m[0] * x);
    columns[width + static_cast<size_t>(x)] = fixed(m[3] * x);
  }
  for (int y = 0; y < size.height; ++y) {
    const Row row{columns.data(), columns.data() + width, fixed(m[1] * y + m[2]) + kPositionRound,
                  fixed(m[4] * y + m[5]) + kPositionRound};
    warp_row(source, row, size.width, crop.data() + 3 * width * static_cast<size_t>(y));
  }
}

}  // namespace posefix::image
