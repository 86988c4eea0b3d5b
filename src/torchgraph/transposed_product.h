// 4x4 transposed convolutions with stride 2 on the CPU as one product for the whole batch: every pixel gives 16 taps,
// and four of them add up to a pixel of the result. For maps with few pixels and many channels, where the filter is
// most of what is read: it is read as it lies in memory, in either order.
//
// Invariants: filters and gradients are [in,out,4,4], padding 1; results lie in memory as x (the filter) does. What is
// added up is f32 for bf16 and f16. Non-goals: other filters, strides, devices; they are LibTorch's.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace posefix::torchgraph {

// Whether the convolution can be computed so, and gains by it: by type, device, filter and the size of x's maps.
bool transposed_product_fits(const at::Tensor& x, const at::Tensor& filter);

// The functions below take f32, bf16 and f16 on the CPU. x [B,in,h,w] -> [B,out,2h,2w].

// Differentiable by autograd.
at::Tensor transposed_product(const at::Tensor& x, const at::Tensor& filter);

// Without autograd.
at::Tensor transposed_product_forward(const at::Tensor& x, const at::Tensor& filter);
// dy, the gradient of the result -> those of x and the filter; undefined where not wanted.
std::pair<at::Tensor, at::Tensor> transposed_product_backward(const at::Tensor& dy, const at::Tensor& x,
                                                              const at::Tensor& filter, bool wants_x,
                                                              bool wants_filter);

}  // namespace posefix::torchgraph
