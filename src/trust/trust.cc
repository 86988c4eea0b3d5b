#include "trust/trust.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace posefix::trust {
namespace {

constexpr double kLeast_px = 0.25;  // below it, distances and spreads are alike

double log_px(double value_px) { return std::log(std::max(value_px, kLeast_px)); }

// "left_wrist" -> "wrist", "l_knee" -> "l_knee".
std::string kind_name(const std::string& joint) {
  for (const std::string_view side : {"left", "right"}) {
    if (!joint.starts_with(side)) continue;
    const size_t begin = joint.find_first_not_of("_- ", side.size());
    if (begin != std::string::npos) return joint.substr(begin);
  }
  return joint;
}

}  // namespace

double logistic(double logit) { return 1 / (1 + std::exp(-logit)); }

double merged_spread(double first_px, double second_px, double apart_px) {
  return std::sqrt((first_px * first_px + second_px * second_px) / 2 + apart_px * apart_px / 4);
}

double Scaling::operator()(double value) const {
  constexpr double kFarthest = 3;
  return std::clamp((value - mean) / deviation, -kFarthest, kFarthest);
}

std::vector<JointKind> joint_kinds(const pose::Skeleton& skeleton) {
  const std::vector<int> partner = skeleton.flip_permutation();
  std::vector<JointKind> kinds;
  for (int joint = 0; joint < skeleton.size(); ++joint) {
    const auto index = static_cast<size_t>(joint);
    if (skeleton.is_ignored(joint) || !(skeleton.sigmas[index] > 0)) continue;
    const auto shares = [&](const JointKind& kind) { return kind.joints.front() == partner[index]; };
    const auto found = std::find_if(kinds.begin(), kinds.end(), shares);
    if (partner[index] != joint && found != kinds.end()) {
      found->joints.push_back(joint);
    } else {
      JointKind& kind = kinds.emplace_back();
      kind.name = partner[index] == joint ? skeleton.joints[index] : kind_name(skeleton.joints[index]);
      kind.joints = {joint};
    }
  }
  return kinds;
}

void Trust::bind(const pose::Skeleton& skeleton) {
  const double side = std::sqrt(static_cast<double>(height * width));
  kind_of_.assign(static_cast<size_t>(skeleton.size()), -1);
  tolerance_px_.assign(kind_of_.size(), 0);
  joint_names_ = skeleton.joints;
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    for (const int joint : kinds[kind].joints) {
      const auto index = static_cast<size_t>(joint);
      PFX_CHECK(index < kind_of_.size());
      kind_of_[index] = static_cast<int>(kind);
      tolerance_px_[index] = 2 * skeleton.sigmas[index] * side;
    }
  }
}

std::array<double, 3> Trust::plain_features(size_t joint, const Evidence& evidence) const {
  const double tolerance = std::log(tolerance_px_[joint]);
  return {log_px(evidence.spread_px) - tolerance, log_px(evidence.moved_px) - tolerance, evidence.score};
}

StepFeatures Trust::step_features(size_t joint, const Evidence& evidence) const {
  const auto [log_spread, log_distance, joint_score] = plain_features(joint, evidence);
  const double moved = distance(log_distance);
  return {1, spread(log_spread), moved, moved * moved, score(joint_score)};
}

double Trust::step(size_t joint, const Evidence& evidence) const {
  const int kind = kind_of_[joint];
  if (kind < 0 || !(evidence.score > 0)) return 1;
  const JointKind& fitted = kinds[static_cast<size_t>(kind)];
  if (!fitted.moves) return 0;
  const StepFeatures features = step_features(joint, evidence);
  double logit = 0;
  for (size_t i = 0; i < features.size(); ++i) logit += fitted.step_weights[i] * features[i];
  return logistic(logit);
}

double Trust::expected_error_px(size_t joint, double spread_px) const {
  const auto above = std::upper_bound(curve_spread_px.begin(), curve_spread_px.end(), spread_px);
  const auto at = static_cast<size_t>(above - curve_spread_px.begin());
  double error = 0;
  if (at == 0) {
    error = curve_error_px.front();
  } else if (at == curve_spread_px.size()) {
    error = curve_error_px.back();
  } else {
    const double share =
        std::log(spread_px / curve_spread_px[at - 1]) / std::log(curve_spread_px[at] / curve_spread_px[at - 1]);
    error = curve_error_px[at - 1] + share * (curve_error_px[at] - curve_error_px[at - 1]);
  }
  const int kind = kind_of_[joint];
  return kind < 0 ? error : error * kinds[static_cast<size_t>(kind)].error_factor;
}

ScoreFeatures Trust::plain_score_features(const Answered& pose) const {
  double joint_score = 0, spread_sum = 0, moved_sum = 0, similarity = 0;
  int count = 0;
  int known = 0;
  for (size_t joint = 0; joint < joints(); ++joint) {
    if (kind_of_[joint] < 0) continue;
    const Evidence evidence = evidence_of(pose, joint);
    const StepFeatures features = step_features(joint, evidence);
    const double error = expected_error_px(joint, evidence.spread_px) / tolerance_px_[joint];
    similarity += std::exp(-error * error / 2);
    spread_sum += features[kSpreadFeature];
    ++count;
    if (!(evidence.score > 0)) continue;
    joint_score += evidence.score;
    moved_sum += features[2];
    ++known;
  }
  const double of_all = 1.0 / std::max(count, 1);
  const double of_known = 1.0 / std::max(known, 1);
  return {1, pose.score, joint_score * of_all, spread_sum * of_all, moved_sum * of_known, similarity * of_all};
}

ScoreFeatures Trust::score_features(const Answered& pose) const {
  ScoreFeatures features = plain_score_features(pose);
  for (size_t i = 1; i < features.size(); ++i) features[i] = score_scaling[i](features[i]);
  return features;
}

double Trust::person_score(const Answered& pose) const {
  const ScoreFeatures features = score_features(pose);
  double logit = 0;
  for (size_t i = 0; i < features.size(); ++i) logit += score_weights[i] * features[i];
  return logistic(logit);
}

Evidence evidence_of(const Answered& pose, size_t joint) {
  const pose::Keypoint& input = (*pose.input)[joint];
  const double moved = std::hypot(pose.answer[2 * joint] - input.x, pose.answer[2 * joint + 1] - input.y);
  return {pose.spread_px[joint], moved * pose.crop_px_per_image_px, input.score};
}

void steps(const Trust& trust, const Answered& pose, std::span<double> steps) {
  for (size_t joint = 0; joint < steps.size(); ++joint) steps[joint] = trust.step(joint, evidence_of(pose, joint));
}

}  // namespace posefix::trust
