// AlphaPose's alphapose-results.json (--format left at its default).
//
//   [{"image_id": "NAME.jpg", "category_id": 1, "keypoints": [x, y, score * K], "score": s, "box": [x, y, w, h],
//     "idx": track}, ...]
// K = 17 (COCO), 26 or 136 (Halpe). The person's score is a sum that may exceed 1. With --eval, image_id is the number
// in the file name. Source: AlphaPose doc/output.md and alphapose/utils/pPose_nms.py (write_json). Its forms "cmu" and
// "open" (objects, one key per picture) are refused with a word on what to do. Way back: the list, with the names of
// the pictures.
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_alphapose(const PoseSource& source);
void write_alphapose(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
