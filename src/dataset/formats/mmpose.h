// mmpose 1.x predictions.
//
//   NAME.json (MMPoseInferencer, --pred-out-dir)        = [instance, ...]
//   results_NAME.json (demo scripts, --save-predictions) = {"meta_info": {"keypoint_id2name": {"0": "nose", ...}, ...},
//                                                          "instance_info": [instance, ...]}
//   of a video, in either place                          = [{"frame_id": 1, "instances": [instance, ...]}, ...]
//   instance = {"keypoints": [[x, y] * K], "keypoint_scores": [s * K], "bbox": [[x1, y1, x2, y2]], "bbox_score": s}
//   keypoints.json of a test (format_only)               = COCO results, see result_list.h
// The box is wrapped in a list because of a stray comma there; both forms are read. Source: mmpose docs "Inference with
// existing models", mmpose/structures/utils.py (split_instances).
//
// Joints are named by meta_info where there is one; otherwise K tells: 17 COCO, 26 Halpe, 133 whole body, 16 MPII (14
// is ambiguous: say --joints). bbox_score is the person's score. Frames become image ids. Way back: the inferencer's
// form.
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_mmpose(const PoseSource& source);
void write_mmpose(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
