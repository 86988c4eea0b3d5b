#include "refine/before_after.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace posefix::refine {
namespace {

using ::testing::HasSubstr;

TEST(BeforeAfter, SaysWhatChanged) {
  const pose::Keypoints a{{10, 10, 0.5}, {20, 10, 0}};
  const pose::Keypoints b{{30, 30, 0.5}, {40, 30, 0.5}};
  const std::vector<Person> people{{1, &a, {}, 1}, {1, &b, {}, 1}, {0, &b, {}, 1}};
  Refined refined;
  refined.joints = 2;
  refined.coords_image_px = {13, 14, 50, 50, 30, 30, 40, 30, 30, 31, 40, 30};
  refined.kept = {1, 0, 1};
  const std::vector<PictureChange> changes = picture_changes(refined, people, 3);
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(changes[1].suppressed, 1U);
  EXPECT_DOUBLE_EQ(changes[1].mean_move_px, 5);  // the joint without a score does not count
  EXPECT_EQ(changes[1].before[1].label, "duplicate");
  EXPECT_EQ(changes[1].after[0].color, changes[1].before[0].color);
  EXPECT_EQ(changes[1].caption_before(), "before: 2 poses");
  EXPECT_EQ(changes[1].caption_after(), "after: 1 pose, moved 5.0 px on average (5.0 at most), 1 duplicate removed");
  EXPECT_DOUBLE_EQ(changes[0].mean_move_px, 0.5);
  EXPECT_EQ(changes[2].caption_after(), "after: 0 poses");
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
}  // namespace posefix::refine
