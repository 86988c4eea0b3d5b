#include "train/target.h"

#include <gtest/gtest.h>

#include <vector>

namespace posefix::train {
namespace {

std::vector<float> map_of(float x, float y) {
  std::vector<float> map(12);
  const std::vector<float> coords{x, y};
  bilinear_one_hot(coords, {3, 4, 4}, std::span<float>(map));
  return map;
}

TEST(Target, SplitsBetweenFourCells) {
  // x = 1.25 cells, y = 0.5 cells
  EXPECT_EQ(map_of(5, 2), (std::vector<float>{0, 0.375, 0.125, 0, 0, 0.375, 0.125, 0, 0, 0, 0, 0}));
}

TEST(Target, DropsCellsBeyondTheMapAndRenormalises) {
  EXPECT_EQ(map_of(13, 8), (std::vector<float>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(map_of(16, 8), (std::vector<float>(12, 0)));  // exactly at the width: nothing is left
}

TEST(Target, ExtrapolatesToTheLeft) {
  EXPECT_EQ(map_of(-4, 0), (std::vector<float>{2, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace posefix::train
