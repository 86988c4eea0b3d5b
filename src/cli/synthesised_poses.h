// Poses as an estimator with given errors might have found them, from annotations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "pose/skeleton.h"

namespace posefix::cli {

// One of every annotated person with labelled joints; `errors` is a file from `errors fit`, or "paper". The same seed
// gives the same poses. Error (bad input) if there is nobody.
std::vector<dataset::PoseResult> synthesised_poses(const dataset::CocoAnnotations& annotations,
                                                   const pose::Skeleton& skeleton, const std::string& errors,
                                                   uint64_t seed);

}  // namespace posefix::cli
