// Dynamic loss scaling: keeps f16 gradients from vanishing by multiplying the loss, and finds the factor by itself.
//
// The factor doubles after kGrowAfter good steps in a row and halves when gradients overflow, whose step is skipped.
// Non-goals: looking at gradients, multiplying anything. Source: Micikevicius et al. 2018, Mixed precision training.
#pragma once

#include <cstdint>

#include "base/tensor.h"

namespace posefix::train {

class LossScale {
 public:
  static constexpr double kFirst = 65536;
  static constexpr double kLeast = 1;
  static constexpr int64_t kGrowAfter = 2000;

  double value() const { return value_; }
  int64_t skipped() const { return skipped_; }  // steps, since the run began

  // Learns whether the step's gradients were finite. Error (failed) when they were not at the least factor.
  void update(bool finite);

  Tensor state() const;               // [3] f64: factor, good steps in a row, skipped steps
  void restore(const Tensor& state);  // Error (bad input) for another shape or type

 private:
  double value_ = kFirst;
  int64_t good_ = 0;
  int64_t skipped_ = 0;
};

}  // namespace posefix::train
