// The reference's two losses. Source: PoseFix_RELEASE main/model.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "base/tensor.h"

namespace posefix::train {

struct Targets {
  at::Tensor heatmap;            // [B,K,h*w] bilinear one-hot
  at::Tensor coords_heatmap_px;  // [B,K,2]
  at::Tensor valid;              // [B,K]
};

struct Losses {
  at::Tensor heatmap;  // scalar: mean over B and K of the softmax's cross-entropy with the target, times valid
  at::Tensor coord;    // scalar: mean over B, K and 2 of |coordinate - target| in heatmap_px, times valid
};

// coords [B,K,2] crop_px, valid [B,K]; h, w of the heat map. On the CPU, in `dtype` (f32 or f64).
Targets make_targets(std::span<const float> coords, std::span<const float> valid, int64_t joints, int64_t height,
                     int64_t width, DType dtype);

// logits [B,K,h,w], coords_heatmap_px [B,K,2]; targets on the same device.
Losses pose_losses(const at::Tensor& logits, const at::Tensor& coords_heatmap_px, const Targets& targets);

}  // namespace posefix::train
