// Whether a pose's score says how good the pose is.
#pragma once

#include <array>
#include <cstddef>

#include "evaluate/coco_keypoints.h"

namespace posefix::evaluate {

// Detections in ten bins of equal size, by score. An unreliable score shows as a share that does not rise.
struct ReliabilityBin {
  double lowest_score = 0;
  double mean_score = 0;
  double share_matched = 0;  // at OKS 0.5, of those that are not ignored
  size_t detections = 0;
};

// Bins by rising score; all categories together. Empty bins have no detections.
std::array<ReliabilityBin, 10> score_reliability(const Matches& matches);

}  // namespace posefix::evaluate
