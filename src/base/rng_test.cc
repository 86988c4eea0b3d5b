#include "base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace posefix {
namespace {

// Known answers published with Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, EveryPartOfTheNameMatters) {
  const auto first = [](Rng rng) { return rng.next_u64(); };
  const std::set<uint64_t> draws{first(Rng(1, 2, 3)),         first(Rng(2, 2, 3)),    first(Rng(1, 3, 3)),
                                 first(Rng(1, 2, 4)),         first(Rng(1, 2, 3, 1)), first(Rng(1ULL << 40, 2, 3)),
                                 first(Rng(1, 2, 1ULL << 40))};
  EXPECT_EQ(draws.size(), 7U);
  EXPECT_EQ(first(Rng(1, 2, 3)), first(Rng(1, 2, 3)));
}

TEST(Rng, MomentsOfUniformAndNormal) {
  constexpr int kDraws = 200000;
  Rng rng(7, 0, 0);
  double uniform_sum = 0;
  double normal_sum = 0;
  double normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    uniform_sum += u;
    const double n = rng.normal();
    normal_sum += n;
    normal_squares += n * n;
  }
  EXPECT_NEAR(uniform_sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(normal_sum / kDraws, 0, 0.015);
  EXPECT_NEAR(normal_squares / kDraws, 1, 0.02);
}

TEST(Rng, BelowIsInRangeAndEven) {
  Rng rng(3, 0, 0);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts.at(rng.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 450);
}

}  // namespace
}  // namespace posefix
