// COCO annotation files read for a skeleton that is not theirs: joints are matched by name.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "dataset/coco_annotations.h"
#include "pose/skeleton.h"

namespace posefix::dataset {

// For every joint of the skeleton its position in `names`, -1 where it is absent. Names may be written in any usual
// way (r_ankle, RAnkle); see formats/joint_names.h.
std::vector<int> joint_order(const std::vector<std::string>& names, const pose::Skeleton& skeleton);

// The file's people with the skeleton's joints, in its order; joints that the file's category does not name have
// v = 0, and those that the skeleton lacks are dropped. A file whose category names no joints, or just the skeleton's,
// is read as it is. Error (bad input) when no joint is shared, or as read_coco_annotations().
CocoAnnotations read_skeleton_annotations(const std::filesystem::path& path, const pose::Skeleton& skeleton);

}  // namespace posefix::dataset
