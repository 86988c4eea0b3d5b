// Object keypoint similarity between poses, and suppression of near-duplicates by it.
#pragma once

#include <span>
#include <vector>

#include "pose/keypoints.h"

namespace posefix::pose {

// OKS of two poses as OKS-NMS uses it: mean over joints of exp(-d^2 / (2 sigma)^2 / ((area_a + area_b)/2 + 2^-52) / 2).
// Joints whose sigma is 0 are left out. Source: PoseFix_RELEASE lib/nms/nms.py (from human-pose-estimation.pytorch).
double oks_similarity(const Keypoints& a, const Keypoints& b, double area_a, double area_b,
                      std::span<const double> sigmas);

struct NmsCandidate {
  const Keypoints* keypoints;  // borrowed, [K]
  double area;                 // px^2
  double score;
};

// Indices that are kept, by descending score (of equal scores the later one first, as numpy's reversed argsort of the
// reference does); a pose is dropped when its OKS with a kept one exceeds `threshold`.
std::vector<size_t> oks_nms(std::span<const NmsCandidate> candidates, std::span<const double> sigmas, double threshold);

}  // namespace posefix::pose
