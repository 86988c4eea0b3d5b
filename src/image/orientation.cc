#include <utility>

#include "image/codec.h"

namespace posefix::image {

// EXIF orientation o says where the stored row 0 and column 0 lie in the upright picture: 1 top/left, 2 top/right,
// 3 bottom/right, 4 bottom/left, 5 left/top, 6 right/top, 7 right/bottom, 8 left/bottom.
Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool upside_down = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Image result{image.width, image.height, std::vector<uint8_t>(image.bgr.size())};
  if (transposed) std::swap(result.width, result.height);
  uint8_t* out = result.bgr.data();
  for (int y = 0; y < result.height; ++y) {
    const int v = upside_down ? result.height - 1 - y : y;
    for (int x = 0; x < result.width; ++x, out += 3) {
      const int u = mirrored ? result.width - 1 - x : x;
      const int row = transposed ? u : v;
      const int column = transposed ? v : u;
      const uint8_t* in = image.bgr.data() + 3 * (static_cast<size_t>(row) * static_cast<size_t>(image.width) +
                                                  static_cast<size_t>(column));
      out[0] = in[0];
      out[1] = in[1];
      out[2] = in[2];
    }
  }
  return result;
}

}  // namespace posefix::image
