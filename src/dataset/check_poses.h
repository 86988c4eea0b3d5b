// Checks of pose files against the annotations that they belong to.
#pragma once

#include <span>

#include "dataset/check_report.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"

namespace posefix::dataset {

// Poses of an estimator. `sets`: all annotation files that are known; the first is the one that the poses should
// belong to. Errors: no pose is of a listed picture (names the set that they do belong to), or none of the people
// category. Adds a summary.
void check_poses(const PoseResults& poses, std::span<const CocoAnnotations* const> sets, CheckReport& report);

// Poses on the training set, matched by box: every picture should have as many as it has people to train on. A warning
// when the estimator missed up to a tenth of the people, or found as many that are none; an error beyond that.
void check_train_set_poses(const PoseResults& poses, const CocoAnnotations& annotations, CheckReport& report);

}  // namespace posefix::dataset
