// How far each joint moves from the input pose towards the network's answer, and how sure the result is.
//
// A joint goes to input + a * (answer - input). Its step a in [0,1] is a logistic function of what can be seen without
// the truth: the spread of the heat map, the distance moved and the estimator's score. With an input that errs by
// variance v and an answer that errs by variance w, independently, the best step is v / (v + w), whose logit is ln v -
// ln w: linear in the logarithms that are taken here. A wider heat map never gives a longer step. The weights differ
// from one kind of joint to the next (left and right share theirs); fit.h finds them.
// Joints with an input score of 0 or less have no place to start from and take the answer as it is, and so do joints
// without an OKS sigma.
//
// Text form (metadata "posefix.trust"): one JSON object, see trust_text.cc. docs/trust.md explains it to users.
// Non-goals: fitting; pictures and files.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pose/keypoints.h"
#include "pose/skeleton.h"

namespace posefix::trust {

// 1, ln spread, ln distance, its square, score; all but the first scaled.
inline constexpr size_t kStepFeatures = 5;
inline constexpr size_t kSpreadFeature = 1;
// 1, pose score, mean joint score, mean ln spread, mean ln distance, expected OKS; all but the first scaled.
inline constexpr size_t kScoreFeatures = 6;

using StepFeatures = std::array<double, kStepFeatures>;
using ScoreFeatures = std::array<double, kScoreFeatures>;

// What is known of one joint.
struct Evidence {
  double spread_px = 0;  // crop_px, standard deviation of the heat map; see merged_spread
  double moved_px = 0;   // crop_px, from the input to the answer
  double score = 0;      // the estimator's
};

// (value - mean) / deviation, at most 3 from 0: far from what was fitted, nothing is extrapolated.
struct Scaling {
  double mean = 0;
  double deviation = 1;
  double operator()(double value) const;
};

struct JointKind {
  std::string name;             // "wrist"
  std::vector<int> joints;      // left and right, or one
  int64_t labelled = 0;         // joints that it was fitted on
  bool moves = false;           // false: no gain was shown, the joint stays where it is
  StepFeatures step_weights{};  // of the logit
  double error_factor = 1;      // on the error curve
};

// Joints of the skeleton by kind: those of a flip pair together, named without "left" and "right"; in joint order.
// Ignored joints and those without sigma are left out.
std::vector<JointKind> joint_kinds(const pose::Skeleton& skeleton);

// One pose as the network answered it. K joints.
struct Answered {
  const pose::Keypoints* input = nullptr;  // [K] image_px, borrowed
  std::span<const double> answer;          // [K,2] image_px
  std::span<const float> spread_px;        // [K] crop_px
  double crop_px_per_image_px = 1;
  double score = 0;  // of the whole pose
};

class Trust {
 public:
  int64_t height = 0;  // H, of the crop that it was fitted with
  int64_t width = 0;   // W
  bool flip = true;    // fitted with the flip test
  int64_t people = 0;  // that it was fitted on
  Scaling spread;      // ln(spread / tolerance)
  Scaling distance;    // ln(moved / tolerance)
  Scaling score;
  std::vector<JointKind> kinds;
  // Expected error of a joint by its spread, both crop_px: knots, both ascending, at least one.
  std::vector<double> curve_spread_px;
  std::vector<double> curve_error_px;
  std::array<Scaling, kScoreFeatures> score_scaling;  // the first is of no use
  ScoreFeatures score_weights{};                      // of the logit

  // Looks the skeleton's joints up; called once, after the fields above are set.
  void bind(const pose::Skeleton& skeleton);

  // Error (bad input) names `where`, the key, what was expected and found.
  static Trust parse(std::string_view text, const pose::Skeleton& skeleton, const std::string& where);
  std::string text() const;

  // K after bind().
  size_t joints() const { return tolerance_px_.size(); }
  // Position in `kinds`, -1 for a joint that takes the answer as it is.
  int kind_of(size_t joint) const { return kind_of_[joint]; }

  // ln spread and ln distance, both against the joint's tolerance, and score: what the scalings are of.
  std::array<double, 3> plain_features(size_t joint, const Evidence& evidence) const;
  StepFeatures step_features(size_t joint, const Evidence& evidence) const;
  // a in [0,1].
  double step(size_t joint, const Evidence& evidence) const;
  // Mean distance to the truth to be expected, crop_px; rises with the spread.
  double expected_error_px(size_t joint, double spread_px) const;

  ScoreFeatures plain_score_features(const Answered& pose) const;  // before score_scaling
  ScoreFeatures score_features(const Answered& pose) const;
  // OKS to be expected, 0..1.
  double person_score(const Answered& pose) const;

 private:
  std::vector<double> tolerance_px_;  // [K] crop_px, 2 sigma * sqrt(H*W); 0: no sigma
  std::vector<int> kind_of_;          // [K]
  std::vector<std::string> joint_names_;
};

Evidence evidence_of(const Answered& pose, size_t joint);

// The step of every joint, [K]: 1 for joints without input.
void steps(const Trust& trust, const Answered& pose, std::span<double> steps);

// Standard deviation of the mean of two heat maps with these spreads whose means lie `apart_px` from each other.
double merged_spread(double first_px, double second_px, double apart_px);

double logistic(double logit);

}  // namespace posefix::trust
