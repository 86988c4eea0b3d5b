#include "synthesis/pose_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"

namespace posefix::synthesis {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

pose::Skeleton single_joint() {
  pose::Skeleton skeleton;
  skeleton.name = "one";
  skeleton.joints = {"nose"};
  skeleton.sigmas = {0.05};
  skeleton.error_kinds = {"nose"};
  return skeleton;
}

// The reference's way, with all its candidates, for one joint without a mirror: own place and swaps.
struct Literal {
  std::vector<std::pair<double, double>> places;
  double unit;
  std::array<double, kErrorKinds> chance;

  struct Kept {
    double x, y;
    int source;
  };

  void around(size_t place, double low, double high, int count, bool zones, bool all, Rng& rng,
              std::vector<Kept>& kept) const {
    for (int i = 0; i < count; ++i) {
      const double r = rng.uniform(low, high) * unit;
      const double angle = rng.uniform(0, kTurn);
      const double x = places[place].first + r * std::cos(angle);
      const double y = places[place].second + r * std::sin(angle);
      bool keep = true;
      for (size_t other = 0; other < places.size(); ++other) {
        if (other == place || (!all && other > 0)) continue;
        keep =
            keep && std::hypot(x - places[other].first, y - places[other].second) > (zones ? kRadiusJitter * unit : r);
      }
      if (keep) kept.push_back({x, y, static_cast<int>(place)});
    }
  }

  // The index right after the swap sources does not exist here, so only the own place rejects swaps.
  SynthesisedJoint draw(Rng& rng) const {
    std::array<std::vector<Kept>, kErrorKinds> pools;
    around(0, 0, kRadiusGood, 125, false, true, rng, pools[0]);
    around(0, kRadiusGood, kRadiusJitter, 500, false, true, rng, pools[1]);
    for (size_t i = 1; i < places.size(); ++i) {
      std::vector<Kept> kept;
      around(i, 0, kRadiusJitter, 500, false, false, rng, kept);
      pools[3].insert(pools[3].end(), kept.begin(), kept.end());
    }
    around(0, kRadiusJitter, kRadiusMiss, 2000, true, true, rng, pools[4]);
    for (size_t i = 1; i < places.size(); ++i) {
      std::vector<Kept> kept;
      around(i, kRadiusJitter, kRadiusMiss, 2000, true, true, rng, kept);
      for (size_t n = kept.size() / 4; n-- > 0;) {
        pools[4].push_back(kept[rng.below(static_cast<uint32_t>(kept.size()))]);
      }
    }
    double sum = 0;
    for (size_t kind = 0; kind < kErrorKinds; ++kind) sum += pools[kind].empty() ? 0 : chance[kind];
    double position = rng.uniform() * sum;
    for (size_t kind = 0; kind < kErrorKinds; ++kind) {
      if (pools[kind].empty() || chance[kind] <= 0) continue;
      position -= chance[kind];
      if (position > 0) continue;
      const Kept& kept = pools[kind][rng.below(static_cast<uint32_t>(pools[kind].size()))];
      return {kept.x, kept.y, true, static_cast<ErrorKind>(kind), kept.source};
    }
    return {};
  }
};

struct Statistics {
  std::array<double, kErrorKinds> kinds{};
  std::array<double, 8> sources{};
  double x = 0, y = 0, xx = 0;
  void add(const SynthesisedJoint& joint, int draws) {
    if (!joint.valid) return;
    kinds[static_cast<size_t>(joint.kind)] += 1.0 / draws;
    sources[static_cast<size_t>(joint.source)] += 1.0 / draws;
    x += joint.x / draws;
    y += joint.y / draws;
    xx += joint.x * joint.x / draws;
  }
};

// Crowded places, so that some kinds keep few points or none: the way over free angles.
TEST(PoseErrors, CrowdedPlacesHaveTheLawOfManyCandidates) {
  const pose::Skeleton skeleton = single_joint();
  ErrorModel model = ErrorModel::paper(skeleton);
  for (ErrorRates& rates : model.joints[0].rates) rates = {0.3, 0.3, 0, 0.3};
  const double area = 10000;  // u = 10
  constexpr int kDraws = 700;
  // A ring of neighbours close by; rings of several sizes and a far one.
  for (const double ring : {6.0, 9.0, 13.0, 18.5}) {
    SCOPED_TRACE(ring);
    std::vector<pose::Keypoints> near;
    Literal literal{{{0, 0}}, 10, {0.1, 0.3, 0, 0.3, 0.3}};
    for (int i = 0; i < 6; ++i) {
      const double angle = kTurn * i / 6 + 0.1;
      near.push_back({{ring * std::cos(angle), ring * std::sin(angle), 2}});
      literal.places.emplace_back(near.back()[0].x, near.back()[0].y);
    }
    const pose::Keypoints gt{{0, 0, 2}};
    PoseErrors errors(model, skeleton);
    Statistics own;
    Statistics expected;
    std::vector<SynthesisedJoint> result(1);
    for (int i = 0; i < kDraws; ++i) {
      Rng rng(1, 0, static_cast<uint64_t>(i));
      for (int repeat = 0; repeat < 20; ++repeat) {
        errors.synthesise({gt, {}, near, area, 6}, rng, result);
        own.add(result[0], 20 * kDraws);
      }
      expected.add(literal.draw(rng), kDraws);
    }
    for (size_t kind = 0; kind < kErrorKinds; ++kind) EXPECT_NEAR(own.kinds[kind], expected.kinds[kind], 0.08) << kind;
    for (size_t i = 0; i < own.sources.size(); ++i) EXPECT_NEAR(own.sources[i], expected.sources[i], 0.08) << i;
    EXPECT_NEAR(own.x, expected.x, 1.6);
    EXPECT_NEAR(own.y, expected.y, 1.6);
    EXPECT_NEAR(std::sqrt(own.xx), std::sqrt(expected.xx), 1.0);
  }
}

TEST(PoseErrors, ZonesMeetTheDefinitions) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  ErrorModel model = ErrorModel::paper(skeleton);
  model.rule = PlacementRule::kZones;
  for (JointErrors& joint : model.joints) {
    for (ErrorRates& rates : joint.rates) rates = {0.2, 0.2, 0.2, 0.2};
  }
  PoseErrors errors(model, skeleton);
  std::vector<SynthesisedJoint> result(17);
  std::array<int, kErrorKinds> seen{};
  for (uint64_t i = 0; i < 400; ++i) {
    Rng rng(2, 0, i);
    pose::Keypoints gt;
    std::vector<pose::Keypoints> near(1);
    for (int j = 0; j < 17; ++j) {
      gt.push_back({rng.uniform(0, 100), rng.uniform(0, 200), 2});
      near[0].push_back({rng.uniform(50, 150), rng.uniform(0, 200), 2});
    }
    errors.synthesise({gt, {}, near, 20000, 1}, rng, result);
    const std::vector<int> partner = skeleton.flip_permutation();
    for (size_t j = 0; j < 17; ++j) {
      if (!result[j].valid) continue;
      const auto ks = [&](const pose::Keypoint& place) {
        const double u = 2 * skeleton.sigmas[j] * std::sqrt(20000.0);
        const double d = std::hypot(result[j].x - place.x, result[j].y - place.y) / u;
        return std::exp(-d * d / 2);
      };
      const auto p = static_cast<size_t>(partner[j]);
      const bool inverted = p != j && ks(gt[p]) >= 0.5 - 1e-6;
      const bool swapped = ks(near[0][j]) >= 0.5 - 1e-6 || (p != j && ks(near[0][p]) >= 0.5 - 1e-6);
      const ErrorKind kind = ks(gt[j]) >= 0.85 - 1e-6  ? ErrorKind::kGood
                             : ks(gt[j]) >= 0.5 - 1e-6 ? ErrorKind::kJitter
                             : inverted                ? ErrorKind::kInversion
                             : swapped                 ? ErrorKind::kSwap
                                                       : ErrorKind::kMiss;
      EXPECT_EQ(error_kind_name(kind), error_kind_name(result[j].kind));
      ++seen[static_cast<size_t>(kind)];
    }
  }
  for (const int count : seen) EXPECT_GT(count, 100);
}

TEST(PoseErrors, DegeneratePeople) {
  const pose::Skeleton skeleton = pose::Skeleton::load("posetrack17");
  PoseErrors errors(ErrorModel::paper(skeleton), skeleton);
  std::vector<SynthesisedJoint> result(17);
  const pose::Keypoints same(17, {10, 10, 2});
  const pose::Keypoints absent(17);
  const std::vector<pose::Keypoints> near{same, absent, same};
  for (const double area : {0.0, -1.0, 1e-12, 1e12, 5000.0}) {
    for (uint64_t i = 0; i < 50; ++i) {
      Rng rng(3, 0, i);
      errors.synthesise({same, absent, near, area, 2}, rng, result);
      for (size_t j = 0; j < 17; ++j) {
        EXPECT_EQ(result[j].valid, j != 3 && j != 4);
        EXPECT_TRUE(std::isfinite(result[j].x) && std::isfinite(result[j].y));
      }
      errors.synthesise({absent, {}, near, area, 2}, rng, result);
      for (const SynthesisedJoint& joint : result) EXPECT_FALSE(joint.valid);
      errors.synthesise({absent, same, {}, area, 0}, rng, result);
      EXPECT_TRUE(result[0].valid);
    }
  }
}

TEST(PoseErrors, TheSameGeneratorGivesTheSamePose) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  PoseErrors first(ErrorModel::paper(skeleton), skeleton);
  PoseErrors second(ErrorModel::paper(skeleton), skeleton);
  pose::Keypoints gt;
  for (int j = 0; j < 17; ++j) gt.push_back({3.0 * j, 7.0 * j, 2});
  std::vector<SynthesisedJoint> a(17), b(17);
  for (uint64_t i = 0; i < 30; ++i) {
    Rng rng_a(7, 1, i), rng_b(7, 1, i), other(7, 2, i + 1);
    first.synthesise({gt, {}, {}, 9000, 0}, other, a);  // leaves no trace
    first.synthesise({gt, {}, {}, 9000, 0}, rng_a, a);
    second.synthesise({gt, {}, {}, 9000, 0}, rng_b, b);
    for (size_t j = 0; j < 17; ++j) EXPECT_TRUE(a[j].x == b[j].x && a[j].y == b[j].y && a[j].kind == b[j].kind);
  }
}

TEST(FreeArcs, MeasuresAndFindsDirections) {
  FreeArcs arcs;
  arcs.clear();
  EXPECT_NEAR(arcs.measure(), kTurn, 1e-12);
  // A step of 1 is nearer to a point at distance 1 within 60 degrees of its direction.
  arcs.clear();
  arcs.block_nearer(1, 1, 0.1);
  arcs.block_nearer(1, 1, 0.1 + std::numbers::pi);
  EXPECT_NEAR(arcs.measure(), kTurn / 3, 1e-12);
  for (double position = 0; position < kTurn / 3; position += 0.01) {
    const double angle = arcs.direction(position) - 0.1;
    EXPECT_LE(std::abs(std::cos(angle)), 0.5 + 1e-9);
  }
  arcs.clear();
  arcs.block_disc(1, 0.5, 0, 2);
  EXPECT_EQ(arcs.measure(), 0);
  arcs.clear();
  arcs.block_disc(1, 5, 0, 2);
  EXPECT_NEAR(arcs.measure(), kTurn, 1e-12);
  arcs.clear();
  arcs.block_disc(3, 0, 0, 2);
  EXPECT_NEAR(arcs.measure(), kTurn, 1e-12);
}

class ErrorModelFile : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "errors.json";
  pose::Skeleton skeleton_ = pose::Skeleton::load("coco17");
  std::string complaint() {
    return bad_input_message([&] { ErrorModel::load(path_, skeleton_); });
  }
  void replace_in_file(const std::string& from, const std::string& to) {
    std::string text = read_file(path_);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    write_file_atomically(path_, text.replace(at, from.size(), to));
  }
};

TEST_F(ErrorModelFile, RoundTrip) {
  const ErrorModel model = ErrorModel::paper(skeleton_);
  model.save(path_, skeleton_);
  const ErrorModel back = ErrorModel::load(path_, skeleton_);
  ASSERT_EQ(back.joints.size(), model.joints.size());
  for (size_t j = 0; j < model.joints.size(); ++j) {
    EXPECT_EQ(back.joints[j].distances, model.joints[j].distances);
    for (size_t cell = 0; cell < model.joints[j].rates.size(); ++cell) {
      EXPECT_EQ(back.joints[j].rates[cell].swap, model.joints[j].rates[cell].swap);
      EXPECT_EQ(back.joints[j].rates[cell].miss, model.joints[j].rates[cell].miss);
    }
  }
}

TEST_F(ErrorModelFile, PaperTable) {
  const ErrorModel model = ErrorModel::paper(skeleton_);
  const ErrorRates& crowded_hip = model.joints[11].rates[model.cell(15, 3)];
  EXPECT_EQ(crowded_hip.swap, 0.10);
  EXPECT_EQ(crowded_hip.jitter, 0.20);
  EXPECT_EQ(crowded_hip.miss, 0.10);
  const ErrorRates& alone_nose = model.joints[0].rates[model.cell(5, 0)];
  EXPECT_EQ(alone_nose.swap, 0.01);
  EXPECT_EQ(alone_nose.jitter, 0.15);
  EXPECT_EQ(alone_nose.miss, 0.15);
  EXPECT_EQ(model.joints[7].rates[model.cell(10, 1)].swap, 0.15);
  EXPECT_EQ(model.joints[7].rates[model.cell(11, 2)].swap, 0.06);
  EXPECT_EQ(model.joints[7].rates[model.cell(16, 9)].swap, 0.06);
}

TEST_F(ErrorModelFile, BadFilesAreNamed) {
  using ::testing::HasSubstr;
  write_file_atomically(path_, "{\"format\": ");
  EXPECT_THAT(complaint(), HasSubstr("byte"));
  write_file_atomically(path_, "[1]");
  EXPECT_THAT(complaint(), HasSubstr("format"));
  const ErrorModel model = ErrorModel::paper(skeleton_);
  model.save(path_, skeleton_);
  replace_in_file("left_ankle", "leftankle");
  EXPECT_THAT(complaint(), HasSubstr("leftankle"));
  model.save(path_, skeleton_);
  replace_in_file("\"nearest\"", "\"fastest\"");
  EXPECT_THAT(complaint(), HasSubstr("fastest"));
  model.save(path_, skeleton_);
  replace_in_file("0.06", "1.5");
  EXPECT_THAT(complaint(), HasSubstr("1.5"));
}

}  // namespace
}  // namespace posefix::synthesis
