#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/cpu_clones.h"
#include "runtime/backends/cpu/kernels.h"

namespace posefix::runtime::cpu {
namespace {

constexpr int64_t kLanes = 16;  // joints at a time

using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = int32_t __attribute__((vector_size(kLanes * sizeof(int32_t))));

struct Moments {
  std::array<double, kLanes> mass{};
  std::array<double, kLanes> x{};  // about the map's middle
  std::array<double, kLanes> y{};  //
  std::array<double, kLanes> square{};
};

// x becomes e^x for x <= 0, relative error below 2e-7: 2^n by exponent bits times a Taylor polynomial of the rest.
__attribute__((always_inline)) inline void exp_of_negative(Floats& x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kLowest = -87.0F;
  const Floats lowest = Floats{} + kLowest;
  x = x < lowest ? lowest : x;
  const Ints n = __builtin_convertvector(x * kLog2E - 0.5F, Ints);  // x <= 0: truncation rounds to nearest
  const Floats whole = __builtin_convertvector(n, Floats);
  const Floats r = (x - whole * kLn2High) - whole * kLn2Low;
  Floats p = r * (1.0F / 5040) + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const Ints power = (n + 127) << 23;
  Floats scale;
  std::memcpy(&scale, &power, sizeof scale);
  x = p * scale;
}

// kLanes joints that lie side by side, `pitch` values from one pixel to the next.
POSEFIX_CPU_CLONES("avx512f", "avx2")
void moments(const float* x, int64_t height, int64_t width, int64_t pitch, Moments& m) {
  Floats highest = Floats{} - std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < height * width; ++i) {
    Floats at;
    std::memcpy(&at, x + i * pitch, sizeof at);
    highest = at > highest ? at : highest;
  }
  m = {};
  const float middle_x = 0.5F * static_cast<float>(width - 1);
  const double middle_y = 0.5 * static_cast<double>(height - 1);
  for (int64_t row = 0; row < height; ++row) {
    Floats mass{};
    Floats first{};
    Floats second{};
    for (int64_t px = 0; px < width; ++px) {
      const float dx = static_cast<float>(px) - middle_x;
      Floats p;
      std::memcpy(&p, x + (row * width + px) * pitch, sizeof p);
      p -= highest;
      exp_of_negative(p);
      mass += p;
      first += p * dx;
      second += p * (dx * dx);
    }
    const double dy = static_cast<double>(row) - middle_y;
    for (size_t j = 0; j < kLanes; ++j) {
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
    for (size_t j = 0; j < kLanes && first + static_cast<int64_t>(j) < logits.channels; ++j) {
      const int64_t joint = person * logits.channels + first + static_cast<int64_t>(j);
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
