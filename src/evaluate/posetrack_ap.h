// PoseTrack's multi-person pose AP, as its evaluation kit poseval computes it.
//
// Source: PoseTrack 2018 (Andriluka et al., CVPR 2018); rules in tests/golden/evaluate/README.md.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "dataset/posetrack_sequence.h"

namespace posefix::evaluate {

inline constexpr int kPosetrackJoints = 15;
// In the order of the evaluation: right_ankle, right_knee, right_hip, left_hip, ... head_bottom, nose, head_top.
const std::array<const char*, kPosetrackJoints>& posetrack_joints();

struct PosetrackJointFigures {
  double ap = 0;         // percent; NaN: predicted but never annotated
  double precision = 0;  // percent, of all predictions
  double recall = 0;     // percent; NaN as for ap
  size_t annotated = 0;
  size_t predicted = 0;
  size_t matched = 0;
};

struct PosetrackFigures {
  size_t frames = 0;  // that have annotated people
  std::array<PosetrackJointFigures, kPosetrackJoints> joints;
  double ap = 0, precision = 0, recall = 0;  // means over joints, NaN left out
};

struct PosetrackGroup {
  const char* name;
  double ap;
};
// Head, Shou, Elb, Wri, Hip, Knee, Ankl, Total.
std::vector<PosetrackGroup> posetrack_groups(const PosetrackFigures& figures);

// Pairs of one video's annotations and predictions. Error (bad input) if a prediction's frame is not annotated, an
// annotated person has no bbox_head, or joint names are missing.
struct PosetrackPair {
  const dataset::PosetrackSequence* annotated;
  const dataset::PosetrackSequence* predicted;
};
PosetrackFigures posetrack_figures(const std::vector<PosetrackPair>& videos);

}  // namespace posefix::evaluate
