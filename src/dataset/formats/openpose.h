// OpenPose's --write_json: one file per picture.
//
//   NAME_keypoints.json = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, score * K],
//                          "face_keypoints_2d": [...], "hand_left_keypoints_2d": [...], ...}]}
// K = 25 (BODY_25) or 18 (COCO); pixels of the picture (--keypoint_scale 0, the default); a joint that was not found is
// 0, 0, 0. Version 0.1 calls the field pose_keypoints. Source: openpose doc/02_output.md.
//
// A person has no score of its own. Normalised files (--keypoint_scale 3 or 4) are refused, as pictures of one pixel do
// not exist. Way back: neck and mid-hip, which OpenPose defines as middles, are made from both sides; a picture gets a
// file if it has people.
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_openpose(const PoseSource& source);
void write_openpose(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
