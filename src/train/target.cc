#include "train/target.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace posefix::train {
namespace {

struct Cells {
  int64_t first;                 // clamped floor
  std::array<double, 2> weight;  // of first and first + 1; 0 when that cell does not exist
};

Cells cells(double position, int64_t count) {
  const double last = static_cast<double>(count - 1);
  const double first = std::clamp(std::floor(position), 0.0, last);  // NaN stays NaN and is caught below
  PFX_CHECK(std::isfinite(position));
  const double fraction = position - first;
  const bool inside = first + 1 <= last;
  return {static_cast<int64_t>(first), {1 - fraction, inside ? fraction : 0}};
}

template <typename T>
void fill(std::span<const float> coords, const HeatmapSize& size, std::span<T> target) {
  const int64_t area = size.height * size.width;
  PFX_CHECK(coords.size() / 2 * static_cast<size_t>(area) == target.size());
  std::fill(target.begin(), target.end(), T{0});
  const auto stride = static_cast<double>(size.stride);
  for (size_t i = 0; i < coords.size() / 2; ++i) {
    const Cells x = cells(coords[2 * i] / stride, size.width);
    const Cells y = cells(coords[2 * i + 1] / stride, size.height);
    double sum = (x.weight[0] + x.weight[1]) * (y.weight[0] + y.weight[1]);
    if (sum == 0) sum = 1;
    T* map = target.data() + i * static_cast<size_t>(area);
    for (size_t dy = 0; dy < 2; ++dy) {
      for (size_t dx = 0; dx < 2; ++dx) {
        const double weight = y.weight[dy] * x.weight[dx];
        if (weight == 0) continue;
        map[(y.first + static_cast<int64_t>(dy)) * size.width + x.first + static_cast<int64_t>(dx)] =
            static_cast<T>(weight / sum);
      }
    }
  }
}

}  // namespace

void bilinear_one_hot(std::span<const float> coords, const HeatmapSize& size, std::span<float> target) {
  fill(coords, size, target);
}
void bilinear_one_hot(std::span<const float> coords, const HeatmapSize& size, std::span<double> target) {
  fill(coords, size, target);
}

}  // namespace posefix::train
