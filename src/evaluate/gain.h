// Whether a gain is more than noise: paired bootstrap over pictures.
//
// Pictures are drawn with replacement, the same ones for both results, and both are summed up again; the interval is
// the middle 95% of the differences. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "evaluate/coco_keypoints.h"

namespace posefix::evaluate {

struct Interval {
  double low = 0;
  double high = 0;
};

struct BootstrapOptions {
  int draws = 1000;
  uint64_t seed = 1;
};

// Of each figure of kCocoFigures; NaN where the figure does not exist in every draw. `before` and `after` are matches
// with the same annotations. Does not depend on the number of threads.
std::array<Interval, 10> gain_intervals(const Matches& before, const Matches& after, const BootstrapOptions& options,
                                        ThreadPool& pool);

// Similarity of each joint to its annotation, exp(-d^2 / (2 area (2 sigma)^2)), summed over the labelled joints of the
// annotations that count; an annotation that nothing matched at OKS 0.5 adds 0.
struct JointSimilarity {
  size_t joints = 0;
  std::vector<double> sum;      // [images][K]
  std::vector<uint32_t> count;  // [images][K] labelled joints

  double mean(size_t joint) const;  // over all images; NaN without a labelled joint
};
// `matches` must have been made with keep_groups.
JointSimilarity joint_similarity(const dataset::CocoAnnotations& annotations, const Detections& detections,
                                 const Matches& matches, std::span<const double> sigmas);

// Per joint.
std::vector<Interval> joint_gain_intervals(const JointSimilarity& before, const JointSimilarity& after,
                                           const BootstrapOptions& options, ThreadPool& pool);

}  // namespace posefix::evaluate
