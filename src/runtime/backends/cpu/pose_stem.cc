#include <omp.h>

#include <algorithm>
#include <cmath>

#include "runtime/backends/cpu/kernels.h"

namespace posefix::runtime::cpu {
namespace {

// to[i] += factor * from[i]
__attribute__((target_clones("avx512f", "avx2", "default"))) void add_scaled(float* to, const float* from, float factor,
                                                                             int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

}  // namespace

PoseStem::PoseStem(const float* weights, int64_t kernel_height, int64_t kernel_width, int64_t joints, int64_t stride,
                   int64_t pad_top, int64_t pad_left, const Layout& out)
    : kernel_height_(kernel_height),
      kernel_width_(kernel_width),
      joints_(joints),
      stride_(stride),
      pad_top_(pad_top),
      pad_left_(pad_left),
      out_(out),
      weights_(static_cast<size_t>(joints * out.blocks * kernel_height * kernel_width * out.block), 0.0F),
      columns_(static_cast<size_t>(joints * out.blocks * kernel_height * out.width * out.block)),
      windows_(static_cast<size_t>(joints)) {
  const int64_t taps = kernel_height * kernel_width;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t k = 0; k < joints; ++k) {
      for (int64_t c = 0; c < out.channels; ++c) {
        const int64_t to = ((k * out.blocks + c / out.block) * taps + tap) * out.block + c % out.block;
        weights_[static_cast<size_t>(to)] = weights[(tap * joints + k) * out.channels + c];
      }
    }
  }
}

// Value of the one-dimensional Gaussian at a pixel; zero outside the crop (the convolution's padding).
double PoseStem::profile(double centre, int64_t position, int64_t size, double sigma_px) const {
  if (position < 0 || position >= size) return 0;
  const double d = static_cast<double>(position) - centre;
  return std::exp(-d * d / (2 * sigma_px * sigma_px));
}

PoseStem::Window PoseStem::window_of(const Gaussians& g, int64_t joint) const {
  if (!(g.valid[joint] != 0)) return {};
  const double radius = g.sigma_px * std::sqrt(2 * std::log(255.0 / kNegligible));
  // Outputs whose filter reaches a pixel within the radius.
  const auto range = [&](double centre, int64_t pad, int64_t kernel, int64_t size, int64_t& begin, int64_t& end) {
    const double low = (centre - radius + static_cast<double>(pad - kernel + 1)) / static_cast<double>(stride_);
    const double high = (centre + radius + static_cast<double>(pad)) / static_cast<double>(stride_);
    begin = static_cast<int64_t>(std::clamp(std::floor(low), 0.0, static_cast<double>(size)));
    end = static_cast<int64_t>(std::clamp(std::ceil(high) + 1, 0.0, static_cast<double>(size)));
  };
  Window window;
  range(static_cast<double>(g.pose[joint * 2]), pad_left_, kernel_width_, out_.width, window.begin_x, window.end_x);
  range(static_cast<double>(g.pose[joint * 2 + 1]), pad_top_, kernel_height_, out_.height, window.begin_y,
        window.end_y);
  return window;
}

// columns[k][block][ky][x] = sum over kx of gaussian_x * weights[k][block][ky][kx], over the joint's window.
void PoseStem::prepare_joint(const Gaussians& g, int64_t joint, int64_t k) {
  const Window window = windows_[static_cast<size_t>(k)] = window_of(g, joint);
  if (window.begin_x >= window.end_x || window.begin_y >= window.end_y) return;
  const auto centre = static_cast<double>(g.pose[joint * 2]);
  for (int64_t x = window.begin_x; x < window.end_x; ++x) {
    float factors[64];
    for (int64_t kx = 0; kx < kernel_width_; ++kx) {
      factors[kx] = static_cast<float>(profile(centre, x * stride_ - pad_left_ + kx, g.width, g.sigma_px));
    }
    for (int64_t row = 0; row < out_.blocks * kernel_height_; ++row) {
      float* to = columns_.data() + ((k * out_.blocks * kernel_height_ + row) * out_.width + x) * out_.block;
      const float* from = weights_.data() + (k * out_.blocks * kernel_height_ + row) * kernel_width_ * out_.block;
      std::fill_n(to, out_.block, 0.0F);
      for (int64_t kx = 0; kx < kernel_width_; ++kx) add_scaled(to, from + kx * out_.block, factors[kx], out_.block);
    }
  }
}

void PoseStem::run_row(const Gaussians& g, int64_t first_joint, int64_t row, float* y) const {
  const int64_t line = out_.width * out_.block;
  for (int64_t b = 0; b < out_.blocks; ++b) std::fill_n(y + (b * out_.height + row) * line, line, 0.0F);
  for (int64_t k = 0; k < joints_; ++k) {
    const Window& window = windows_[static_cast<size_t>(k)];
    if (row < window.begin_y || row >= window.end_y) continue;
    const int64_t joint = first_joint + k;
    const auto centre = static_cast<double>(g.pose[joint * 2 + 1]);
    const int64_t count = (window.end_x - window.begin_x) * out_.block;
    for (int64_t ky = 0; ky < kernel_height_; ++ky) {
      const auto factor = static_cast<float>(255 * static_cast<double>(g.valid[joint]) *
                                             profile(centre, row * stride_ - pad_top_ + ky, g.height, g.sigma_px));
      for (int64_t b = 0; b < out_.blocks; ++b) {
        const float* from = columns_.data() + ((k * out_.blocks + b) * kernel_height_ + ky) * line;
        float* to = y + (b * out_.height + row) * line;
        add_scaled(to + window.begin_x * out_.block, from + window.begin_x * out_.block, factor, count);
      }
    }
  }
}

void PoseStem::run(int64_t batch, const Gaussians& g, float* y) {
  for (int64_t person = 0; person < batch; ++person) {
    float* to = y + person * out_.size();
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
      for (int64_t k = 0; k < joints_; ++k) prepare_joint(g, person * joints_ + k, k);
#pragma omp for schedule(dynamic, 8)
      for (int64_t row = 0; row < out_.height; ++row) run_row(g, person * joints_, row, to);
    }
  }
}

}  // namespace posefix::runtime::cpu
