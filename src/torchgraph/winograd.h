// Convolutions in f32 and bf16 on the CPU by Winograd's minimal filtering, with their gradients: 3x3 filters with
// stride 1 and 4x4 transposed ones with stride 2, whose four phases are 2x2 filters. Tiles of 4x4 results, so 2.25
// and 1.5625 products a result and channel instead of 9 and 4 (Lavin, Gray: Fast Algorithms for Convolutional Neural
// Networks, 2016; the gradients are the same transforms' adjoints).
//
// Invariants: a sample's result depends neither on the rest of the batch nor on the number of threads, a filter's
// gradient not on the number of threads. Rounding differs from a direct sum's: about 2e-6 of a result's norm in f32. Of
// maps in bf16 nothing is rounded but what is read and written: transforms, products and sums are f32, which with so
// few products costs no more than bf16's instructions for direct sums.
// Non-goals: other types, devices, strides, groups and dilation; they are LibTorch's.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace posefix::torchgraph {

enum class WinogradKind {
  k3x3,            // filter [out,in,3,3], zero padding 1: [B,in,h,w] -> [B,out,h,w]
  k4x4Transposed,  // filter [in,out,4,4], stride 2, padding 1: [B,in,h,w] -> [B,out,2h,2w]
};

// Whether the convolution can be computed so, and gains by it: depends on type, device, filter and the size of x's
// maps, not on the batch, so that processes with parts of a batch round alike.
bool winograd_fits(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter);

// The functions below need winograd_fits(). Results lie in memory as x does, in NCHW or NHWC order.

// Differentiable by autograd.
at::Tensor winograd_convolution(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter);

// Without autograd.
at::Tensor winograd_forward(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter);
// dy, the gradient of the result -> those of x and the filter; undefined where not wanted.
std::pair<at::Tensor, at::Tensor> winograd_backward(WinogradKind kind, const at::Tensor& dy, const at::Tensor& x,
                                                    const at::Tensor& filter, bool wants_x, bool wants_filter);

}  // namespace posefix::torchgraph
