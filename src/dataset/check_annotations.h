// Checks of an annotation file beyond what reading it refuses.
#pragma once

#include "dataset/check_report.h"
#include "dataset/coco_annotations.h"
#include "pose/skeleton.h"

namespace posefix::dataset {

// Errors: two images or annotations with one id, annotations of unlisted images, file names that climb out of the
// picture folder. Warnings: what trains or evaluates otherwise than the author meant. Adds a summary.
void check_annotations(const CocoAnnotations& annotations, const pose::Skeleton& skeleton, CheckReport& report);

}  // namespace posefix::dataset
