#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/backends/cpu/kernels.h"

namespace posefix::runtime::cpu {
namespace {

constexpr int64_t kLanes = 16;  // joints at a time

struct Moments {
  double mass[kLanes];
  double x[kLanes];   // about the map's middle
  double y[kLanes];   //
  double square[kLanes];
};

// e^x for x <= 0, relative error below 2e-7: 2^n by exponent bits, 2^f by a polynomial (Taylor's in f * ln 2, |f| <= 1/2).
inline float exp_of_negative(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kLowest = -87.0F;
  x = x < kLowest ? kLowest : x;
  const float n = static_cast<float>(static_cast<int32_t>(x * kLog2E - 0.5F));  // x <= 0: truncation rounds up
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// `lanes` joints that lie side by side, `pitch` values from one pixel to the next.
__attribute__((target_clones("avx512f", "avx2", "default"))) void moments(const float* x, int64_t height, int64_t width,
                                                                          int64_t pitch, Moments& m) {
  float highest[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) highest[j] = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < height * width; ++i) {
    for (int64_t j = 0; j < kLanes; ++j) highest[j] = std::max(highest[j], x[i * pitch + j]);
  }
  std::memset(&m, 0, sizeof m);
  const float middle_x = 0.5F * static_cast<float>(width - 1);
  const double middle_y = 0.5 * static_cast<double>(height - 1);
  for (int64_t row = 0; row < height; ++row) {
    float mass[kLanes] = {};
    float first[kLanes] = {};
    float second[kLanes] = {};
    for (int64_t px = 0; px < width; ++px) {
      const float dx = static_cast<float>(px) - middle_x;
      const float* at = x + (row * width + px) * pitch;
      for (int64_t j = 0; j < kLanes; ++j) {
        const float p = exp_of_negative(at[j] - highest[j]);
        mass[j] += p;
        first[j] += p * dx;
        second[j] += p * dx * dx;
      }
    }
    const double dy = static_cast<double>(row) - middle_y;
    for (int64_t j = 0; j < kLanes; ++j) {
      m.mass[j] += static_cast<double>(mass[j]);
      m.x[j] += static_cast<double>(first[j]);
      m.y[j] += static_cast<double>(mass[j]) * dy;
      m.square[j] += static_cast<double>(second[j]) + static_cast<double>(mass[j]) * dy * dy;
    }
  }
}

// The joints from `first` on, kLanes to a pixel; zeros where there are fewer.
void gather(const Layout& logits, const float* map, int64_t first, std::vector<float>& copy) {
  const int64_t pixels = logits.height * logits.width;
  copy.assign(static_cast<size_t>(pixels * kLanes), 0.0F);
  for (int64_t j = 0; j < kLanes && first + j < logits.channels; ++j) {
    const float* from = map + (first + j) / logits.block * pixels * logits.block + (first + j) % logits.block;
    for (int64_t i = 0; i < pixels; ++i) copy[static_cast<size_t>(i * kLanes + j)] = from[i * logits.block];
  }
}

}  // namespace

void decode(int64_t batch, const Layout& logits, double factor, const float* x, float* coords, float* spread) {
  const int64_t groups = (logits.channels + kLanes - 1) / kLanes;
  const double middle_x = 0.5 * static_cast<double>(logits.width - 1);
  const double middle_y = 0.5 * static_cast<double>(logits.height - 1);
#pragma omp parallel for
  for (int64_t task = 0; task < batch * groups; ++task) {
    const int64_t person = task / groups;
    const int64_t first = task % groups * kLanes;
    const float* map = x + person * logits.size();
    Moments m;
    if (first % logits.block + kLanes <= logits.block) {
      map += first / logits.block * logits.height * logits.width * logits.block + first % logits.block;
      moments(map, logits.height, logits.width, logits.block, m);
    } else {  // the lanes do not lie side by side: by way of a copy
      static thread_local std::vector<float> copy;
      gather(logits, map, first, copy);
      moments(copy.data(), logits.height, logits.width, kLanes, m);
    }
    for (int64_t j = 0; j < kLanes && first + j < logits.channels; ++j) {
      const int64_t joint = person * logits.channels + first + j;
      const double mean_x = m.x[j] / m.mass[j];
      const double mean_y = m.y[j] / m.mass[j];
      coords[joint * 2] = static_cast<float>((mean_x + middle_x) * factor);
      coords[joint * 2 + 1] = static_cast<float>((mean_y + middle_y) * factor);
      if (spread == nullptr) continue;
      const double variance = m.square[j] / m.mass[j] - mean_x * mean_x - mean_y * mean_y;
      spread[joint] = static_cast<float>(std::sqrt(std::max(0.0, variance)) * factor);
    }
  }
}

}  // namespace posefix::runtime::cpu
