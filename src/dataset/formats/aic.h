// AI Challenger 2017, human keypoints: 14 joints, one entry per picture.
//
//   keypoint_{train,validation}_annotations_DATE.json =
//   [{"image_id": "HASH", "url": "...",
//     "human_annotations":    {"human1": [x1, y1, x2, y2], ...},
//     "keypoint_annotations": {"human1": [x, y, v * 14], ...}}, ...]
//   keypoint_{train,validation}_images_DATE/HASH.jpg
// v: 1 labelled and visible, 2 labelled but not visible, 3 not labelled. Source: challenger.ai, task description of the
// keypoint track.
//
// Rules: pictures are numbered 1, 2, ... in file order, people likewise; file_name = image_id + ".jpg"; v 1 -> 2,
// 2 -> 1, 3 -> 0 with x = y = 0; the box is that of human_annotations, or the extent of the labelled joints without
// one; area = w * h, as in its evaluation. People with a box and no joints are kept with num_keypoints = 0. The
// person's name and the picture's url are kept. Way back: the same list.
#pragma once

#include "dataset/formats/dataset_formats.h"

namespace posefix::dataset::formats {

Conversion read_aic(const DatasetSource& source);
std::vector<std::string> write_aic(std::span<const Split> splits, const std::filesystem::path& out);

}  // namespace posefix::dataset::formats
