// CrowdPose: COCO form with 14 joints and a crowd index per picture.
//
//   crowdpose_{train,val,trainval,test}.json =
//   {"images": [{"id", "file_name", "width", "height", "crowdIndex"}],
//    "annotations": [{"id", "image_id", "category_id", "iscrowd", "num_keypoints", "bbox", "keypoints"}], "categories"}
// Joints 13 and 14 are called head and neck there: head_top and neck of crowdpose14.
//
// Rules: the format has no area; it becomes 0.53 of the box, as its evaluation takes it (crowdposetools cocoeval).
// num_keypoints is often wrong there: it is counted again (joints with v > 0), but 0 stays, as such people do not
// count. Everything else is kept, crowdIndex included. Way back: the same file.
#pragma once

#include "dataset/formats/dataset_formats.h"

namespace posefix::dataset::formats {

Conversion read_crowdpose(const DatasetSource& source);
std::vector<std::string> write_crowdpose(std::span<const Split> splits, const std::filesystem::path& out);

}  // namespace posefix::dataset::formats
