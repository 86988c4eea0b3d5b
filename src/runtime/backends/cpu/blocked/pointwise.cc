#include <algorithm>

#include "base/error.h"
#include "runtime/backends/cpu/blocked/convolution.h"

namespace posefix::runtime::cpu::blocked {
namespace {

// Input values of the pixels at hand: they stay in the second-level cache while all weights pass by.
constexpr int64_t kWorkingBytes = int64_t{256} << 10;

}  // namespace

void pack_pointwise(const Kernels& kernels, int64_t in, int64_t out, const float* weights, float* packed) {
  const int64_t wide = int64_t{kernels.vectors} * kernels.lanes;
  for (int64_t first = 0; first < out; first += wide) {
    const int64_t count = std::min(wide, out - first);
    for (int64_t i = 0; i < in; ++i) std::copy_n(weights + i * out + first, count, packed + first * in + i * count);
  }
}

PointwiseConvolution::PointwiseConvolution(const Kernels& kernels, const Convolution& convolution, const float* weights,
                                           const float* bias)
    : kernels_(kernels),
      convolution_(convolution),
      weights_(weights),
      bias_(bias),
      in_blocks_(convolution.in_channels / kernels.lanes),
      out_blocks_(convolution.out_channels / kernels.lanes) {
  const Convolution& c = convolution_;
  PFX_CHECK(c.in_channels % kernels.lanes == 0 && c.out_channels % kernels.lanes == 0 && c.taps == 1 && c.step == 1);
  const int64_t pixels = kWorkingBytes / (c.in_channels * int64_t{sizeof(float)});
  chunk_ = std::max<int64_t>(4, pixels / kernels.rows) * kernels.rows;
}

void PointwiseConvolution::run(const float* x, float* y) const {
  const Convolution& c = convolution_;
  const int64_t lanes = kernels_.lanes;
  const int64_t pixels = c.in_height * c.in_width;
  const int64_t chunks = (pixels + chunk_ - 1) / chunk_;
  const int64_t vector_groups = (out_blocks_ + kernels_.vectors - 1) / kernels_.vectors;
#pragma omp parallel for collapse(3) schedule(static)
  for (int64_t person = 0; person < c.batch; ++person) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      for (int64_t v = 0; v < vector_groups; ++v) {
        const int64_t first = v * kernels_.vectors;  // block of output channels
        const int64_t vectors = std::min<int64_t>(kernels_.vectors, out_blocks_ - first);
        Product p;
        p.blocks = in_blocks_;
        p.a_pitch = p.c_pitch = pixels * lanes;
        p.weights = weights_ + first * lanes * c.in_channels;
        p.bias = bias_ != nullptr ? bias_ + first * lanes : nullptr;
        p.adds = c.adds;
        p.relu = c.relu;
        const int64_t end = std::min(pixels, (chunk + 1) * chunk_);
        for (int64_t pixel = chunk * chunk_; pixel < end; pixel += kernels_.rows) {
          p.a = x + (person * c.in_channels * pixels) + pixel * lanes;
          p.c = y + ((person * out_blocks_ + first) * pixels + pixel) * lanes;
          kernels_.product(p, static_cast<int>(std::min<int64_t>(kernels_.rows, end - pixel)),
                           static_cast<int>(vectors));
        }
      }
    }
  }
}

}  // namespace posefix::runtime::cpu::blocked
