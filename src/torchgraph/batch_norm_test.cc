#include "torchgraph/batch_norm.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace posefix::torchgraph {
namespace {

constexpr auto kNhwc = at::MemoryFormat::ChannelsLast;
constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-3;

struct Case {
  int64_t batch, channels, height, width;
  bool adds, relu;
};

// Channels that are no whole vectors, rows that are no whole groups, and maps of several chunks.
const std::vector<Case> kCases = {{2, 3, 5, 7, false, false},
                                  {1, 17, 3, 2, false, true},
                                  {2, 64, 40, 30, true, true},
                                  {3, 20, 9, 5, true, false},
                                  {4, 256, 16, 12, true, true}};

struct Tensors {
  at::Tensor x, scale, offset, residual, dy;
};

Tensors random_tensors(const Case& c, at::ScalarType type) {
  at::manual_seed(5);
  const auto maps = [&](double mean) {
    return (at::randn({c.batch, c.channels, c.height, c.width}) + mean).to(type).contiguous(kNhwc);
  };
  return {maps(3), at::rand({c.channels}) + 0.5, at::randn({c.channels}), c.adds ? maps(0) : at::Tensor(), maps(0)};
}

BatchNormState fresh_state(int64_t channels) {
  return {at::full({channels}, 0.25), at::full({channels}, 2.0), kMomentum, kEpsilon};
}

double difference(const at::Tensor& is, const at::Tensor& expected) {
  EXPECT_EQ(is.sizes(), expected.sizes());
  return ((is.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}

void expect_libtorchs(at::ScalarType type, double tolerance) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.channels << " channels, " << c.height << "x" << c.width);
    const Tensors t = random_tensors(c, type);
    const auto leaf = [](const at::Tensor& tensor, at::ScalarType as) {
      return tensor.defined() ? tensor.detach().to(as).clone().set_requires_grad(true) : tensor;
    };
    // Of both, what is positive is decided by posefix's result: a rounding may move a value over zero.
    at::Tensor x = leaf(t.x, type);
    at::Tensor scale = leaf(t.scale, at::kFloat);
    at::Tensor offset = leaf(t.offset, at::kFloat);
    at::Tensor residual = leaf(t.residual, type);
    ASSERT_TRUE(batch_norm_fits(x, scale));
    BatchNormState state = fresh_state(c.channels);
    const at::Tensor y = batch_norm(x, scale, offset, state, {residual, c.relu});
    EXPECT_TRUE(y.is_contiguous(kNhwc));
    EXPECT_EQ(y.scalar_type(), type);
    y.backward(t.dy);

    at::Tensor exact_x = leaf(t.x, at::kDouble);
    at::Tensor exact_scale = leaf(t.scale, at::kDouble);
    at::Tensor exact_offset = leaf(t.offset, at::kDouble);
    at::Tensor exact_residual = leaf(t.residual, at::kDouble);
    const at::Tensor mean = at::full({c.channels}, 0.25, at::kDouble);
    const at::Tensor variance = at::full({c.channels}, 2.0, at::kDouble);
    at::Tensor expected =
        at::batch_norm(exact_x, exact_scale, exact_offset, mean, variance, true, kMomentum, kEpsilon, false);
    if (c.adds) expected = expected + exact_residual;
    if (c.relu) expected = expected * (y.detach() > 0).to(at::kDouble);
    expected.backward(t.dy.to(at::kDouble));

    EXPECT_LT(difference(y.detach(), expected.detach()), tolerance);
    EXPECT_LT(difference(x.grad(), exact_x.grad()), tolerance);
    EXPECT_LT(difference(scale.grad(), exact_scale.grad()), 1e-6);
    EXPECT_LT(difference(offset.grad(), exact_offset.grad()), 1e-6);
    if (c.adds) {
      EXPECT_EQ(difference(residual.grad(), exact_residual.grad()), 0);
    }
    EXPECT_LT(difference(state.moving_mean, mean), 1e-7);
    EXPECT_LT(difference(state.moving_variance, variance), 1e-6);
  }
}

TEST(BatchNorm, EqualsLibtorchsInDouble) { expect_libtorchs(at::kFloat, 5e-7); }

TEST(BatchNorm, OfBf16RoundsTheResultAlone) { expect_libtorchs(at::kBFloat16, 1.9e-3); }

// A mean a thousand deviations from zero: a difference of two squares in f32 would leave no digit of the variance.
TEST(BatchNorm, AFarMeanKeepsTheVariance) {
  at::manual_seed(6);
  const at::Tensor x = (at::randn({4, 8, 20, 20}) + 1000).contiguous(kNhwc);
  const at::Tensor scale = at::ones({8});
  BatchNormState state = fresh_state(8);
  const BatchNormResult result = batch_norm_forward(x, scale, at::zeros({8}), state, {});
  const at::Tensor variance = x.to(at::kDouble).var(at::IntArrayRef{0, 2, 3}, false);
  EXPECT_LT(difference(result.inverse_deviation, (variance + kEpsilon).rsqrt()), 1e-6);
}

TEST(BatchNorm, ThreadsChangeNoBit) {
  const int threads = at::get_num_threads();
  for (const Case& c : kCases) {
    const Tensors t = random_tensors(c, at::kFloat);
    const auto run = [&] {
      BatchNormState state = fresh_state(c.channels);
      const BatchNormResult result = batch_norm_forward(t.x, t.scale, t.offset, state, {t.residual, c.relu});
      const BatchNormGradients g = batch_norm_backward(t.dy, t.x, t.scale, result, c.adds, c.relu);
      return std::vector{result.y, state.moving_variance, g.x, g.scale, g.offset};
    };
    at::set_num_threads(1);
    const std::vector<at::Tensor> alone = run();
    at::set_num_threads(3);
    const std::vector<at::Tensor> together = run();
    for (size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(at::equal(alone[i], together[i])) << i;
  }
  at::set_num_threads(threads);
}

// What the ReLU is handed as it came: a run must notice a value that is not finite.
TEST(BatchNorm, NanGoesThroughTheRelu) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = at::randn({1, 4, 3, 3}).to(type).contiguous(kNhwc);
    x[0][2][1][1] = std::numeric_limits<float>::quiet_NaN();
    BatchNormState state = fresh_state(4);
    const at::Tensor y = batch_norm_forward(x, at::ones({4}), at::zeros({4}), state, {{}, true}).y;
    EXPECT_TRUE(y[0][2].isnan().all().item<bool>());
    EXPECT_FALSE(y[0][1].isnan().any().item<bool>());
  }
}

TEST(BatchNorm, IsForMapsInNhwcOrder) {
  const at::Tensor x = at::zeros({1, 4, 3, 2});
  const at::Tensor scale = at::ones({4});
  EXPECT_TRUE(batch_norm_fits(x.contiguous(kNhwc), scale));
  EXPECT_TRUE(batch_norm_fits(x.to(at::kBFloat16).contiguous(kNhwc), scale));
  EXPECT_FALSE(batch_norm_fits(x, scale));
  EXPECT_FALSE(batch_norm_fits(x.to(at::kDouble).contiguous(kNhwc), scale.to(at::kDouble)));
  EXPECT_FALSE(batch_norm_fits(x.to(at::kHalf).contiguous(kNhwc), scale));
}

}  // namespace
}  // namespace posefix::torchgraph
