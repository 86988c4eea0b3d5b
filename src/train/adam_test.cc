#include "train/adam.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

namespace posefix::train {
namespace {

// As a device computes it, in whatever order: clipping makes one factor of all gradients of it, so a difference in a
// digit of f32 would change every weight.
TEST(Adam, NormIsThatOfRoundedSquares) {
  at::manual_seed(1);
  const at::Tensor gradients = at::randn({200'003}) * 1e-3;
  const double on_device = std::sqrt((gradients * gradients).sum(at::kDouble).item<double>());
  EXPECT_NEAR(l2_norm(gradients), on_device, 1e-13 * on_device);
}

TEST(Adam, NormDoesNotDependOnThreads) {
  const int threads = at::get_num_threads();
  const at::Tensor gradients = at::randn({200'003});
  at::set_num_threads(1);
  const double alone = l2_norm(gradients);
  at::set_num_threads(3);
  EXPECT_EQ(l2_norm(gradients), alone);
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace posefix::train
