// Two-sample tests of the synthesis against the reference's statistics, tests/golden/synthesis.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>

#include "pose/golden_test_files.h"
#include "synthesis/pose_errors.h"

namespace posefix::synthesis {
namespace {

using nlohmann::json;
constexpr int kDraws = 20000;

pose::Keypoints keypoints_of(const json& rows) {
  pose::Keypoints keypoints;
  for (const json& row : rows) keypoints.push_back({row[0], row[1], row[2]});
  return keypoints;
}

pose::Skeleton skeleton_of(const std::string& dataset) {
  const std::map<std::string, std::string> names{
      {"COCO", "coco17"}, {"PoseTrack", "posetrack17"}, {"MPII", "mpii16_reference"}};
  return pose::Skeleton::load(names.at(dataset));
}

// What was seen of one joint.
struct Tally {
  std::map<std::string, int> count;
  std::map<int, int> miss_source, swap_source;
  std::map<std::string, std::map<std::string, std::vector<double>>> values;  // [kind or "all"][quantity]
};

class Person {
 public:
  explicit Person(const json& golden)
      : skeleton_(skeleton_of(golden["dataset"])),
        gt_(keypoints_of(golden["joints"])),
        estimated_(keypoints_of(golden["estimated"])),
        area_(golden["area"]),
        num_overlap_(golden["num_overlap"]) {
    for (const json& other : golden["near"]) near_.push_back(keypoints_of(other));
  }

  std::vector<Tally> draw(uint64_t seed) const {
    PoseErrors errors(ErrorModel::paper(skeleton_), skeleton_);
    std::vector<Tally> tallies(gt_.size());
    std::vector<SynthesisedJoint> result(gt_.size());
    for (uint64_t i = 0; i < kDraws; ++i) {
      Rng rng(seed, 0, i);
      errors.synthesise({gt_, estimated_, near_, area_, num_overlap_}, rng, result);
      for (size_t j = 0; j < result.size(); ++j) add(result, j, tallies[j]);
    }
    return tallies;
  }

 private:
  void add(const std::vector<SynthesisedJoint>& result, size_t j, Tally& tally) const {
    const SynthesisedJoint& drawn = result[j];
    if (!drawn.valid) {
      ++tally.count["none"];
      return;
    }
    const std::string kind(error_kind_name(drawn.kind));
    ++tally.count[kind];
    if (drawn.kind == ErrorKind::kMiss) ++tally.miss_source[drawn.source];
    if (drawn.kind == ErrorKind::kSwap) ++tally.swap_source[drawn.source];
    const auto sources = sources_of(result, j);
    const double unit = 2 * skeleton_.sigmas[j] * std::sqrt(area_);
    const auto& [own_x, own_y] = sources[0];
    const auto& [at_x, at_y] = sources[static_cast<size_t>(drawn.source)];
    double angle = std::atan2(drawn.y - own_y, drawn.x - own_x);
    if (angle < 0) angle += 2 * std::numbers::pi;
    for (const std::string& group : {kind, std::string("all")}) {
      auto& values = tally.values[group];
      values["dist_gt"].push_back(std::hypot(drawn.x - own_x, drawn.y - own_y) / unit);
      values["dist_source"].push_back(std::hypot(drawn.x - at_x, drawn.y - at_y) / unit);
      values["angle_gt"].push_back(angle);
    }
  }

  std::vector<std::pair<double, double>> sources_of(const std::vector<SynthesisedJoint>& result, size_t j) const {
    std::vector<std::pair<double, double>> sources;
    const pose::Keypoint& own = gt_[j].score > 0 ? gt_[j] : estimated_[j];
    sources.emplace_back(own.x, own.y);
    const auto partner = static_cast<size_t>(skeleton_.flip_permutation()[j]);
    for (const auto& other : near_) {
      if (other[j].score > 0) sources.emplace_back(other[j].x, other[j].y);
    }
    if (partner == j) return sources;
    if (gt_[partner].score > 0) {
      sources.emplace_back(partner < j ? result[partner].x : gt_[partner].x,
                           partner < j ? result[partner].y : gt_[partner].y);
    }
    for (const auto& other : near_) {
      if (other[partner].score > 0) sources.emplace_back(other[partner].x, other[partner].y);
    }
    return sources;
  }

  pose::Skeleton skeleton_;
  pose::Keypoints gt_, estimated_;
  std::vector<pose::Keypoints> near_;
  double area_;
  int num_overlap_;
};

void expect_frequency(double own_count, double own_total, double golden_count, double golden_total) {
  if (golden_total <= 0) {
    EXPECT_EQ(own_count, 0);
    return;
  }
  const double f0 = golden_count / golden_total;
  const double f = own_total > 0 ? own_count / own_total : 0;
  EXPECT_LE(std::abs(f - f0),
            4.5 * std::sqrt(f0 * (1 - f0) * (1 / std::max(1.0, own_total) + 1 / golden_total)) + 0.001)
      << "own frequency " << f << ", golden " << f0;
}

void expect_sources(const json& golden, const std::map<int, int>& own) {
  double golden_total = 0;
  double own_total = 0;
  for (const auto& [source, count] : golden.items()) golden_total += count.get<double>();
  for (const auto& [source, count] : own) own_total += count;
  for (const auto& [source, count] : own) {
    SCOPED_TRACE("source " + std::to_string(source));
    expect_frequency(count, own_total, golden.value(std::to_string(source), 0.0), golden_total);
  }
  for (const auto& [source, count] : golden.items()) {
    if (own.count(std::stoi(source)) == 0) expect_frequency(0, own_total, count, golden_total);
  }
}

void expect_distribution(const json& quantiles, double golden_n, std::vector<double> own) {
  std::sort(own.begin(), own.end());
  const auto n = static_cast<double>(own.size());
  for (size_t level = 1; level + 1 < quantiles.size(); ++level) {
    const double expected = static_cast<double>(level) / static_cast<double>(quantiles.size() - 1);
    const auto below = std::upper_bound(own.begin(), own.end(), quantiles[level].get<double>()) - own.begin();
    EXPECT_LE(std::abs(static_cast<double>(below) / n - expected), 1.95 * std::sqrt(1 / n + 1 / golden_n))
        << "quantile " << expected << ": golden value " << quantiles[level] << ", own CDF there "
        << static_cast<double>(below) / n;
  }
}

TEST(SynthesisGolden, FrequenciesSourcesAndDistributions) {
  uint64_t seed = 100;
  for (const auto& path : pose::golden_files(pose::goldens() / "synthesis", ".json")) {
    SCOPED_TRACE(path.filename());
    const json golden = pose::read_golden(path);
    const std::vector<Tally> tallies = Person(golden).draw(++seed);
    const double golden_draws = golden["draws"];
    for (const json& joint : golden["per_joint"]) {
      const Tally& tally = tallies.at(joint["joint"]);
      SCOPED_TRACE("joint " + joint["joint"].dump());
      if (joint.value("ignored", false)) {
        EXPECT_EQ(tally.count.at("none"), kDraws);
        continue;
      }
      for (const auto& [kind, count] : joint["count"].items()) {
        SCOPED_TRACE(kind);
        const auto own = tally.count.find(kind);
        expect_frequency(own == tally.count.end() ? 0 : own->second, kDraws, count, golden_draws);
      }
      expect_sources(joint["miss_source"], tally.miss_source);
      expect_sources(joint["swap_source"], tally.swap_source);
      for (const auto& [kind, statistics] : joint["quantiles"].items()) {
        const auto own = tally.values.find(kind);
        ASSERT_NE(own, tally.values.end()) << kind;
        for (const auto& [quantity, values] : own->second) {
          SCOPED_TRACE(kind + " " + quantity);
          if (statistics.contains(quantity)) expect_distribution(statistics[quantity], statistics["n"], values);
        }
      }
    }
  }
}

}  // namespace
}  // namespace posefix::synthesis
