// YOLO-pose labels and results (Ultralytics).
//
//   NAME.txt, one person a line: class xc yc w h  (px py [v]) * K  [confidence [track]]
// All divided by the picture's width and height. Labels: v 0 not labelled, 1 hidden, 2 visible. Results (save_txt): v
// is the joint's confidence; the person's confidence follows with save_conf, the track's number when tracking. A joint
// that is not there is 0 0 (0). Source: docs.ultralytics.com/datasets/pose, ultralytics/engine/results.py (save_txt,
// summary).
//   NAME.json (Results.to_json) = [{"name", "class", "confidence", "box": {"x1","y1","x2","y2"},
//                                   "keypoints": {"x": [K], "y": [K], "visible": [K]}}, ...] in pixels
//   predictions.json (val, save_json) = COCO results, see result_list.h
//
// K is that of the joint set (COCO's 17 unless --joints says otherwise). Lines need the pictures for their size. A
// label's v of 1 or 2 becomes the score 1. Way back: NAME.txt with v = score, and the confidence at the end.
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_yolo(const PoseSource& source);
void write_yolo(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
