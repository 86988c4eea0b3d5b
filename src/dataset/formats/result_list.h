// Lists of COCO keypoint results whose image_id may be a file name: what AlphaPose, mmpose's test and YOLO's validation
// write.
//
//   [{"image_id": 785 | "000000000785.jpg", "category_id": 1, "keypoints": [x, y, score * K], "score": s,
//     "bbox" | "box": [x, y, w, h], "file_name": "...", "idx" | "track_id": ...}, ...]
#pragma once

#include "dataset/formats/estimator_poses.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset::formats {

// Appends the list at which `json` stands. The first entry settles the joint set (by `joints` or its number of joints);
// all others must have as many. Error (bad input) with JSON pointer and byte offset.
void read_result_list(JsonCursor& json, const std::string& joints, const std::vector<std::string>& candidates,
                      EstimatorPoses& out);

// Flat [x, y, score * K] at which `json` stands into the joints of out.joints (settled as above).
pose::Keypoints read_flat_keypoints(JsonCursor& json, const std::string& joints,
                                    const std::vector<std::string>& candidates, EstimatorPoses& out);

// Settles out.joints at `slots` joints or refuses another number than before; `json` names the place.
void settle_joints(const JsonCursor& json, size_t where, size_t slots, const std::string& joints,
                   const std::vector<std::string>& candidates, EstimatorPoses& out);

}  // namespace posefix::dataset::formats
