// MPII's PCKh: the share of joints that lie within a part of the head's size from their place.
//
// Source: MPII's evaluation script (Andriluka et al., CVPR 2014); rules in tests/golden/evaluate/README.md.
#pragma once

#include <array>
#include <vector>

#include "pose/keypoints.h"
#include "pose/skeleton.h"

namespace posefix::evaluate {

// Distances are compared with multiples of the head size: 0.6 times the diagonal of the head's box.
struct PckhPerson {
  pose::Keypoints predicted;  // [K] image_px
  pose::Keypoints annotated;  // [K], score > 0: visible, counts
  double head_size = 0;       // px
};

// 0.6 * diagonal.
double head_size_of_box(double width, double height);

struct PckhFigures {
  std::vector<double> per_joint;  // [K] percent of visible joints that are hit; NaN if none is visible
  std::vector<size_t> visible;    // [K]
  double mean = 0;                // hits over visible joints, pelvis and thorax left out
};

// `threshold` in head sizes, inclusive.
PckhFigures pckh(const std::vector<PckhPerson>& people, const pose::Skeleton& skeleton, double threshold);

inline constexpr int kPckhCurvePoints = 51;  // 0, 0.01, ... 0.5
struct PckhCurve {
  std::array<double, kPckhCurvePoints> mean{};
  double area = 0;  // mean of the points
};
PckhCurve pckh_curve(const std::vector<PckhPerson>& people, const pose::Skeleton& skeleton);

// Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle: head_top's figure, or the mean of left and right.
struct PckhGroup {
  const char* name;
  double value;
};
std::vector<PckhGroup> pckh_groups(const PckhFigures& figures, const pose::Skeleton& skeleton);

}  // namespace posefix::evaluate
