#include "torchgraph/winograd.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <vector>

#include "kernels/kernels.h"
#include "torchgraph/ops.h"

namespace posefix::torchgraph {
namespace {

struct Case {
  WinogradKind kind;
  int64_t batch, in, out, height, width;
};

struct Tensors {
  at::Tensor x, filter, dy;
};

// Channels that every instruction set takes; maps that end within a tile.
const std::vector<Case> kCases = {
    {WinogradKind::k3x3, 2, 32, 48, 16, 12},           {WinogradKind::k3x3, 1, 64, 32, 13, 19},
    {WinogradKind::k3x3, 3, 48, 96, 32, 24},           {WinogradKind::k4x4Transposed, 2, 48, 32, 16, 12},
    {WinogradKind::k4x4Transposed, 1, 32, 64, 15, 18}, {WinogradKind::k3x3, 2, 80, 96, 8, 6},
};

Tensors random_tensors(const Case& c, at::MemoryFormat order, at::ScalarType type = at::kFloat) {
  at::manual_seed(7);
  const bool is_3x3 = c.kind == WinogradKind::k3x3;
  const int64_t step = is_3x3 ? 1 : 2;
  const std::vector<int64_t> filter =
      is_3x3 ? std::vector<int64_t>{c.out, c.in, 3, 3} : std::vector<int64_t>{c.in, c.out, 4, 4};
  const auto random = [&](const std::vector<int64_t>& sizes) { return at::randn(sizes).to(type).contiguous(order); };
  return {random({c.batch, c.in, c.height, c.width}), random(filter),
          random({c.batch, c.out, step * c.height, step * c.width})};
}

at::Tensor direct(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter) {
  if (kind == WinogradKind::k3x3) return at::conv2d(x, filter, {}, {1, 1}, {1, 1});
  return at::conv_transpose2d(x, filter, {}, {2, 2}, {1, 1});
}

// Share of the norm by which `is` differs from `expected`.
double difference(const at::Tensor& is, const at::Tensor& expected) {
  EXPECT_EQ(is.sizes(), expected.sizes());
  return ((is.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}

struct Tolerance {
  double value, filter_gradient;
};

void expect_direct_sums(at::ScalarType type, const Tolerance& tolerance) {
  for (const Case& c : kCases) {
    for (const auto order : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      SCOPED_TRACE(testing::Message() << c.in << " to " << c.out << " channels, " << c.height << "x" << c.width);
      const Tensors t = random_tensors(c, order, type);
      ASSERT_TRUE(winograd_fits(c.kind, t.x, t.filter));
      at::Tensor x = t.x.to(at::kDouble).set_requires_grad(true);
      at::Tensor filter = t.filter.to(at::kDouble).set_requires_grad(true);
      const at::Tensor expected = direct(c.kind, x, filter);
      expected.backward(t.dy.to(at::kDouble));

      at::Tensor own_x = t.x.clone().set_requires_grad(true);
      at::Tensor own_filter = t.filter.clone().set_requires_grad(true);
      const at::Tensor y = winograd_convolution(c.kind, own_x, own_filter);
      EXPECT_TRUE(y.is_contiguous(order));
      EXPECT_EQ(y.scalar_type(), type);
      y.backward(t.dy);
      EXPECT_EQ(own_filter.grad().scalar_type(), type);
      EXPECT_LT(difference(y.detach(), expected.detach()), tolerance.value);
      EXPECT_LT(difference(own_x.grad(), x.grad()), tolerance.value);
      EXPECT_LT(difference(own_filter.grad(), filter.grad()), tolerance.filter_gradient);
    }
  }
}

TEST(Winograd, EqualsDirectSumsInDouble) { expect_direct_sums(at::kFloat, {3e-6, 1e-5}); }

// What rounding the exact result to bf16 alone does to it: 8 bits, so 2^-9 at most, uniform.
TEST(Winograd, OfBf16RoundsTheResultAlone) { expect_direct_sums(at::kBFloat16, {1.8e-3, 1.8e-3}); }

TEST(Winograd, OrderOfMemoryChangesNoBit) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Case& c : kCases) {
      const Tensors planes = random_tensors(c, at::MemoryFormat::Contiguous, type);
      const Tensors last = random_tensors(c, at::MemoryFormat::ChannelsLast, type);
      EXPECT_TRUE(
          at::equal(winograd_forward(c.kind, planes.x, planes.filter), winograd_forward(c.kind, last.x, last.filter)));
      const auto [dx, dfilter] = winograd_backward(c.kind, planes.dy, planes.x, planes.filter, true, true);
      const auto [last_dx, last_dfilter] = winograd_backward(c.kind, last.dy, last.x, last.filter, true, true);
      EXPECT_TRUE(at::equal(dx, last_dx));
      EXPECT_TRUE(at::equal(dfilter, last_dfilter));
    }
  }
}

TEST(Winograd, NeitherThreadsNorTheRestOfTheBatchChangeABit) {
  const int threads = at::get_num_threads();
  for (const Case& c : kCases) {
    const Tensors t = random_tensors(c, at::MemoryFormat::Contiguous);
    at::set_num_threads(1);
    const at::Tensor y = winograd_forward(c.kind, t.x, t.filter);
    const auto [dx, dfilter] = winograd_backward(c.kind, t.dy, t.x, t.filter, true, true);
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(winograd_forward(c.kind, t.x, t.filter), y));
    const auto [other_dx, other_dfilter] = winograd_backward(c.kind, t.dy, t.x, t.filter, true, true);
    EXPECT_TRUE(at::equal(other_dx, dx));
    EXPECT_TRUE(at::equal(other_dfilter, dfilter));
    const int64_t last = c.batch - 1;
    EXPECT_TRUE(at::equal(winograd_forward(c.kind, t.x.narrow(0, last, 1), t.filter), y.narrow(0, last, 1)));
  }
  at::set_num_threads(threads);
}

TEST(Winograd, GradientsThatNobodyWantsAreNotMade) {
  const Tensors t = random_tensors(kCases[0], at::MemoryFormat::Contiguous);
  const auto [dx, no_dfilter] = winograd_backward(kCases[0].kind, t.dy, t.x, t.filter, true, false);
  EXPECT_TRUE(dx.defined());
  EXPECT_FALSE(no_dfilter.defined());
  const auto [no_dx, dfilter] = winograd_backward(kCases[0].kind, t.dy, t.x, t.filter, false, true);
  EXPECT_FALSE(no_dx.defined());
  EXPECT_TRUE(dfilter.defined());
}

TEST(Winograd, IsForManyChannelsAndTilesInF32AndBf16) {
  const auto fits = [](int64_t channels, int64_t height, int64_t width, at::ScalarType type) {
    const at::Tensor x = at::zeros({1, channels, height, width}, type);
    return winograd_fits(WinogradKind::k3x3, x, at::zeros({channels, channels, 3, 3}, type));
  };
  EXPECT_TRUE(fits(32, 16, 12, at::kFloat));
  EXPECT_TRUE(fits(32, 16, 12, at::kBFloat16));
  EXPECT_FALSE(fits(32, 16, 12, at::kDouble));
  EXPECT_FALSE(fits(32, 16, 12, at::kHalf));
  EXPECT_FALSE(fits(16, 16, 12, at::kFloat));
  EXPECT_FALSE(fits(36, 16, 12, at::kFloat));  // no whole blocks
  EXPECT_TRUE(fits(256, 8, 6, at::kFloat));
  EXPECT_FALSE(fits(288, 8, 6, at::kFloat));
  EXPECT_FALSE(fits(32, 4, 12, at::kFloat));
  EXPECT_FALSE(fits(32, 1, 48, at::kFloat));  // a quarter of every tile
  const at::Tensor x = at::zeros({1, 32, 16, 12});
  EXPECT_FALSE(winograd_fits(WinogradKind::k3x3, x, at::zeros({32, 32, 1, 1})));
  EXPECT_FALSE(winograd_fits(WinogradKind::k4x4Transposed, x, at::zeros({32, 32, 3, 3})));
}

// The ops take it by themselves, with a bias added to its result.
TEST(Winograd, RunsBehindTheOps) {
  const Tensors t = random_tensors(kCases[0], at::MemoryFormat::Contiguous);
  const at::Tensor bias = at::randn({kCases[0].out});
  const at::Tensor expected = winograd_forward(WinogradKind::k3x3, t.x, t.filter) + bias.view({1, -1, 1, 1});
  EXPECT_TRUE(at::equal(conv2d(t.x, t.filter, bias, 1, {1, 1, 1, 1}), expected));
  EXPECT_EQ(conv2d(t.x, t.filter, {}, 2, {1, 1, 1, 1}).size(2), 8);
  EXPECT_EQ(conv2d(t.x, t.filter, {}, 1, {0, 0, 0, 0}).size(2), 14);
}

}  // namespace
}  // namespace posefix::torchgraph
