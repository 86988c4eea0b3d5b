// Adam over one flat tensor, as TensorFlow computes it: epsilon stands beside the uncorrected sqrt(v).
//
//   m += (g - m) * (1 - beta1);  v += (g*g - v) * (1 - beta2)
//   w -= m * (rate * sqrt(1 - beta2^t) / (1 - beta1^t)) / (sqrt(v) + epsilon)
//
// AdamW: w -= rate * decay * w first, on the leading `decaying` elements, and epsilon beside the corrected sqrt(v).
// Invariant: the CPU's fused loop and the operations used on other devices round alike, so that a device which
// computes IEEE arithmetic gives the CPU's bits. Source: tensorflow/core/kernels/training_ops.cc (ApplyAdam);
// Kingma and Ba 2015; Loshchilov and Hutter 2019.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "train/config.h"

namespace posefix::train {

class Adam {
 public:
  // Moments start at 0; `count` elements like `values` (type, device).
  Adam(const TrainConfig& config, const at::Tensor& values, int64_t count, int64_t decaying);

  // One step: values [>= count] changes, gradients [count] does not.
  void step(at::Tensor& values, const at::Tensor& gradients, double rate);

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  at::Tensor& mean() { return mean_; }      // [count] m
  at::Tensor& square() { return square_; }  // [count] v

 private:
  bool decoupled_;
  double beta1_;
  double beta2_;
  double epsilon_;
  double decay_;
  int64_t count_;
  int64_t decaying_;
  int64_t steps_ = 0;
  at::Tensor mean_;
  at::Tensor square_;
};

// Adds decay * w to the gradient of the leading `count` elements (the derivative of 0.5 * decay * |w|^2) and returns
// that loss, summed in double in an order that does not depend on the number of threads.
double add_weight_decay(const at::Tensor& values, at::Tensor& gradients, int64_t count, double decay);

// sqrt of the sum of squares, summed likewise.
double l2_norm(const at::Tensor& flat);

}  // namespace posefix::train
