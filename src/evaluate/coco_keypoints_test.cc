#include "evaluate/coco_keypoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "base/testing/temporary_folder.h"
#include "evaluate/error_diagnosis.h"
#include "evaluate/gain.h"
#include "evaluate/score_reliability.h"
#include "pose/skeleton.h"

namespace posefix::evaluate {
namespace {

using testing::HasSubstr;

constexpr size_t kTestJoints = 17;

// Pictures with a few people each, and detections that are noisy copies of them or of nobody.
struct Scene {
  dataset::CocoAnnotations annotations;
  std::vector<dataset::PoseResult> results;
};

pose::Keypoints shifted(const pose::Keypoints& keypoints, Rng& rng, double sigma_px) {
  pose::Keypoints out = keypoints;
  for (pose::Keypoint& joint : out) {
    joint.x += sigma_px * rng.normal();
    joint.y += sigma_px * rng.normal();
  }
  return out;
}

Scene make_scene(size_t images, double noise_px, uint64_t seed) {
  Scene scene;
  scene.annotations.path = "annotations.json";
  scene.annotations.joints = kTestJoints;
  scene.annotations.has_categories = true;
  scene.annotations.categories.push_back({1, "person", {}});
  Rng people_rng(7, 0, 0);
  Rng rng(seed, 0, 1);
  for (size_t i = 0; i < images; ++i) {
    dataset::AnnotatedImage image;
    image.id = static_cast<int64_t>(100 + i);
    scene.annotations.image_index[image.id] = i;
    scene.annotations.images.push_back(image);
    const uint32_t people = people_rng.below(4);
    for (uint32_t k = 0; k < people; ++k) {
      dataset::Annotation annotation;
      annotation.index = scene.annotations.annotations.size();
      annotation.id = static_cast<int64_t>(annotation.index + 1);
      annotation.image_id = image.id;
      annotation.category_id = 1;
      const double x = people_rng.uniform(0, 400), y = people_rng.uniform(0, 300), size = people_rng.uniform(40, 200);
      annotation.bbox = {x, y, size, size};
      annotation.area = 0.6 * size * size;
      for (size_t j = 0; j < kTestJoints; ++j) {
        annotation.keypoints.push_back(
            {people_rng.uniform(x, x + size), people_rng.uniform(y, y + size), people_rng.uniform() < 0.8 ? 2.0 : 0.0});
        annotation.num_keypoints += annotation.keypoints.back().score > 0;
      }
      dataset::PoseResult result;
      result.image_id = image.id;
      result.category_id = 1;
      result.keypoints = shifted(annotation.keypoints, rng, noise_px);
      result.score = rng.uniform();
      scene.results.push_back(result);
      if (rng.uniform() < 0.3) {
        result.keypoints = shifted(annotation.keypoints, rng, 200);
        result.score = rng.uniform();
        scene.results.push_back(result);
      }
      scene.annotations.annotations.push_back(std::move(annotation));
    }
  }
  return scene;
}

class CocoKeypointsTest : public testing::Test {
 protected:
  Matches match_scene(const Scene& scene, bool groups = false) {
    return match(scene.annotations, detections_of(scene.results, kTestJoints), skeleton_.sigmas, pool_, groups);
  }

  pose::Skeleton skeleton_ = pose::Skeleton::load("coco17");
  ThreadPool pool_{2};
};

void expect_same(const CocoFigures& a, const CocoFigures& b) {
  for (const NamedFigure& figure : kCocoFigures) EXPECT_EQ(a.*figure.value, b.*figure.value) << figure.name;
}

TEST_F(CocoKeypointsTest, OrderOfEntriesDoesNotMatterWhenScoresDiffer) {
  Scene scene = make_scene(60, 6, 1);
  const CocoFigures before = figures(match_scene(scene)).figures;
  EXPECT_GT(before.ap, 0.1);
  EXPECT_LT(before.ap, 0.99);
  Rng rng(3, 0, 0);
  for (size_t i = scene.results.size(); i > 1; --i) {
    std::swap(scene.results[i - 1], scene.results[rng.below(static_cast<uint32_t>(i))]);
  }
  std::vector<dataset::Annotation>& people = scene.annotations.annotations;
  for (size_t i = people.size(); i > 1; --i) std::swap(people[i - 1], people[rng.below(static_cast<uint32_t>(i))]);
  expect_same(before, figures(match_scene(scene)).figures);
}

TEST_F(CocoKeypointsTest, AnnotationsThemselvesArePerfect) {
  const Scene scene = make_scene(40, 0, 1);
  Scene perfect = scene;
  std::erase_if(perfect.results, [&](const dataset::PoseResult& result) {
    return std::none_of(scene.annotations.annotations.begin(), scene.annotations.annotations.end(),
                        [&](const dataset::Annotation& a) { return a.keypoints[0].x == result.keypoints[0].x; });
  });
  EXPECT_NEAR(figures(match_scene(perfect)).figures.ap, 1, 1e-12);
}

TEST_F(CocoKeypointsTest, WeightsCountPicturesOftenOrNotAtAll) {
  const Scene scene = make_scene(30, 6, 2);
  const Matches matches = match_scene(scene);
  std::vector<uint32_t> weights(30, 1);
  expect_same(figures(matches).figures, figures(matches, weights).figures);
  // A slice equals the evaluation of its pictures alone.
  Scene half = scene;
  for (size_t i = 15; i < 30; ++i) weights[i] = 0;
  half.annotations.images.resize(15);
  std::erase_if(half.annotations.annotations, [](const dataset::Annotation& a) { return a.image_id >= 115; });
  std::erase_if(half.results, [](const dataset::PoseResult& r) { return r.image_id >= 115; });
  expect_same(figures(match_scene(half)).figures, figures(matches, weights).figures);
}

TEST_F(CocoKeypointsTest, RefusesWhatWouldBeWrong) {
  const auto message = [&](const Scene& scene) {
    try {
      match_scene(scene);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  Scene scene = make_scene(10, 6, 1);
  scene.results[2].image_id = 5;
  EXPECT_THAT(message(scene), HasSubstr("/2/image_id: annotations.json lists no image 5"));
  scene = make_scene(10, 6, 1);
  scene.annotations.annotations[3].id = 1;
  EXPECT_THAT(message(scene), HasSubstr("/annotations/3/id: annotation id 1 occurs twice"));
  scene = make_scene(10, 6, 1);
  scene.annotations.joints = 14;
  EXPECT_THAT(message(scene), HasSubstr("annotations of 14 joints, but the skeleton has 17"));
}

// Slots that no data set fills (sigma 0) count for nothing, whatever stands in them.
TEST_F(CocoKeypointsTest, JointsWithoutSigmaAreLeftOut) {
  Scene scene = make_scene(20, 6, 1);
  skeleton_ = pose::Skeleton::load("posetrack17");
  const CocoFigures before = figures(match_scene(scene, true)).figures;
  for (dataset::PoseResult& result : scene.results) result.keypoints[3].x += 5000;
  for (dataset::Annotation& annotation : scene.annotations.annotations) annotation.keypoints[4].score = 2;
  const CocoFigures after = figures(match_scene(scene)).figures;
  EXPECT_EQ(before.ap, after.ap);
  EXPECT_GT(before.ap, 0.1);
}

TEST_F(CocoKeypointsTest, GainIntervalsHoldTheGainAndDependOnTheSeedAlone) {
  const Scene before = make_scene(80, 8, 1);
  const Scene after = make_scene(80, 4, 2);
  const Matches a = match_scene(before), b = match_scene(after);
  const double gain = figures(b).figures.ap - figures(a).figures.ap;
  const auto intervals = gain_intervals(a, b, {100, 1}, pool_);
  EXPECT_GT(gain, 0.05);
  EXPECT_LT(intervals[0].low, gain);
  EXPECT_GT(intervals[0].high, gain);
  EXPECT_GT(intervals[0].low, 0);
  ThreadPool one(1);
  const auto again = gain_intervals(a, b, {100, 1}, one);
  for (size_t i = 0; i < intervals.size(); ++i) {
    if (std::isnan(intervals[i].low)) continue;
    EXPECT_EQ(intervals[i].low, again[i].low);
    EXPECT_EQ(intervals[i].high, again[i].high);
  }
  const auto nothing = gain_intervals(a, a, {20, 1}, pool_);
  EXPECT_EQ(nothing[0].low, 0);
  EXPECT_EQ(nothing[0].high, 0);
}

TEST_F(CocoKeypointsTest, JointSimilarityRisesWithLessNoise) {
  const auto similarity = [&](const Scene& scene) {
    const Detections detections = detections_of(scene.results, kTestJoints);
    return joint_similarity(scene.annotations, detections,
                            match(scene.annotations, detections, skeleton_.sigmas, pool_, true), skeleton_.sigmas);
  };
  const JointSimilarity before = similarity(make_scene(80, 8, 1)), after = similarity(make_scene(80, 2, 1));
  for (size_t j = 0; j < kTestJoints; ++j) EXPECT_GT(after.mean(j), before.mean(j)) << j;
  const std::vector<Interval> intervals = joint_gain_intervals(before, after, {50, 1}, pool_);
  ASSERT_EQ(intervals.size(), kTestJoints);
  EXPECT_GT(intervals[9].low, 0);
}

TEST_F(CocoKeypointsTest, DiagnosisNamesTheErrorThatWasMade) {
  Scene scene = make_scene(60, 0, 1);
  std::erase_if(scene.results, [&](const dataset::PoseResult& result) {
    return std::none_of(scene.annotations.annotations.begin(), scene.annotations.annotations.end(),
                        [&](const dataset::Annotation& a) { return a.keypoints[0].x == result.keypoints[0].x; });
  });
  for (dataset::PoseResult& result : scene.results) std::swap(result.keypoints[9], result.keypoints[10]);  // wrists
  const ErrorDiagnosis diagnosis =
      diagnose_errors(scene.annotations, detections_of(scene.results, kTestJoints), skeleton_, pool_);
  EXPECT_GT(diagnosis.joints[static_cast<size_t>(JointState::kInversion)], 20u);
  EXPECT_GT(diagnosis.cost[static_cast<size_t>(JointState::kInversion)],
            diagnosis.cost[static_cast<size_t>(JointState::kJitter)]);
  EXPECT_GT(diagnosis.cost[static_cast<size_t>(JointState::kInversion)], 0.02);
  EXPECT_EQ(diagnosis.false_negatives, 0u);
}

TEST_F(CocoKeypointsTest, ReliabilityBinsCoverAllPoses) {
  size_t poses = 0;
  double last = -1;
  for (const ReliabilityBin& bin : score_reliability(match_scene(make_scene(60, 6, 1)))) {
    poses += bin.detections;
    EXPECT_GE(bin.mean_score, last);
    last = bin.mean_score;
  }
  EXPECT_GT(poses, 60u);
}

// Entries whose strings look like borders between entries, cut anywhere.
TEST(Detections, ReadInPartsEqualsReadAtOnce) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "parts.json";
  std::string text = "[";
  for (int i = 0; i < 12000; ++i) {
    text += i == 0 ? "" : i % 3 == 0 ? " ,\n " : ",";
    text += fmt::format(
        "{{\"image_id\":{},\"n\":\"}}, {{\",\"l\":[{{}},{{\"a\":1}} , {{}}],\"category_id\":1,"
        "\"keypoints\":[{},{}.5,1],\"score\":0.{}}}",
        i / 7, i, i, i);
  }
  text += "]\n";
  write_file_atomically(path, text);
  ThreadPool one(1), two(2), five(5);
  const Detections expected = read_detections(path, 0, one);
  ASSERT_EQ(expected.size(), 12000u);
  for (ThreadPool* pool : {&two, &five}) {
    const Detections read = read_detections(path, 0, *pool);
    ASSERT_EQ(read.size(), expected.size());
    EXPECT_EQ(read.image_id, expected.image_id);
    EXPECT_EQ(read.score, expected.score);
    EXPECT_EQ(read.area, expected.area);
    for (size_t i = 0; i < read.size(); ++i) ASSERT_EQ(read.pose[i][1], expected.pose[i][1]);
  }
  // An error near the end names its place whatever the number of threads.
  text.replace(text.rfind("\"score\":"), 8, "\"sco\":");
  write_file_atomically(path, text);
  try {
    read_detections(path, 0, five);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/11999: "));
  }
}

}  // namespace
}  // namespace posefix::evaluate
