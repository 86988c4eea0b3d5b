#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cpu_clones.h"
#include "base/error.h"
#include "runtime/backends/cpu/kernels.h"

namespace posefix::runtime::cpu {
namespace {

constexpr int64_t kMaxTaps = 16;  // rows or columns of a filter

// For every row r and channel i: to[r * pitch + i] = sum over t of factors[t] * weights[(r * taps + t) * block + i].
// kTaps: the number of taps where it is a constant (7: the stem of every network that ships), or 0.
template <int64_t kTaps>
__attribute__((always_inline)) inline void weigh(float* __restrict to, int64_t pitch, const float* __restrict weights,
                                                 const float* __restrict factors, int64_t rows, int64_t any_taps,
                                                 int64_t block) {
  constexpr int64_t kLanes = 16;
  const int64_t taps = kTaps > 0 ? kTaps : any_taps;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = weights + r * taps * block;
    int64_t i = 0;
    for (; i + kLanes <= block; i += kLanes) {
      float sums[kLanes] = {};
      for (int64_t t = 0; t < taps; ++t) {
        for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += factors[t] * from[t * block + i + lane];
      }
      for (int64_t lane = 0; lane < kLanes; ++lane) to[r * pitch + i + lane] = sums[lane];
    }
    for (; i < block; ++i) {
      float sum = 0;
      for (int64_t t = 0; t < taps; ++t) sum += factors[t] * from[t * block + i];
      to[r * pitch + i] = sum;
    }
  }
}
POSEFIX_CPU_CLONES("avx512f", "avx2")
void weigh_column(float* to, int64_t pitch, const float* weights, const float* factors, int64_t rows, int64_t taps,
                  int64_t block) {
  if (taps == 7) {
    weigh<7>(to, pitch, weights, factors, rows, taps, block);
  } else {
    weigh<0>(to, pitch, weights, factors, rows, taps, block);
  }
}

constexpr int64_t kRows = 4;  // output rows at a time: the columns come from the second-level cache

// to[r * pitch + i] += sum over t of factors[r * kMaxTaps + t] * from[t * pitch + i], for kRows rows.
// kTaps: the number of taps where it is a constant (7: the stem of every network that ships), or 0.
template <int64_t kTaps>
__attribute__((always_inline)) inline void add(float* __restrict to, const float* __restrict from, int64_t pitch,
                                               const float* __restrict factors, int64_t any_taps, int64_t count) {
  const int64_t taps = kTaps > 0 ? kTaps : any_taps;
  for (int64_t i = 0; i < count; ++i) {
    float sums[kRows] = {};
    for (int64_t t = 0; t < taps; ++t) {
      const float value = from[t * pitch + i];
      for (int64_t r = 0; r < kRows; ++r) sums[r] += factors[r * kMaxTaps + t] * value;
    }
    for (int64_t r = 0; r < kRows; ++r) to[r * pitch + i] += sums[r];
  }
}
POSEFIX_CPU_CLONES("avx512f", "avx2")
void add_rows(float* to, const float* from, int64_t pitch, const float* factors, int64_t taps, int64_t count) {
  if (taps == 7) {
    add<7>(to, from, pitch, factors, taps, count);
  } else {
    add<0>(to, from, pitch, factors, taps, count);
  }
}

// Finite values, to nearest even.
POSEFIX_CPU_CLONES("avx512f", "avx2")
void round_to_bf16(uint16_t* __restrict to, const float* __restrict from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, from + i, sizeof bits);
    to[i] = static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
  }
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
      row_factors_(static_cast<size_t>(joints * padded_rows() * kMaxTaps)),
      windows_(static_cast<size_t>(joints)) {
  if (kernel_height > kMaxTaps || kernel_width > kMaxTaps) {
    throw bad_input("a first convolution of {}x{}, at most {} are supported", kernel_height, kernel_width, kMaxTaps);
  }
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
  const int64_t rows = out_.blocks * kernel_height_;
  for (int64_t x = window.begin_x; x < window.end_x; ++x) {
    std::array<float, kMaxTaps> factors;
    for (int64_t kx = 0; kx < kernel_width_; ++kx) {
      factors[static_cast<size_t>(kx)] =
          static_cast<float>(profile(centre, x * stride_ - pad_left_ + kx, g.width, g.sigma_px));
    }
    weigh_column(columns_.data() + (k * rows * out_.width + x) * out_.block, out_.width * out_.block,
                 weights_.data() + k * rows * kernel_width_ * out_.block, factors.data(), rows, kernel_width_,
                 out_.block);
  }
  // The other direction's factors, one set per output row; zeros in the rest of the rows that are computed together.
  const auto centre_y = static_cast<double>(g.pose[joint * 2 + 1]);
  for (int64_t y = window.begin_y / kRows * kRows; y < (window.end_y + kRows - 1) / kRows * kRows; ++y) {
    float* to = row_factors_.data() + (k * padded_rows() + y) * kMaxTaps;
    for (int64_t ky = 0; ky < kernel_height_; ++ky) {
      to[ky] = static_cast<float>(255 * static_cast<double>(g.valid[joint]) *
                                  profile(centre_y, y * stride_ - pad_top_ + ky, g.height, g.sigma_px));
    }
  }
}

int64_t PoseStem::padded_rows() const { return (out_.height + kRows - 1) / kRows * kRows; }

// Rows row .. row + kRows - 1 of the result. In place where they are f32 and not fewer; else by way of a copy with
// room. y's values from `first` on are the person's.
void PoseStem::run_rows(int64_t row, const Target& y, int64_t first) const {
  static thread_local std::vector<float> room;
  const int64_t line = out_.width * out_.block;
  const bool is_short = out_.height - row < kRows;
  const bool needs_room = is_short || y.is_bf16;
  if (needs_room) room.resize(static_cast<size_t>(kRows * line));
  for (int64_t b = 0; b < out_.blocks; ++b) {
    const int64_t at = first + (b * out_.height + row) * line;
    float* rows = needs_room ? room.data() : reinterpret_cast<float*>(y.data) + at;
    std::fill_n(rows, kRows * line, 0.0F);
    for (int64_t k = 0; k < joints_; ++k) {
      const Window& window = windows_[static_cast<size_t>(k)];
      if (row + kRows <= window.begin_y || row >= window.end_y || window.begin_x >= window.end_x) continue;
      const int64_t begin = window.begin_x * out_.block;
      add_rows(rows + begin, columns_.data() + (k * out_.blocks + b) * kernel_height_ * line + begin, line,
               row_factors_.data() + (k * padded_rows() + row) * kMaxTaps, kernel_height_,
               window.end_x * out_.block - begin);
    }
    const int64_t count = std::min(kRows, out_.height - row) * line;
    if (y.is_bf16) {
      round_to_bf16(reinterpret_cast<uint16_t*>(y.data) + at, rows, count);
    } else if (is_short) {
      std::copy_n(rows, count, reinterpret_cast<float*>(y.data) + at);
    }
  }
}

void PoseStem::run(int64_t batch, const Gaussians& g, const Target& y) {
  for (int64_t person = 0; person < batch; ++person) {
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
      for (int64_t k = 0; k < joints_; ++k) prepare_joint(g, person * joints_ + k, k);
#pragma omp for schedule(dynamic)
      for (int64_t row = 0; row < out_.height; row += kRows) run_rows(row, y, person * out_.size());
    }
  }
}

}  // namespace posefix::runtime::cpu
