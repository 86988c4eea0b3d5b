#include <algorithm>
#include <cmath>

#include "base/tensor.h"
#include "runtime/backends/cpu/kernels.h"

namespace posefix::runtime::cpu {
namespace {

// exp(-d^2 / (2 sigma^2)) at the pixels 0 .. size-1; zero where 255 times it is negligible.
void profile(double centre, double sigma_px, int64_t size, float* values) {
  const double limit = 2 * sigma_px * sigma_px * std::log(255.0 / kNegligible);
  for (int64_t i = 0; i < size; ++i) {
    const double d = static_cast<double>(i) - centre;
    values[i] = d * d > limit ? 0.0F : static_cast<float>(std::exp(-d * d / (2 * sigma_px * sigma_px)));
  }
}

template <typename Value>
Value stored(float value);
template <>
float stored(float value) {
  return value;
}
template <>
uint16_t stored(float value) {
  return f32_to_bf16(value);
}

int64_t offset_of(const Layout& layout, int64_t channel) {
  return channel / layout.block * layout.height * layout.width * layout.block + channel % layout.block;
}

template <typename Value>
void normalise(int64_t batch, const Layout& out, const std::array<double, 3>& mean, const uint8_t* crops, Value* y) {
  std::array<std::array<Value, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t v = 0; v < 256; ++v) table[c][v] = stored<Value>(static_cast<float>(static_cast<double>(v) - mean[c]));
  }
#pragma omp parallel for
  for (int64_t row = 0; row < batch * out.height; ++row) {
    const int64_t person = row / out.height;
    const uint8_t* from = crops + row * out.width * 3;
    for (int64_t c = 0; c < 3; ++c) {
      Value* to = y + person * out.size() + offset_of(out, c) + row % out.height * out.width * out.block;
      for (int64_t px = 0; px < out.width; ++px) to[px * out.block] = table[static_cast<size_t>(c)][from[px * 3 + c]];
    }
  }
}

template <typename Value>
void render(int64_t batch, const Layout& out, const Gaussians& g, Value* y) {
  constexpr int64_t kMaxSide = 1 << 14;
#pragma omp parallel for
  for (int64_t joint = 0; joint < batch * g.joints; ++joint) {
    static thread_local std::array<float, 2 * kMaxSide> profiles;
    float* across = profiles.data();
    float* down = profiles.data() + kMaxSide;
    Value* to = y + joint / g.joints * out.size() + offset_of(out, 3 + joint % g.joints);
    const float valid = g.valid[joint];
    if (valid != 0) {
      profile(static_cast<double>(g.pose[joint * 2]), g.sigma_px, g.width, across);
      profile(static_cast<double>(g.pose[joint * 2 + 1]), g.sigma_px, g.height, down);
    }
    for (int64_t row = 0; row < out.height; ++row) {
      const float scale = valid == 0 ? 0.0F : 255.0F * valid * down[row];
      for (int64_t px = 0; px < out.width; ++px, to += out.block) {
        *to = scale == 0 ? Value{0} : stored<Value>(scale * across[px]);
      }
    }
  }
}

}  // namespace

void normalise_image(int64_t batch, const Layout& out, const std::array<double, 3>& mean, const uint8_t* crops,
                     const Target& y) {
  if (y.is_bf16) return normalise(batch, out, mean, crops, reinterpret_cast<uint16_t*>(y.data));
  normalise(batch, out, mean, crops, reinterpret_cast<float*>(y.data));
}

void render_pose(int64_t batch, const Layout& out, const Gaussians& g, const Target& y) {
  if (y.is_bf16) return render(batch, out, g, reinterpret_cast<uint16_t*>(y.data));
  render(batch, out, g, reinterpret_cast<float*>(y.data));
}

void interleave_phases(int64_t batch, const Layout& out, size_t value_bytes, const std::byte* phases, std::byte* y) {
  const int64_t rows = batch * out.blocks * out.height;
  const int64_t pixel_bytes = out.block * static_cast<int64_t>(value_bytes);
  const int64_t half_width = out.width / 2;
  const int64_t phase_bytes = batch * out.size() / 4 * static_cast<int64_t>(value_bytes);
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t plane = row / out.height;
    const int64_t oy = row % out.height;
    const std::byte* even =
        phases + oy % 2 * 2 * phase_bytes + (plane * (out.height / 2) + oy / 2) * half_width * pixel_bytes;
    std::byte* to = y + row * out.width * pixel_bytes;
    for (int64_t px = 0; px < half_width; ++px) {
      std::copy_n(even + px * pixel_bytes, pixel_bytes, to + 2 * px * pixel_bytes);
      std::copy_n(even + phase_bytes + px * pixel_bytes, pixel_bytes, to + (2 * px + 1) * pixel_bytes);
    }
  }
}

void pad(int64_t batch, const Layout& in, const Layout& out, int64_t top, int64_t left, size_t value_bytes,
         const std::byte* x, std::byte* y) {
  const int64_t pixel_bytes = out.block * static_cast<int64_t>(value_bytes);
#pragma omp parallel for
  for (int64_t row = 0; row < batch * out.blocks * out.height; ++row) {
    const int64_t iy = row % out.height - top;
    std::byte* to = y + row * out.width * pixel_bytes;
    std::fill_n(to, out.width * pixel_bytes, std::byte{0});
    if (iy < 0 || iy >= in.height) continue;
    const std::byte* from = x + (row / out.height * in.height + iy) * in.width * pixel_bytes;
    std::copy_n(from, in.width * pixel_bytes, to + left * pixel_bytes);
  }
}

}  // namespace posefix::runtime::cpu
