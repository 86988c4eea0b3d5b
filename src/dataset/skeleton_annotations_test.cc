#include "dataset/skeleton_annotations.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"

namespace posefix::dataset {
namespace {

using ::testing::HasSubstr;

class SkeletonAnnotationsTest : public ::testing::Test {
 protected:
  // One person with the joints 1, 2, 3... at (10 i, 20 i), v = 2, and a category that names them so.
  void write(const std::vector<std::string>& names, size_t joints) {
    std::vector<std::string> numbers;
    for (size_t i = 1; i <= joints; ++i) numbers.push_back(fmt::format("{},{},2", 10 * i, 20 * i));
    std::vector<std::string> quoted;
    for (const std::string& name : names) quoted.push_back(fmt::format("\"{}\"", name));
    write_file_atomically(
        file_, fmt::format(R"({{"images":[{{"id":1,"file_name":"a.jpg","width":900,"height":900}}],"annotations":[{{)"
                           R"("id":1,"image_id":1,"category_id":1,"bbox":[0,0,9,9],"area":81,"iscrowd":0,)"
                           R"("num_keypoints":{},"keypoints":[{}]}}],"categories":[)"
                           R"({{"id":1,"name":"person","keypoints":[{}]}}]}})",
                           joints, fmt::join(numbers, ","), fmt::join(quoted, ",")));
  }
  std::string error() const {
    return bad_input_message([&] { read_skeleton_annotations(file_, pose::Skeleton::load("coco17")); });
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "annotations.json";
};

TEST_F(SkeletonAnnotationsTest, JointsAreMatchedByNameAndTheOthersAreUnlabelled) {
  write({"r_ankle", "neck", "LShoulder"}, 3);
  const CocoAnnotations read = read_skeleton_annotations(file_, pose::Skeleton::load("coco17"));
  EXPECT_EQ(read.joints, 17);
  const Annotation& person = read.annotations.at(0);
  ASSERT_EQ(person.keypoints.size(), 17U);
  EXPECT_EQ(person.num_keypoints, 2);
  for (size_t j = 0; j < 17; ++j) {
    const double expected_x = j == 16 ? 10 : j == 5 ? 30 : 0;
    EXPECT_EQ(person.keypoints[j].x, expected_x) << j;
    EXPECT_EQ(person.keypoints[j].score, expected_x > 0 ? 2 : 0) << j;
  }
}

TEST_F(SkeletonAnnotationsTest, AFileThatNamesNoJointsIsReadAsItIs) {
  write({}, 17);
  EXPECT_EQ(read_skeleton_annotations(file_, pose::Skeleton::load("coco17")).annotations.at(0).keypoints[2].x, 30);
  write({}, 14);
  EXPECT_THAT(error(), HasSubstr("people of 14 joints, the skeleton coco17 has 17"));
}

TEST_F(SkeletonAnnotationsTest, WithoutASharedJointThereIsNothingToTrainOn) {
  write({"neck", "tail"}, 2);
  EXPECT_THAT(error(), HasSubstr("none of the joints of the skeleton coco17"));
}

}  // namespace
}  // namespace posefix::dataset
