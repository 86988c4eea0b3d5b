#include "evaluate/gain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "base/rng.h"

namespace posefix::evaluate {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// How often each of `images` pictures is drawn in draw number `draw`.
std::vector<uint32_t> draw_weights(size_t images, uint64_t seed, int draw) {
  Rng rng(seed, 0, static_cast<uint64_t>(draw));
  std::vector<uint32_t> weights(images, 0);
  for (size_t i = 0; i < images; ++i) ++weights[rng.below(static_cast<uint32_t>(images))];
  return weights;
}

// The middle 95%, by the nearest rank.
Interval middle(std::vector<double> values) {
  if (values.empty() || std::any_of(values.begin(), values.end(), [](double value) { return std::isnan(value); })) {
    return {kNone, kNone};
  }
  std::sort(values.begin(), values.end());
  const auto last = static_cast<double>(values.size() - 1);
  return {values[static_cast<size_t>(std::lround(0.025 * last))],
          values[static_cast<size_t>(std::lround(0.975 * last))]};
}

}  // namespace

std::array<Interval, 10> gain_intervals(const Matches& before, const Matches& after, const BootstrapOptions& options,
                                        ThreadPool& pool) {
  PFX_CHECK(before.image_ids == after.image_ids);
  std::array<std::vector<double>, 10> gains;
  for (std::vector<double>& values : gains) values.assign(static_cast<size_t>(options.draws), kNone);
  pool.parallel_for(options.draws, 1, [&](int64_t begin, int64_t end) {
    for (int64_t draw = begin; draw < end; ++draw) {
      const std::vector<uint32_t> weights = draw_weights(before.image_ids.size(), options.seed, static_cast<int>(draw));
      const CocoFigures a = figures(before, weights).figures;
      const CocoFigures b = figures(after, weights).figures;
      for (size_t i = 0; i < gains.size(); ++i) {
        const double first = a.*kCocoFigures[i].value, second = b.*kCocoFigures[i].value;
        if (first >= 0 && second >= 0) gains[i][static_cast<size_t>(draw)] = second - first;
      }
    }
  });
  std::array<Interval, 10> intervals;
  for (size_t i = 0; i < gains.size(); ++i) intervals[i] = middle(std::move(gains[i]));
  return intervals;
}

double JointSimilarity::mean(size_t joint) const {
  double total = 0;
  double labelled = 0;
  for (size_t i = joint; i < sum.size(); i += joints) {
    total += sum[i];
    labelled += count[i];
  }
  return labelled > 0 ? total / labelled : kNone;
}

JointSimilarity joint_similarity(const dataset::CocoAnnotations& annotations, const Detections& detections,
                                 const Matches& matches, std::span<const double> sigmas) {
  std::unordered_map<int64_t, size_t> detection_of;  // annotation id -> detection that matched it at 0.5
  for (const GroupMatches& group : matches.groups) {
    for (size_t d = 0; d < group.detections.size(); ++d) {
      if (group.match[0][d] != 0 && !group.ignored[0][d]) detection_of[group.match[0][d]] = group.detections[d];
    }
  }
  JointSimilarity similarity;
  similarity.joints = sigmas.size();
  similarity.sum.assign(matches.image_ids.size() * sigmas.size(), 0);
  similarity.count.assign(similarity.sum.size(), 0);
  for (const dataset::Annotation& annotation : annotations.annotations) {
    if (annotation.iscrowd || annotation.num_keypoints == 0) continue;
    const auto image = std::lower_bound(matches.image_ids.begin(), matches.image_ids.end(), annotation.image_id);
    if (image == matches.image_ids.end() || *image != annotation.image_id) continue;
    const size_t row = static_cast<size_t>(image - matches.image_ids.begin()) * sigmas.size();
    const auto found = detection_of.find(annotation.id);
    const double* pose = found == detection_of.end() ? nullptr : detections.pose[found->second];
    for (size_t j = 0; j < sigmas.size(); ++j) {
      if (!(annotation.keypoints[j].score > 0)) continue;
      ++similarity.count[row + j];
      if (pose == nullptr) continue;
      const double dx = pose[j] - annotation.keypoints[j].x;
      const double dy = pose[sigmas.size() + j] - annotation.keypoints[j].y;
      const double variance = 4 * sigmas[j] * sigmas[j] * (annotation.area + std::numeric_limits<double>::epsilon());
      similarity.sum[row + j] += std::exp(-(dx * dx + dy * dy) / (2 * variance));
    }
  }
  return similarity;
}

std::vector<Interval> joint_gain_intervals(const JointSimilarity& before, const JointSimilarity& after,
                                           const BootstrapOptions& options, ThreadPool& pool) {
  PFX_CHECK(before.joints == after.joints && before.sum.size() == after.sum.size() && before.joints > 0);
  const size_t joints = before.joints;
  const size_t images = before.sum.size() / joints;
  std::vector<std::vector<double>> gains(joints, std::vector<double>(static_cast<size_t>(options.draws), kNone));
  pool.parallel_for(options.draws, 8, [&](int64_t begin, int64_t end) {
    std::vector<double> gain(joints), labelled(joints);
    for (int64_t draw = begin; draw < end; ++draw) {
      const std::vector<uint32_t> weights = draw_weights(images, options.seed, static_cast<int>(draw));
      std::fill(gain.begin(), gain.end(), 0);
      std::fill(labelled.begin(), labelled.end(), 0);
      for (size_t i = 0; i < images; ++i) {
        for (size_t j = 0; weights[i] > 0 && j < joints; ++j) {
          gain[j] += weights[i] * (after.sum[i * joints + j] - before.sum[i * joints + j]);
          labelled[j] += weights[i] * static_cast<double>(before.count[i * joints + j]);
        }
      }
      for (size_t j = 0; j < joints; ++j) {
        if (labelled[j] > 0) gains[j][static_cast<size_t>(draw)] = gain[j] / labelled[j];
      }
    }
  });
  std::vector<Interval> intervals;
  intervals.reserve(gains.size());
  for (std::vector<double>& values : gains) intervals.push_back(middle(std::move(values)));
  return intervals;
}

}  // namespace posefix::evaluate
