#include "runtime/backends/reference/kernels.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace posefix::runtime::reference {

float Stored::operator()(double value) const {
  if (!is_whole) return static_cast<float>(value);
  return static_cast<float>(std::clamp(std::nearbyint(value / scale), lowest, highest));
}

void max_pool(int64_t batch, Map in, Map out, int64_t kernel, int64_t stride, std::array<int64_t, 2> pad,
              const float* x, float* y, ThreadPool& pool) {
  const auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* image = x + row / out.height * in.size();
      const int64_t top = row % out.height * stride - pad[0];
      for (int64_t ox = 0; ox < out.width; ++ox) {
        float* to = y + (row * out.width + ox) * out.channels;
        std::fill_n(to, out.channels, -std::numeric_limits<float>::infinity());
        const int64_t left = ox * stride - pad[1];
        for (int64_t iy = std::max<int64_t>(0, top); iy < std::min(in.height, top + kernel); ++iy) {
          for (int64_t ix = std::max<int64_t>(0, left); ix < std::min(in.width, left + kernel); ++ix) {
            const float* from = image + (iy * in.width + ix) * in.channels;
            for (int64_t c = 0; c < in.channels; ++c) to[c] = std::max(to[c], from[c]);
          }
        }
      }
    }
  };
  pool.parallel_for(batch * out.height, 1, std::cref(rows));
}

void render_pose(int64_t batch, Map out, const PoseRendering& rendering, int64_t first_channel, const float* pose,
                 const float* valid, float* y, ThreadPool& pool) {
  const double denominator = 2 * rendering.sigma_px * rendering.sigma_px;
  const auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t person = row / out.height;
      for (int64_t k = 0; k < rendering.joints; ++k) {
        const int64_t joint = person * rendering.joints + k;
        const double dy = static_cast<double>(row % out.height) - double{pose[joint * 2 + 1]};
        float* to = y + row * out.width * out.channels + first_channel + k;
        for (int64_t px = 0; px < out.width; ++px, to += out.channels) {
          const double dx = static_cast<double>(px) - double{pose[joint * 2]};
          *to = valid[joint] == 0
                    ? 0.0F
                    : static_cast<float>(255 * std::exp(-(dx * dx + dy * dy) / denominator) * double{valid[joint]});
        }
      }
    }
  };
  pool.parallel_for(batch * out.height, 1, std::cref(rows));
}

void normalise_image(int64_t batch, Map out, const std::array<double, 3>& mean, const uint8_t* crops, float* y) {
  for (int64_t pixel = 0; pixel < batch * out.pixels(); ++pixel, crops += 3, y += out.channels) {
    for (size_t c = 0; c < 3; ++c) y[c] = static_cast<float>(static_cast<double>(crops[c]) - mean[c]);
  }
}

void decode(int64_t batch, Map logits, double factor, const float* x, float* coords, float* spread) {
  for (int64_t joint = 0; joint < batch * logits.channels; ++joint) {
    const float* map = x + joint / logits.channels * logits.size() + joint % logits.channels;
    double highest = -std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < logits.pixels(); ++i) highest = std::max(highest, double{map[i * logits.channels]});
    double sum = 0;
    double sum_x = 0;
    double sum_y = 0;
    for (int64_t i = 0; i < logits.pixels(); ++i) {
      const double p = std::exp(double{map[i * logits.channels]} - highest);
      sum += p;
      sum_x += p * static_cast<double>(i % logits.width);
      const int64_t row = i / logits.width;
      sum_y += p * static_cast<double>(row);
    }
    const double mean_x = sum_x / sum;
    const double mean_y = sum_y / sum;
    coords[joint * 2] = static_cast<float>(mean_x * factor);
    coords[joint * 2 + 1] = static_cast<float>(mean_y * factor);
    if (spread == nullptr) continue;
    double variance = 0;
    for (int64_t i = 0; i < logits.pixels(); ++i) {
      const double dx = static_cast<double>(i % logits.width) - mean_x;
      const int64_t row = i / logits.width;
      const double dy = static_cast<double>(row) - mean_y;
      variance += std::exp(double{map[i * logits.channels]} - highest) * (dx * dx + dy * dy);
    }
    spread[joint] = static_cast<float>(std::sqrt(variance / sum) * factor);
  }
}

}  // namespace posefix::runtime::reference
