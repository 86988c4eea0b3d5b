#include "evaluate/pckh.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "evaluate/paired_people.h"

namespace posefix::evaluate {
namespace {

constexpr const char* kTwoJoints = "joints: [head_top, thorax]\nsigmas: [0.1, 0.1]\n";

dataset::Annotation annotation_at(double x, size_t index) {
  dataset::Annotation annotation;
  annotation.id = static_cast<int64_t>(index + 1);
  annotation.index = index;
  annotation.image_id = 1;
  annotation.num_keypoints = 2;
  annotation.keypoints = {{x, 0, 2}, {x, 50, 2}};
  annotation.head_box = pose::Box{x, 0, 30, 40};
  return annotation;
}

dataset::PoseResult pose_at(double x) {
  dataset::PoseResult result;
  result.image_id = 1;
  result.keypoints = {{x, 0, 1}, {x, 50, 1}};
  return result;
}

TEST(Pckh, HeadSizeIsPartOfTheBoxDiagonal) { EXPECT_DOUBLE_EQ(head_size_of_box(30, 40), 30); }

TEST(Pckh, ThresholdIsInclusiveAndTrunkStaysOutOfTheMean) {
  const pose::Skeleton skeleton = pose::Skeleton::parse(kTwoJoints, "two");
  PckhPerson person;
  person.annotated = {{0, 0, 2}, {0, 0, 2}};
  person.predicted = {{15, 0, 1}, {99, 0, 1}};
  person.head_size = 30;
  EXPECT_EQ(pckh({person}, skeleton, 0.5).mean, 100);
  person.annotated[0].score = 0;
  EXPECT_TRUE(std::isnan(pckh({person}, skeleton, 0.5).mean));
}

TEST(PairedPeople, NearestPoseFirstAndMissingOnesMiss) {
  const pose::Skeleton skeleton = pose::Skeleton::parse(kTwoJoints, "two");
  dataset::CocoAnnotations annotations;
  annotations.joints = 2;
  annotations.images.push_back({1, "a.jpg", 0, 0, 0});
  annotations.image_index[1] = 0;
  for (const double x : {0.0, 100.0, 200.0})
    annotations.annotations.push_back(annotation_at(x, annotations.annotations.size()));
  dataset::PoseResults results;
  results.entries = {pose_at(203), pose_at(1)};
  std::vector<PckhPerson> people = pair_people(annotations, results, skeleton);
  ASSERT_EQ(people.size(), 3u);
  EXPECT_EQ(people[0].predicted[0].x, 1);
  EXPECT_EQ(people[2].predicted[0].x, 203);
  EXPECT_NEAR(pckh(people, skeleton, 0.5).mean, 200.0 / 3, 1e-9);
  annotations.annotations[1].head_box.reset();
  EXPECT_THROW(pair_people(annotations, results, skeleton), Error);
  results.entries[0].image_id = 2;
  EXPECT_THROW(pair_people(annotations, results, skeleton), Error);
}

TEST(PairedPeople, ResultsBecomeFramesOfAVideo) {
  dataset::PosetrackSequence video;
  video.joints = {"head_top", "thorax"};
  video.frames.push_back({1, "a.jpg", {}, {}});
  dataset::PoseResults results;
  results.entries = {pose_at(1), pose_at(2)};
  results.entries[1].image_id = 9;
  results.entries[0].score = 0.25;
  size_t used = 0;
  const dataset::PosetrackSequence sequence = sequence_of(results, video, &used);
  EXPECT_EQ(used, 1u);
  EXPECT_EQ(sequence.frames[0].people[0].scores, (std::vector<double>{0.25, 0.25}));
}

}  // namespace
}  // namespace posefix::evaluate
