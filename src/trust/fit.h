// Fits a Trust to people whose truth is known and whom the network did not learn from.
//
// Steps are fitted to what COCO's AP rewards: the mean OKS of the moved joints. One fit over all kinds of joints, then
// one for every kind, held near the first by a ridge so that a kind with few joints keeps what all have in common. How
// strong the ridge is, whether a kind moves at all, and every figure reported are decided by cross-validation over
// pictures: a joint is judged by weights that were fitted without its picture. A kind for which that shows no gain
// stays at the input, and so does one whose OKS on all the data would fall below the input's.
// Drawn poses have a part in the steps alone, people are counted without them.
// The error curve is the isotonic regression of the cross-validated errors on the spread. The person score is a
// logistic regression of the OKS, 0 for poses that belong to nobody.
// Deterministic: the result depends on the samples and their order alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pose/keypoints.h"
#include "pose/skeleton.h"
#include "trust/trust.h"

namespace posefix::trust {

struct Sample {
  uint64_t picture = 0;          // poses with one key are never fitted on and judged at a time
  pose::Keypoints input;         // [K] image_px
  std::vector<double> answer;    // [K,2] image_px
  std::vector<float> spread_px;  // [K] crop_px
  double crop_px_per_image_px = 1;
  double score = 0;
  pose::Keypoints truth;  // [K] image_px, score = visibility; empty: the pose belongs to nobody
  double area = 0;        // of the person's segment, px^2
  bool is_drawn = false;  // by errors sample: no estimator's scores and errors, so steps alone are fitted to it

  Answered answered() const { return {&input, answer, spread_px, crop_px_per_image_px, score}; }
};

struct FitOptions {
  int64_t height = 0;  // H, crop
  int64_t width = 0;   // W
  bool flip = true;
  int folds = 5;
};

// Means over labelled joints that have an input.
struct KindReport {
  std::string name;
  int64_t joints = 0;
  bool moves = false;
  double mean_step = 0;
  double oks_before = 0, oks_raw = 0, oks_calibrated = 0;                 // per joint, 0..1
  double error_before_px = 0, error_raw_px = 0, error_calibrated_px = 0;  // image_px
};

struct Fitted {
  Trust trust;
  std::vector<KindReport> kinds;  // beside trust.kinds; calibrated: cross-validated
  KindReport all;
  int64_t poses = 0;   // samples that are not drawn
  int64_t people = 0;  // of these that belong to somebody
  double ridge = 0;    // chosen
  // Beside the samples, cross-validated: what weights say that were fitted without the sample's picture.
  std::vector<std::vector<double>> steps;  // [N][K]
  std::vector<double> scores;              // [N]
};

// Error (bad input) if there are too few people or pictures to learn from.
Fitted fit(const std::vector<Sample>& samples, const pose::Skeleton& skeleton, const FitOptions& options);

}  // namespace posefix::trust
