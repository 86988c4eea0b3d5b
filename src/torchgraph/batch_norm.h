// Batch norm of training on the CPU for maps in NHWC order, with the sum and the ReLU that follow it: every pass over
// the maps does all that is to be done to them.
//
// Invariants: statistics and the sums of gradients are added up in double, in an order that does not depend on the
// number of threads; LibTorch's are one chain of f32 for a channel, which a deep network makes 1e-3 of a gradient of.
// Non-goals: moving statistics instead of the batch's, other orders, types and devices; they are LibTorch's.
// Source: Ioffe and Szegedy 2015.
#pragma once

#include <ATen/core/Tensor.h>

namespace posefix::torchgraph {

struct BatchNormState {
  at::Tensor moving_mean;      // [C] moves by momentum towards the batch's mean
  at::Tensor moving_variance;  // [C] and towards its variance times N/(N-1)
  double momentum = 0;
  double epsilon = 0;
};

// What follows: relu(y + residual).
struct BatchNormTail {
  at::Tensor residual;  // as y, or undefined: none
  bool relu = false;
};

// Whether x [B,C,H,W] can be normalised so: maps in f32 or bf16, scale in f32.
bool batch_norm_fits(const at::Tensor& x, const at::Tensor& scale);

// The functions below need batch_norm_fits(). Results have x's type and order of memory.

// Differentiable by autograd.
at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset, BatchNormState& state,
                      const BatchNormTail& tail);

// Without autograd.
struct BatchNormResult {
  at::Tensor y;
  at::Tensor mean, inverse_deviation;  // [C] f32, of the batch
};
BatchNormResult batch_norm_forward(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset,
                                   BatchNormState& state, const BatchNormTail& tail);

struct BatchNormGradients {
  at::Tensor x, scale, offset;
  at::Tensor residual;  // undefined without one
};
// dy, the gradient of result.y, which is read if there is a ReLU.
BatchNormGradients batch_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& scale,
                                       const BatchNormResult& result, bool has_residual, bool has_relu);

}  // namespace posefix::torchgraph
