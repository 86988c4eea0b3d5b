#include <algorithm>
#include <cstring>
#include <vector>

#include "base/cpu_clones.h"
#include "runtime/backends/reference/kernels.h"

namespace posefix::runtime::reference {
namespace {

constexpr int64_t kLanes = 8;
constexpr int64_t kBlock = 2 * kLanes;  // output channels at a time
constexpr int64_t kPixels = 4;          // output pixels at a time
using Vector = double __attribute__((vector_size(kLanes * sizeof(double))));
struct Sums {
  Vector low[kPixels];
  Vector high[kPixels];
};

// sums[p] += x[p][c] * w[c] over the input channels of one filter tap; w is [in][kBlock].
POSEFIX_CPU_CLONES("avx512f", "avx2")
void add_tap(Sums& sums, const float* const* x, const double* w, int64_t channels) {
  Sums local = sums;
  for (int64_t c = 0; c < channels; ++c, w += kBlock) {
    Vector low;
    Vector high;
    std::memcpy(&low, w, sizeof low);
    std::memcpy(&high, w + kLanes, sizeof high);
    for (int64_t p = 0; p < kPixels; ++p) {
      const double value = x[p][c];
      local.low[p] += value * low;
      local.high[p] += value * high;
    }
  }
  sums = local;
}

// One block of output channels over some rows of the result.
class BlockOfRows {
 public:
  BlockOfRows(const Convolution& c, const float* x, float* y, int64_t first_channel)
      : c_(c), x_(x), y_(y), first_(first_channel), count_(std::min(kBlock, c.out.channels - first_channel)) {
    static thread_local std::vector<double> weights;
    static thread_local std::vector<float> zeros;
    const int64_t taps = c.kernel_height * c.kernel_width;
    weights.assign(static_cast<size_t>(taps * c.in.channels * kBlock), 0.0);
    zeros.assign(static_cast<size_t>(c.in.channels), 0.0F);
    weights_ = weights.data();
    zeros_ = zeros.data();
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t i = 0; i < c.in.channels; ++i) {
        double* to = weights.data() + (tap * c.in.channels + i) * kBlock;
        for (int64_t o = 0; o < count_; ++o) to[o] = weight(tap, i, first_ + o);
      }
    }
  }

  // `row` counts through all persons.
  void run(int64_t row) const {
    const int64_t person = row / c_.out.height;
    const int64_t oy = row % c_.out.height;
    const float* x = x_ + person * c_.in.size();
    // Pixels that use the same taps: all of a row, or every stride-th one of a transposed convolution.
    const int64_t step = c_.transposed ? c_.stride : 1;
    for (int64_t phase = 0; phase < step; ++phase) {
      for (int64_t ox = phase; ox < c_.out.width; ox += step * kPixels) run_pixels(x, person, oy, ox, step);
    }
  }

 private:
  double weight(int64_t tap, int64_t in, int64_t out) const {
    const int64_t index = c_.transposed ? (tap * c_.out.channels + out) * c_.in.channels + in
                                        : (tap * c_.in.channels + in) * c_.out.channels + out;
    return c_.weights[index];
  }

  // The input coordinate that tap k reads for output o; false if the tap does not take part.
  bool source(int64_t o, int64_t k, int64_t pad, int64_t& i) const {
    if (!c_.transposed) {
      i = o * c_.stride - pad + k;
      return true;
    }
    const int64_t shifted = o + pad - k;
    if (shifted % c_.stride != 0) return false;
    i = shifted / c_.stride;
    return true;
  }

  void run_pixels(const float* x, int64_t person, int64_t oy, int64_t ox, int64_t step) const {
    Sums sums{};
    for (int64_t ky = 0; ky < c_.kernel_height; ++ky) {
      int64_t iy = 0;
      if (!source(oy, ky, c_.pad[0], iy) || iy < 0 || iy >= c_.in.height) continue;
      for (int64_t kx = 0; kx < c_.kernel_width; ++kx) {
        int64_t ix = 0;
        if (!source(ox, kx, c_.pad[1], ix)) continue;
        const int64_t advance = c_.transposed ? 1 : c_.stride;
        const float* rows[kPixels];
        for (int64_t p = 0; p < kPixels; ++p, ix += advance) {
          const bool is_inside = ix >= 0 && ix < c_.in.width && ox + p * step < c_.out.width;
          rows[p] = is_inside ? x + (iy * c_.in.width + ix) * c_.in.channels : zeros_;
        }
        add_tap(sums, rows, weights_ + (ky * c_.kernel_width + kx) * c_.in.channels * kBlock, c_.in.channels);
      }
    }
    for (int64_t p = 0; p < kPixels && ox + p * step < c_.out.width; ++p) {
      store(sums, p, ((person * c_.out.height + oy) * c_.out.width + ox + p * step) * c_.out.channels + first_);
    }
  }

  void store(const Sums& sums, int64_t p, int64_t at) const {
    for (int64_t o = 0; o < count_; ++o) {
      double value = o < kLanes ? sums.low[p][o] : sums.high[p][o - kLanes];
      if (c_.weight_scales != nullptr) value *= c_.in_scale * c_.weight_scales[first_ + o];
      if (c_.bias != nullptr) value += c_.bias[first_ + o];
      if (c_.residual != nullptr) value += c_.residual_scale * c_.residual[at + o];
      if (c_.relu) value = std::max(value, 0.0);
      y_[at + o] = c_.stored(value);
    }
  }

  const Convolution& c_;
  const float* x_;
  float* y_;
  int64_t first_;
  int64_t count_;
  const double* weights_ = nullptr;
  const float* zeros_ = nullptr;
};

}  // namespace

void convolve(const Convolution& c, const float* x, float* y, ThreadPool& pool) {
  const int64_t blocks = (c.out.channels + kBlock - 1) / kBlock;
  const int64_t rows = c.batch * c.out.height;
  const int64_t rows_per_task = std::max<int64_t>(1, rows / 4);
  const int64_t chunks = (rows + rows_per_task - 1) / rows_per_task;
  const auto task = [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const BlockOfRows block(c, x, y, index / chunks * kBlock);
      const int64_t first = index % chunks * rows_per_task;
      for (int64_t row = first; row < std::min(rows, first + rows_per_task); ++row) block.run(row);
    }
  };
  pool.parallel_for(blocks * chunks, 1, std::cref(task));
}

}  // namespace posefix::runtime::reference
