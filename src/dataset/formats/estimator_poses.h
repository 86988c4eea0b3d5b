// Poses as an estimator writes them, and the formats of the estimators.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataset/formats/annotation_set.h"
#include "dataset/formats/joint_names.h"
#include "dataset/formats/picture_folder.h"
#include "pose/keypoints.h"

namespace posefix::dataset::formats {

struct EstimatedPose {
  std::string picture;              // its file name, or the name without extension where the format gives no more
  std::optional<int64_t> image_id;  // where the format has a number instead
  pose::Keypoints keypoints;        // one per joint of the joint set, image_px; score 0: not found
  std::optional<double> score;      // of the person, where the format has one
  std::optional<pose::Box> box;     // image_px, where the format has one
  ExtraFields fields;               // what is carried along: "idx", "track_id"
};

struct EstimatorPoses {
  JointSet joints;
  std::vector<EstimatedPose> poses;  // in the order of the file, or of the files' names
};

struct PoseSource {
  std::filesystem::path in;  // a file or a folder
  PictureFolder pictures;    // may be empty
  std::string joints;        // name of a joint set; "": what the file's size or names tell
};

struct PoseTarget {
  std::filesystem::path out;
  PictureFolder pictures;
};

struct PoseFormat {
  const char* name;    // openpose, alphapose, mmpose, yolo, mediapipe, deeplabcut, coco
  const char* joints;  // joint set that the way back writes if none is asked for; "": the skeleton itself
  bool writes_folder;  // the way back makes a folder with a file per picture
  EstimatorPoses (*read)(const PoseSource& source);
  void (*write)(const EstimatorPoses& poses, const PoseTarget& target);
};

// Error (bad input) names the nearest format.
const PoseFormat& pose_format(const std::string& name);
std::vector<std::string> pose_format_names();

// The joint set of `name`, or, when it is empty, the one of `candidates` with `slots` joints in the file. Error (bad
// input) begins with `place` and lists what is known.
JointSet joints_by_count(const std::string& name, size_t slots, const std::vector<std::string>& candidates,
                         const std::string& place);

// `in` itself if it is a file, else its files that end with `suffix`, sorted. Error (bad input) if there is none.
std::vector<std::filesystem::path> pose_files(const std::filesystem::path& in, std::string_view suffix);

// Positions of the poses by picture, pictures in the order of their first pose.
std::vector<std::pair<std::string, std::vector<size_t>>> by_picture(const EstimatorPoses& poses);

// The same by the picture's name without extension, for formats with a file per picture. Error (bad input) if two
// pictures would share a file.
std::vector<std::pair<std::string, std::vector<size_t>>> by_picture_stem(const EstimatorPoses& poses);

// The pose's box, or the extent of its found joints (score > 0).
pose::Box box_or_extent(const EstimatedPose& pose);

}  // namespace posefix::dataset::formats
