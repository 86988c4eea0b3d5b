#include "torchgraph/transposed_product.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <vector>

#include "torchgraph/ops.h"

namespace posefix::torchgraph {
namespace {

constexpr auto kNchw = at::MemoryFormat::Contiguous;
constexpr auto kNhwc = at::MemoryFormat::ChannelsLast;

struct Case {
  int64_t batch, in, out, height, width;
};

// One pixel, one line, one channel (whose order of memory is both), and maps as the network's.
const std::vector<Case> kCases = {{1, 3, 2, 1, 1}, {2, 4, 6, 1, 5},   {3, 1, 4, 4, 3},
                                  {2, 5, 1, 3, 2}, {2, 64, 24, 8, 6}, {4, 96, 32, 8, 6}};

// Share of the norm by which `is` differs from `expected`.
double difference(const at::Tensor& is, const at::Tensor& expected) {
  EXPECT_EQ(is.sizes(), expected.sizes());
  return ((is.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}

void expect_libtorchs(at::ScalarType type, double tolerance) {
  for (const Case& c : kCases) {
    for (const auto x_order : {kNchw, kNhwc}) {
      for (const auto filter_order : {kNchw, kNhwc}) {
        SCOPED_TRACE(testing::Message() << c.in << " to " << c.out << " channels, " << c.height << "x" << c.width);
        at::manual_seed(3);
        at::Tensor x = at::randn({c.batch, c.in, c.height, c.width}).to(type).contiguous(x_order);
        at::Tensor filter = at::randn({c.in, c.out, 4, 4}).to(type).contiguous(filter_order);
        const at::Tensor dy = at::randn({c.batch, c.out, 2 * c.height, 2 * c.width}).to(type).contiguous(x_order);
        at::Tensor exact_x = x.to(at::kDouble).set_requires_grad(true);
        at::Tensor exact_filter = filter.to(at::kDouble).set_requires_grad(true);
        const at::Tensor expected = at::conv_transpose2d(exact_x, exact_filter, {}, {2, 2}, {1, 1});
        expected.backward(dy.to(at::kDouble));

        x.set_requires_grad(true);
        filter.set_requires_grad(true);
        const at::Tensor y = transposed_product(x, filter);
        EXPECT_EQ(y.scalar_type(), type);
        EXPECT_TRUE(y.is_contiguous(x.is_contiguous() ? kNchw : kNhwc));
        y.backward(dy);
        EXPECT_LT(difference(y.detach(), expected.detach()), tolerance);
        EXPECT_LT(difference(x.grad(), exact_x.grad()), tolerance);
        EXPECT_LT(difference(filter.grad(), exact_filter.grad()), tolerance);
      }
    }
  }
}

TEST(TransposedProduct, EqualsLibtorchsInDouble) { expect_libtorchs(at::kFloat, 1e-6); }

// Two roundings to 8 bits: of a tap and of their sum.
TEST(TransposedProduct, OfBf16RoundsTapsAndSumsAlone) { expect_libtorchs(at::kBFloat16, 2.6e-3); }

TEST(TransposedProduct, OfF16RoundsLess) { expect_libtorchs(at::kHalf, 3.3e-4); }

TEST(TransposedProduct, OrderOfMemoryChangesNoBit) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({2, 64, 8, 6});
  const at::Tensor filter = at::randn({64, 24, 4, 4});
  const at::Tensor y = transposed_product_forward(x, filter);
  EXPECT_TRUE(at::equal(transposed_product_forward(x.contiguous(kNhwc), filter), y));
}

TEST(TransposedProduct, GradientsThatNobodyWantsAreNotMade) {
  const at::Tensor x = at::randn({1, 4, 2, 2});
  const at::Tensor filter = at::randn({4, 4, 4, 4});
  const at::Tensor dy = at::randn({1, 4, 4, 4});
  EXPECT_FALSE(transposed_product_backward(dy, x, filter, true, false).second.defined());
  EXPECT_FALSE(transposed_product_backward(dy, x, filter, false, true).first.defined());
}

TEST(TransposedProduct, IsForFewPixelsAndManyWeightsOrFewBits) {
  const auto fits = [](int64_t channels, int64_t height, int64_t taps, at::ScalarType type) {
    return transposed_product_fits(at::zeros({1, channels, height, 12}, type),
                                   at::zeros({channels, 256, taps, taps}, type));
  };
  EXPECT_TRUE(fits(257, 16, 4, at::kFloat));
  EXPECT_FALSE(fits(256, 16, 4, at::kFloat));
  EXPECT_FALSE(fits(257, 17, 4, at::kFloat));
  EXPECT_TRUE(fits(4, 17, 4, at::kBFloat16));
  EXPECT_FALSE(fits(257, 16, 3, at::kFloat));
  EXPECT_FALSE(fits(257, 16, 4, at::kDouble));
}

// The ops take it by themselves, with a bias added to its result.
TEST(TransposedProduct, RunsBehindTheOps) {
  const at::Tensor x = at::randn({1, 4, 2, 3}).to(at::kBFloat16);
  const at::Tensor filter = at::randn({4, 5, 4, 4}).to(at::kBFloat16);
  const at::Tensor bias = at::randn({5}).to(at::kBFloat16);
  const at::Tensor expected = transposed_product_forward(x, filter) + bias.view({1, -1, 1, 1});
  EXPECT_TRUE(at::equal(conv_transpose2d_same(x, filter, bias, 2), expected));
  EXPECT_EQ(conv_transpose2d_same(x.to(at::kFloat), filter.to(at::kFloat), {}, 1).size(3), 3);
}

}  // namespace
}  // namespace posefix::torchgraph
