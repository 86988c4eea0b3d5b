#include "report/before_after.h"

#include <gtest/gtest.h>

namespace posefix::report {
namespace {

TEST(BeforeAfter, SaysWhatChanged) {
  const pose::Keypoints a{{10, 10, 0.5}, {20, 10, 0}};
  const pose::Keypoints a_after{{13, 14, 1}, {50, 50, 1}};
  const pose::Keypoints b{{30, 30, 0.5}, {40, 30, 0.5}};
  const PosePair pairs[] = {{&b, nullptr}, {&a, &a_after}};
  const PictureChange change = change_of(pairs);
  EXPECT_EQ(change.removed, 1U);
  EXPECT_DOUBLE_EQ(change.mean_move_px, 5);  // the joint without a score does not count
  EXPECT_EQ(change.before[1].label, "duplicate");
  ASSERT_EQ(change.after.size(), 1U);
  EXPECT_EQ(change.after[0].color, change.before[0].color);
  EXPECT_EQ(change.after[0].keypoints[1].score, 0);
  EXPECT_EQ(change.caption_before(), "before: 2 poses");
  EXPECT_EQ(change.caption_after(), "after: 1 pose, joints moved 5.0 px (most 5), 1 duplicate removed");
  EXPECT_EQ(change_of({}).caption_after(), "after: 0 poses");
}

TEST(BeforeAfter, EnlargesSmallPictures) {
  pose::Skeleton skeleton;
  skeleton.joints = {"a", "b"};
  skeleton.limbs = {{0, 1}};
  const image::Image picture{60, 40, std::vector<uint8_t>(60 * 40 * 3, 90)};
  const image::Image panel = before_after(picture, skeleton, {});
  EXPECT_GE(panel.width, 960);
  EXPECT_GE(panel.height, 320);
}

}  // namespace
}  // namespace posefix::report
