#include "base/tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/error.h"

namespace posefix {
namespace {

TEST(Tensor, CopiesShareUntilWritten) {
  Tensor first = Tensor::from_f32({2, 2}, std::vector<float>{1, 2, 3, 4});
  Tensor second = first;
  EXPECT_EQ(second.f32().data(), first.f32().data());
  second.mutable_f32()[0] = 9;
  EXPECT_EQ(first.f32()[0], 1);
  EXPECT_EQ(second.f32()[0], 9);
}

TEST(Tensor, CountRefusesNegativeAndOverflow) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 0, 5}), 0);
  EXPECT_THROW(element_count({-1}), Error);
  EXPECT_THROW(element_count({int64_t{1} << 40, int64_t{1} << 40}), Error);
}

// Every f16 and bf16 pattern survives the way to f32 and back.
TEST(Tensor, HalfPrecisionRoundTrips) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float from_f16 = f16_to_f32(half);
    if (std::isnan(from_f16)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(from_f16))));
    } else {
      ASSERT_EQ(f32_to_f16(from_f16), half);
    }
    const float from_bf16 = bf16_to_f32(half);
    if (!std::isnan(from_bf16)) {
      ASSERT_EQ(f32_to_bf16(from_bf16), half);
    }
  }
}

// Against the compiler's own conversion where it has one.
TEST(Tensor, F16RoundsToNearestEven) {
  for (uint64_t i = 0; i < (1U << 20); ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(i * 4099));
    if (std::isnan(value)) continue;
    const auto expected = static_cast<_Float16>(value);
    ASSERT_EQ(f32_to_f16(value), std::bit_cast<uint16_t>(expected)) << value;
  }
}

}  // namespace
}  // namespace posefix
