// One function per graph op, on LibTorch tensors; feature maps [B,C,H,W], filters as in layout.h. All are
// differentiable by autograd.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace posefix::torchgraph {

using Pads = std::array<int64_t, 4>;  // top, bottom, left, right

// pose [B,K,2] crop_px, valid [B,K] -> [B,K,H,W] 255*exp(-d^2/(2 sigma^2))*valid, in pose's type
at::Tensor render_pose(const at::Tensor& pose, const at::Tensor& valid, int64_t height, int64_t width, double sigma_px);

at::Tensor pad(const at::Tensor& x, const Pads& pads);
at::Tensor conv2d(const at::Tensor& x, const at::Tensor& filter, const at::Tensor& bias, int64_t stride,
                  const Pads& pads);
// TensorFlow's SAME: [B,in,h,w] -> [B,out,h*stride,w*stride]
at::Tensor conv_transpose2d_same(const at::Tensor& x, const at::Tensor& filter, const at::Tensor& bias, int64_t stride);
at::Tensor max_pool(const at::Tensor& x, int64_t kernel, int64_t stride, const Pads& pads);

// logits [B,K,h,w] -> softmax over h*w, [B,K,h*w]
at::Tensor heatmap_softmax(const at::Tensor& logits);
// logits [B,K,h,w] -> [B,K,2] expected (x, y), heatmap_px
at::Tensor soft_argmax(const at::Tensor& logits);
// logits [B,K,h,w] -> [B,K] sqrt(E|p - E p|^2), heatmap_px
at::Tensor heatmap_spread(const at::Tensor& logits);

}  // namespace posefix::torchgraph
