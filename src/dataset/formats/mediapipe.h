// MediaPipe Pose landmarks, as JSON or CSV. MediaPipe itself writes no file; these are the forms that its results take.
//
// JSON, one file per picture (NAME.json) or one for all:
//   LIST     = [{"x", "y", "z", "visibility"} * 33]                        one person's landmarks
//   MESSAGE  = {"landmark": LIST}                                          protobuf's MessageToDict
//   PERSONS  = LIST | MESSAGE | [LIST | MESSAGE, ...]
//   PICTURE  = {"file_name": "...", "width": w, "height": h, "landmarks" | "pose_landmarks" | "poseLandmarks": PERSONS}
//   a file   = PICTURE | [PICTURE, ...] | PERSONS
// CSV, with a header:
//   wide: [file_name,] [person,] then per landmark NAME_x, NAME_y, [NAME_z,] [NAME_visibility] or x0, y0, [z0,] [v0]
//         (counted from 0, or from 1 when there is no x0)
//   long: [file_name,] [person,] landmark, x, y, [z,] [visibility]; landmark by number from 0 or by name
// In place of file_name: image, image_name, filename, file, path; a file without such a column is one picture, its own
// name. x and y are divided by the picture's width and height, which come from the file or the pictures; visibility (1
// where there is none) is the joint's score. Landmarks: Google AI Edge, "Pose landmark detection guide".
// Way back: JSON, a list of PICTURE with z = 0 (poses in the plane have none), or wide CSV if the file ends with .csv.
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_mediapipe(const PoseSource& source);
void write_mediapipe(const EstimatorPoses& poses, const PoseTarget& target);

// One person, x and y still divided by the picture's size.
struct NormalisedPose {
  std::string picture;
  double width = 0;  // 0: to be looked up
  double height = 0;
  pose::Keypoints landmarks;  // [33]
  std::string place;          // for messages
};
// The CSV half.
std::vector<NormalisedPose> read_mediapipe_csv(const std::filesystem::path& path);
std::string mediapipe_csv(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
