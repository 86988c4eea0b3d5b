#include "pose/keypoints.h"

#include <gtest/gtest.h>

namespace posefix::pose {
namespace {

TEST(BoxOfJoints, GrowsAboutTheMiddleAndLeavesIgnoredOut) {
  const Box box = box_of_joints({{10, 20, 1}, {-500, 900, 1}, {30, 60, 0}}, {1}, 1.5);
  EXPECT_DOUBLE_EQ(box.x, 5);
  EXPECT_DOUBLE_EQ(box.y, 10);
  EXPECT_DOUBLE_EQ(box.w, 30);
  EXPECT_DOUBLE_EQ(box.h, 60);
}

TEST(BoxOfJoints, SideOfZeroLengthBecomesTwentyPixels) {
  const Box box = box_of_joints({{7, 7, 1}, {7, 9, 1}}, {});
  EXPECT_DOUBLE_EQ(box.w, 24);
  EXPECT_DOUBLE_EQ(box.x, -5);
  EXPECT_DOUBLE_EQ(box.h, 2.4);
  EXPECT_EQ(box_of_joints({{1, 1, 1}}, {0}).w, 0);
}

TEST(BoxIou, OverlapApartAndEmpty) {
  EXPECT_DOUBLE_EQ(box_iou({0, 0, 2, 2}, {1, 0, 2, 2}), 2.0 / 6);
  EXPECT_DOUBLE_EQ(box_iou({0, 0, 2, 2}, {5, 5, 2, 2}), 0);
  EXPECT_DOUBLE_EQ(box_iou({0, 0, 0, 0}, {0, 0, 0, 0}), 0);
}

}  // namespace
}  // namespace posefix::pose
