#include "report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace posefix::report {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

dataset::PoseResult result(int64_t image_id, double score, double x = 0) {
  dataset::PoseResult pose;
  pose.image_id = image_id;
  pose.category_id = 1;
  pose.score = score;
  pose.keypoints = {{x, 10, 1}, {x + 20, 40, 1}};
  return pose;
}

TEST(Comparison, PairsResultsWithTheEntriesTheyCameFrom) {
  dataset::PoseResults before;
  before.entries = {result(1, 0.5), result(1, 0.5), result(2, 0.123456), result(1, 0.7), result(2, 0.9)};
  dataset::PoseResults after;
  after.entries = {result(1, 0.5), result(1, 0.7), result(2, 0.1235)};
  EXPECT_THAT(pair_results(before, after),
              ElementsAre(Optional(0U), std::nullopt, Optional(2U), Optional(1U), std::nullopt));
  after.entries.push_back(result(2, 0.8));
  EXPECT_THROW(pair_results(before, after), Error);
}

TEST(Comparison, TakesTheNearestPoseOfEveryLabelledPerson) {
  dataset::CocoAnnotations annotations;
  annotations.joints = 2;
  annotations.categories = {{1, "person", {}}};
  annotations.has_categories = true;
  annotations.images = {{1, "a.jpg"}, {2, "b.jpg"}};
  annotations.image_index = {{1, 0}, {2, 1}};
  const auto person = [&](int64_t id, double x, int labelled, bool crowd) {
    dataset::Annotation annotation;
    annotation.id = id;
    annotation.image_id = 1;
    annotation.category_id = 1;
    annotation.bbox = {x, 10, 20, 30};
    annotation.area = 600;
    annotation.num_keypoints = labelled;
    annotation.iscrowd = crowd;
    annotation.keypoints = {{x, 10, 2}, {x + 20, 40, 2}};
    annotations.annotations.push_back(annotation);
  };
  person(1, 500, 0, false);
  person(2, 100, 2, false);
  person(3, 900, 2, false);
  person(4, 300, 2, true);
  ThreadPool pool(1);
  const std::vector<double> sigmas{0.1, 0.1};
  const evaluate::Detections detections = evaluate::detections_of({result(1, 0.4, 600), result(1, 0.9, 100)}, 2);
  const std::map<int64_t, PeopleFound> found = people_found(annotations, detections, sigmas, pool);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.at(1).people, 2U);
  EXPECT_NEAR(found.at(1).mean_oks, 0.5, 1e-9);
}

}  // namespace
}  // namespace posefix::report
