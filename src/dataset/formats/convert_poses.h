// Between an estimator's poses and a pose file (P.json): joints by name, pictures to image ids.
//
// Joints: a joint of the skeleton that the estimator does not have becomes 0, 0, 0; on the way back a joint that the
// estimator defines as a middle (OpenPose's neck) is made from its two sides when the skeleton lacks it.
// Image ids, the first that applies: the annotations' id of the picture; the number that the estimator wrote; the
// number that every picture's name consists of (000000000785.jpg: 785); 1, 2, ... in the order of the names. file_name
// is written whenever a picture's name is known. Score of a person: the estimator's; without one the mean score of the
// found joints. Box: the estimator's; without one, and with joints missing, that of the found joints grown as refining
// would (pose::box_of_joints), so that 0, 0 is not taken for a joint. People without any joint of the skeleton are left
// out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "dataset/coco_annotations.h"
#include "dataset/formats/estimator_poses.h"
#include "pose/skeleton.h"

namespace posefix::dataset::formats {

struct PictureNames {
  const PictureFolder* pictures = nullptr;       // borrowed; may be empty
  const CocoAnnotations* annotations = nullptr;  // borrowed; may be null
};

// Writes a pose file and returns notes. Error (bad input) if estimator and skeleton share no joint. Atomic.
std::vector<std::string> write_pose_file(const std::filesystem::path& out, const EstimatorPoses& poses,
                                         const pose::Skeleton& skeleton, const PictureNames& names);

// Reads a pose file of the skeleton's joints into the estimator's joint set.
EstimatorPoses read_pose_file(const std::filesystem::path& path, const pose::Skeleton& skeleton, const JointSet& joints,
                              const PictureNames& names);

}  // namespace posefix::dataset::formats
