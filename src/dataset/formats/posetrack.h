// PoseTrack 2018: one COCO-like JSON file per video.
//
//   annotations/{train,val,test}/NNNNNN_mpii_{train,test}.json =
//   {"images": [{"id", "frame_id", "vid_id", "nframes", "file_name": "images/val/VIDEO/000000.jpg", "is_labeled",
//                "ignore_regions_x", "ignore_regions_y", ...}],
//    "annotations": [{"id", "image_id", "track_id", "bbox", "bbox_head", "scores", "category_id",
//                     "keypoints": [x,y,v * 17]}],
//    "categories": [...]}
// Slots 3 and 4 (the ears) are never annotated; posetrack17 says so. v is 0 or 1.
//
// Rules, as in the original PoseFix's converter (TF-SimpleHumanPose tool/posetrack2coco.py): all videos of a split in
// one file, train -> train2018 and so on, videos in the order of their names; num_keypoints = labelled joints, bbox =
// 0 when there is none, area = w * h, iscrowd = 0. Everything else is kept. Width and height are the file's or the
// picture's. Files beside the split folders that are annotations themselves (the converted form) come out under their
// own name.
// In the original PoseFix's data tree the videos' files lie in original_annotations/, which is looked at first.
// Way back: one file per video, named after the folder of its pictures, below the folder that holds that one.
#pragma once

#include "dataset/formats/dataset_formats.h"

namespace posefix::dataset::formats {

Conversion read_posetrack(const DatasetSource& source);
std::vector<std::string> write_posetrack(std::span<const Split> splits, const std::filesystem::path& out);

}  // namespace posefix::dataset::formats
