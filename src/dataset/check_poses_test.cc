#include "dataset/check_poses.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/testing/temporary_folder.h"
#include "dataset/check_pictures.h"

namespace posefix::dataset {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// One person of one joint in each of 20 pictures.
CocoAnnotations twenty_people() {
  CocoAnnotations set;
  set.joints = 1;
  for (int64_t id = 0; id < 20; ++id) {
    set.image_index[id] = set.images.size();
    set.images.push_back({id, fmt::format("p{}.jpg", id), 100, 100});
    Annotation person;
    person.id = person.image_id = id;
    person.bbox = {10, 10, 50, 50};
    person.area = 2500;
    person.num_keypoints = 1;
    person.keypoints = {{30, 30, 2}};
    set.annotations.push_back(person);
  }
  return set;
}

PoseResults poses_of(const CocoAnnotations& set, size_t people) {
  PoseResults poses;
  for (size_t i = 0; i < people; ++i) {
    PoseResult pose;
    pose.image_id = set.annotations[i % set.annotations.size()].image_id;
    pose.keypoints = {{30, 30, 1}};
    pose.bbox = set.annotations[0].bbox;
    poses.entries.push_back(pose);
  }
  return poses;
}

// Estimators miss people; a file of another set or one that was cut short lacks more.
TEST(CheckTrainSetPoses, AFewMissedPeopleAreAWarningManyAnError) {
  const CocoAnnotations set = twenty_people();
  for (const size_t people : {17, 18, 19, 20, 21, 22, 23}) {
    CheckReport report;
    check_train_set_poses(poses_of(set, people), set, report);
    const size_t off = people < 20 ? 20 - people : people - 20;
    EXPECT_EQ(report.errors(), off > 2 ? off : 0) << people;
    EXPECT_EQ(report.warnings(), off == 1 || off == 2) << people;
  }
  CheckReport report;
  check_train_set_poses(poses_of(set, 18), set, report);
  EXPECT_THAT(report.text(), HasSubstr("2 of 20 people to train on have no pose"));
  EXPECT_THAT(report.text(), HasSubstr("image 18 (p18.jpg) has 0 poses for 1 people"));
}

TEST(CheckPictures, SaysWhereTheMissingPicturesLie) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "train");
  const CocoAnnotations set = twenty_people();
  for (const AnnotatedImage& image : set.images) std::ofstream(folder / "train" / image.file_name) << "x";
  const PictureProbe probe = [](const std::filesystem::path&, bool) { return PictureFacts{100, 100, 1, "JPEG", {}}; };
  ThreadPool pool(2);
  CheckReport right;
  check_pictures(set, folder / "train", probe, false, pool, right);
  EXPECT_THAT(right.groups(), IsEmpty());
  CheckReport wrong;
  check_pictures(set, folder.path(), probe, false, pool, wrong);
  EXPECT_EQ(wrong.errors(), 20U);
  EXPECT_THAT(wrong.first_errors(), HasSubstr("it lies in " + (folder / "train").string()));
}

}  // namespace
}  // namespace posefix::dataset
