#include "sample/augmentation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace posefix::sample {
namespace {

constexpr pose::Box kBox{20, 30, 60, 100};
constexpr double kRounding = 1e-9;

bool within(const pose::Box& box, double x, double y) {
  return x >= box.x - kRounding && x <= box.x + box.w + kRounding && y >= box.y - kRounding &&
         y <= box.y + box.h + kRounding;
}

TEST(DrawPart, LiesInTheBoxAroundALabelledJoint) {
  // A joint in each corner region; the third is not labelled, the fourth lies outside the box.
  const pose::Keypoints joints = {{22, 33, 2}, {79, 129, 1}, {50, 60, 0}, {200, 60, 2}};
  std::array<int, 2> around{};
  int small = 0;
  constexpr int kDraws = 1000;
  for (uint64_t sample = 0; sample < kDraws; ++sample) {
    Rng rng(1, 0, sample);
    const pose::Box part = draw_part(kBox, joints, rng);
    EXPECT_TRUE(within(kBox, part.x, part.y) && within(kBox, part.x + part.w, part.y + part.h));
    EXPECT_TRUE(part.w >= 0.3 * kBox.w && part.h >= 0.3 * kBox.h);
    const bool first = within(part, joints[0].x, joints[0].y);
    const bool second = within(part, joints[1].x, joints[1].y);
    EXPECT_TRUE(first || second);
    around[0] += first ? 1 : 0;
    around[1] += second ? 1 : 0;
    small += part.w < 0.5 * kBox.w ? 1 : 0;
  }
  EXPECT_NEAR(around[0], around[1], 0.15 * kDraws);
  EXPECT_NEAR(small, 0.2 / 0.7 * kDraws, 0.05 * kDraws);
}

TEST(DrawPart, WithoutLabelledJointsLiesAnywhereInTheBox) {
  pose::Box met = kBox;  // what all parts share
  for (uint64_t sample = 0; sample < 200; ++sample) {
    Rng rng(2, 0, sample);
    const pose::Box part = draw_part(kBox, {{50, 60, 0}}, rng);
    EXPECT_TRUE(within(kBox, part.x, part.y) && within(kBox, part.x + part.w, part.y + part.h));
    met.x = std::max(met.x, part.x);
    met.w = std::min(met.w, part.x + part.w);  // here: the leftmost right edge
  }
  EXPECT_GT(met.x, met.w);
}

TEST(DrawPart, DrawsTheSameNumberWhateverTheJoints) {
  Rng with(3, 0, 0);
  Rng without(3, 0, 0);
  draw_part(kBox, {{50, 60, 2}, {60, 70, 2}}, with);
  draw_part(kBox, {}, without);
  EXPECT_EQ(with.next_u32(), without.next_u32());
}

}  // namespace
}  // namespace posefix::sample
