// The plainest form of every op, summed in double: the oracle that the other backends are held against.
//
// Maps are [B,H,W,C] f32, those of whole numbers too: sums of products of 8-bit numbers are exact in double. Results do
// not depend on the number of threads: each value is summed by one thread in the order ky, kx, input channel.
#pragma once

#include <array>
#include <cstdint>

#include "base/threads.h"

namespace posefix::runtime::reference {

struct Map {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  int64_t pixels() const { return height * width; }
  int64_t size() const { return height * width * channels; }
};

// How a result is stored: as it is, or as the whole number nearest to value / scale (ties to even) within bounds.
struct Stored {
  bool is_whole = false;
  double scale = 1;
  double lowest = 0;
  double highest = 0;
  float operator()(double value) const;
};

struct Convolution {
  int64_t batch = 1;
  Map in;
  Map out;
  int64_t kernel_height = 1;
  int64_t kernel_width = 1;
  int64_t stride = 1;
  std::array<int64_t, 2> pad{0, 0};  // before, in y and x
  bool transposed = false;           // weights [kh,kw,out,in] instead of [kh,kw,in,out]
  bool relu = false;
  const float* weights = nullptr;
  const float* bias = nullptr;      // [out] or null
  const float* residual = nullptr;  // like the result, may be the result itself; or null
  // Of stored whole numbers: the sum counts in_scale * weight_scales[out], the residual residual_scale.
  const float* weight_scales = nullptr;  // [out]; null: 1
  double in_scale = 1;
  double residual_scale = 1;
  Stored stored;
};

// With transposed: TensorFlow's SAME, pad = (kernel - stride) / 2 taken from the result.
void convolve(const Convolution& c, const float* x, float* y, ThreadPool& pool);

// Padding never wins.
void max_pool(int64_t batch, Map in, Map out, int64_t kernel, int64_t stride, std::array<int64_t, 2> pad,
              const float* x, float* y, ThreadPool& pool);

struct PoseRendering {
  int64_t joints = 0;
  double sigma_px = 0;
};
// pose [B,K,2] crop_px, valid [B,K] -> channels first_channel .. first_channel + K - 1 of y.
void render_pose(int64_t batch, Map out, const PoseRendering& rendering, int64_t first_channel, const float* pose,
                 const float* valid, float* y, ThreadPool& pool);

// crops u8 [B,H,W,3] - mean -> channels 0..2 of y, the difference taken in double.
void normalise_image(int64_t batch, Map out, const std::array<double, 3>& mean, const uint8_t* crops, float* y);

// logits [B,h,w,K] -> coords [B,K,2], spread [B,K] (may be null), both times factor.
void decode(int64_t batch, Map logits, double factor, const float* x, float* coords, float* spread);

}  // namespace posefix::runtime::reference
