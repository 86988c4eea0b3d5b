// What each kind of error costs: how much AP would rise if it never happened.
//
// Every detection is paired with the annotation that it is nearest to (OKS 0.1 or more); each of its labelled joints is
//   good       similarity to its place 0.85 or more
//   jitter     0.5 or more
//   inversion  otherwise, 0.5 or more to the place of the mirror joint of the same person
//   swap       otherwise, 0.5 or more to that joint or its mirror joint of another person
//   miss       otherwise
// A kind's cost is the gain of AP when the joints of that kind are put in their places. Score: when each detection's
// score is its OKS. False positives, negatives: when detections, annotations without partner at OKS 0.5 are left out.
// Source: Ronchi and Perona, Benchmarking and error diagnosis in multi-instance pose estimation, ICCV 2017.
#pragma once

#include <array>
#include <span>

#include "base/threads.h"
#include "dataset/coco_annotations.h"
#include "evaluate/coco_keypoints.h"
#include "evaluate/detections.h"
#include "pose/skeleton.h"

namespace posefix::evaluate {

enum class JointState { kGood, kJitter, kInversion, kSwap, kMiss };
inline constexpr std::array<const char*, 5> kJointStates{"good", "jitter", "inversion", "swap", "miss"};

struct ErrorDiagnosis {
  double ap = 0;
  std::array<size_t, 5> joints{};  // by JointState, of paired detections
  // Rise of AP without the errors of the kind; [0] (good) stays 0.
  std::array<double, 5> cost{};
  double score_cost = 0;
  double false_positive_cost = 0;
  double false_negative_cost = 0;
  size_t false_positives = 0;  // detections without partner at OKS 0.5
  size_t false_negatives = 0;  // annotations without partner at OKS 0.5
};

ErrorDiagnosis diagnose_errors(const dataset::CocoAnnotations& annotations, const Detections& detections,
                               const pose::Skeleton& skeleton, ThreadPool& pool);

}  // namespace posefix::evaluate
