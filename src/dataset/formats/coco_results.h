// Pose files themselves: from one skeleton's joints to another's, and lists whose image_id is a file name.
//
//   [{"image_id", "category_id", "keypoints": [x, y, score * K], "score", "bbox", "file_name"}, ...]   see
//   result_list.h
// Joints are those of --joints, or told by their number (17 COCO, 26 or 136 Halpe, 133 whole body, 16 MPII).
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_coco_results(const PoseSource& source);
void write_coco_results(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
