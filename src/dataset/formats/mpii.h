// MPII Human Pose: the original .mat, and the lists of people that estimators train from.
//
// mpii_human_pose_v1_u12_1.mat holds one struct RELEASE:
//   annolist  [1,N] struct
//     .image.name        text
//     .annorect [1,P]    struct: x1 y1 x2 y2 (head box), scale (height / 200 px), objpos.x, objpos.y,
//                        annopoints.point [1,J] struct: id (0..15), x, y, is_visible (1, 0, '1', '0' or empty)
//   img_train [1,N]      1: training picture, 0: test picture
// A list (train.json, valid.json of human-pose-estimation.pytorch) is
//   [{"image": "a.jpg", "joints": [[x,y] * 16], "joints_vis": [0|1 * 16], "center": [x,y], "scale": s}, ...]
// A file that is an object is taken as COCO form already (the original PoseFix's train.json and test.json).
//
// Coordinates count from 1 in both, and are kept as they are: the original PoseFix subtracts nothing either, so that
// its results and the PCKh evaluation fit. Rules, as in its converter (TF-SimpleHumanPose tool/mpii2coco.py): image id
// = position in annolist from 0 (lists: the number in the file name), file_name = images/NAME; pictures without
// annorect are left out; test pictures carry no people; the box is the extent of the labelled joints less 1 px per side
// length, times 1.2 about its middle, people whose extent is 1 px or less are left out; area = w * h. Annotation ids
// count from 1 (0, the original's first, means "no match" in pycocotools). v = 2 visible, 1 occluded (the original
// writes 1 for both; nothing that trains or measures tells them apart); in lists v = 1. The head box is kept as
// bbox_head [x,y,w,h], scale and objpos as scale and center. Way back: the list form. A person without center and scale
// gets the box's middle and its height / 200.
#pragma once

#include "dataset/formats/dataset_formats.h"

namespace posefix::dataset::formats {

Conversion read_mpii(const DatasetSource& source);
std::vector<std::string> write_mpii(std::span<const Split> splits, const std::filesystem::path& out);

}  // namespace posefix::dataset::formats
