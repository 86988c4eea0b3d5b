#include "synthesis/error_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "synthesis/pose_errors.h"

namespace posefix::synthesis {
namespace {

// A crowd of people of random poses, some joints not labelled, some beside another person.
struct Crowd {
  struct Person {
    pose::Keypoints gt;
    std::vector<pose::Keypoints> near;
    double area;
  };
  std::vector<Person> people;

  explicit Crowd(int count) {
    for (uint64_t i = 0; i < static_cast<uint64_t>(count); ++i) {
      Rng rng(11, 0, i);
      Person person;
      person.area = rng.uniform(5000, 50000);
      person.gt = pose(rng);
      for (uint32_t other = rng.below(3); other > 0; --other) person.near.push_back(pose(rng));
      people.push_back(std::move(person));
    }
  }
  static pose::Keypoints pose(Rng& rng) {
    pose::Keypoints joints;
    for (int j = 0; j < 17; ++j) {
      joints.push_back({rng.uniform(0, 300), rng.uniform(0, 500), rng.uniform() < 0.15 ? 0.0 : 2.0});
    }
    return joints;
  }
};

ErrorFit measure(const Crowd& crowd, const ErrorModel& model, const pose::Skeleton& skeleton, uint64_t seed) {
  PoseErrors errors(model, skeleton);
  ErrorFit fit(skeleton);
  std::vector<SynthesisedJoint> drawn(17);
  pose::Keypoints detected(17);
  for (size_t i = 0; i < crowd.people.size(); ++i) {
    const Crowd::Person& person = crowd.people[i];
    Rng rng(seed, 0, i);
    errors.synthesise({person.gt, {}, person.near, person.area, static_cast<int>(person.near.size())}, rng, drawn);
    for (size_t j = 0; j < 17; ++j) detected[j] = {drawn[j].x, drawn[j].y, drawn[j].valid ? 1.0 : 0.0};
    fit.add({person.gt, detected, person.near, person.area});
  }
  return fit;
}

void expect_rate(double a, double b, double n) {
  EXPECT_NEAR(a, b, 4.5 * std::sqrt(std::max(a, b) * (1 - std::min(a, b)) * 2 / n) + 0.003);
}

TEST(ErrorFit, FitSampleFitReturnsTheTable) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  const Crowd crowd(6000);
  ErrorModel truth = ErrorModel::paper(skeleton);
  truth.rule = PlacementRule::kZones;
  for (size_t j = 0; j < 17; ++j) {
    for (ErrorRates& rates : truth.joints[j].rates) rates = {0.1 + 0.01 * static_cast<double>(j), 0.08, 0.12, 0.15};
    truth.joints[j].distances[static_cast<size_t>(ErrorKind::kMiss)] = {kRadiusJitter, 1.5, 2, 3, 6};
    truth.joints[j].distances[static_cast<size_t>(ErrorKind::kGood)] = {0, 0.1, 0.2, kRadiusGood};
  }
  const ErrorModel first = measure(crowd, truth, skeleton, 1).model();
  const ErrorModel second = measure(crowd, first, skeleton, 2).model();
  for (size_t j = 0; j < 17; ++j) {
    SCOPED_TRACE(skeleton.joints[j]);
    const bool paired = skeleton.flip_permutation()[j] != static_cast<int>(j);
    // All cells hold the same rates here, and rare ones the pooled rates.
    for (const size_t cell : {first.cell(14, 1), first.cell(15, 0), first.cell(1, 5)}) {
      const double n = cell == first.cell(1, 5) ? 6000 : 900;
      const ErrorRates& a = first.joints[j].rates[cell];
      const ErrorRates& b = second.joints[j].rates[cell];
      const ErrorRates& t = truth.joints[j].rates[cell];
      const double left = paired ? 1 : 1 / (1 - t.inversion);  // without a mirror the others share its part
      expect_rate(a.jitter, b.jitter, n);
      expect_rate(a.miss, b.miss, n);
      expect_rate(a.inversion, b.inversion, n);
      expect_rate(a.swap, b.swap, n);
      if (cell == first.cell(15, 0)) continue;  // nobody near: no swap seen
      expect_rate(a.jitter, left * t.jitter, n);
      expect_rate(a.miss, left * t.miss, n);
      expect_rate(a.inversion, paired ? t.inversion : 0, n);
      expect_rate(a.swap, left * t.swap, n);
    }
    for (const ErrorKind kind : {ErrorKind::kGood, ErrorKind::kJitter, ErrorKind::kMiss}) {
      const auto& a = first.joints[j].distances[static_cast<size_t>(kind)];
      const auto& b = second.joints[j].distances[static_cast<size_t>(kind)];
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 2; i + 2 < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 0.05 + 0.2 * a[i]);
    }
  }
}

TEST(ErrorFit, KindsByTheirDefinition) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  const std::vector<int> partner = skeleton.flip_permutation();
  pose::Keypoints gt(17, {0, 0, 0});
  gt[9] = {100, 100, 2};   // left wrist
  gt[10] = {200, 100, 1};  // right wrist
  std::vector<pose::Keypoints> near(1, pose::Keypoints(17, {0, 0, 0}));
  near[0][9] = {100, 200, 2};
  const double area = 10000;
  const double unit = 2 * skeleton.sigmas[9] * 100;
  const auto observed = [&](double x, double y) {
    pose::Keypoints detected(17, {0, 0, 0});
    detected[9] = {x, y, 0.3};
    return observe_joint({gt, detected, near, area}, skeleton, 9, partner);
  };
  EXPECT_EQ(observed(100 + 0.5 * unit, 100).kind, ErrorKind::kGood);
  EXPECT_NEAR(observed(100 + 0.5 * unit, 100).distance, 0.5, 1e-12);
  EXPECT_EQ(observed(100 + 0.6 * unit, 100).kind, ErrorKind::kJitter);
  EXPECT_EQ(observed(200, 100 + unit).kind, ErrorKind::kInversion);
  EXPECT_NEAR(observed(200, 100 + unit).distance, 1, 1e-12);
  EXPECT_EQ(observed(100, 200 - unit).kind, ErrorKind::kSwap);
  EXPECT_EQ(observed(100, 150).kind, ErrorKind::kMiss);
  EXPECT_TRUE(observed(100, 150).can_swap && observed(100, 150).can_invert);
  gt[9].score = 0;
  EXPECT_FALSE(observed(100, 100).counted);
}

TEST(ErrorFit, MatchesPeopleByScoreAndSimilarity) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  pose::Keypoints a(17), b(17), far(17);
  for (size_t j = 0; j < 17; ++j) {
    a[j] = {10.0 * static_cast<double>(j), 50, 2};
    b[j] = {10.0 * static_cast<double>(j), 300, 2};
    far[j] = {5000, 5000, 1};
  }
  const std::vector<Annotated> people{{&a, {0, 0, 160, 100}}, {&b, {0, 250, 160, 100}}};
  const std::vector<Detection> detections{{&b, {0, 250, 160, 100}, 0.2},
                                          {&far, {5000, 5000, 1, 1}, 0.9},
                                          {&a, {0, 0, 160, 100}, 0.5},
                                          {&a, {0, 0, 160, 100}, 0.6}};
  EXPECT_EQ(match_people(people, detections, skeleton), (std::vector<int>{3, 0}));
  EXPECT_EQ(match_people(people, {}, skeleton), (std::vector<int>{-1, -1}));
}

TEST(ErrorFit, NothingSeenGivesATableOfGoodJoints) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  const ErrorModel model = ErrorFit(skeleton).model();
  for (const JointErrors& joint : model.joints) {
    for (const ErrorRates& rates : joint.rates) EXPECT_EQ(rates.jitter + rates.miss + rates.inversion + rates.swap, 0);
    for (const auto& quantiles : joint.distances) EXPECT_EQ(quantiles.size(), 2U);
  }
}

}  // namespace
}  // namespace posefix::synthesis
