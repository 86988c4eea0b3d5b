// Leeds Sports Pose and its extended training set: one person per picture, joints.mat.
//
//   LSP           joints [3,14,2000]   (x, y, 1 = occluded);  images/im0001.jpg ...
//   LSP-extended  joints [14,3,10000]  (x, y, 1 = labelled);  images/im00001.jpg ...
// Both as doubles, column-major, in the joint order of lsp14. The order of the dimensions tells which one it is; ten
// thousand people are LSP-extended in either order. Source: the two sets' README files, as read by
// human-pose converters that treat the flags so (e.g. the training lists of convolutional-pose-machines-release).
//
// Rules: picture and person have the number of the picture as id; LSP: v = 1 occluded, 2 visible; extended: v = 0 not
// labelled (x = y = 0 then), 2 labelled. The box is the extent of the labelled joints plus 15% of its longer side on
// all sides, cut to the picture where its size is known; area = 0.53 of the box, the share that COCO's people fill.
// Splits: LSP's first 1000 are train, the others test; LSP-extended is train. Pictures that lie in folders below
// images/ make a split each. When there are pictures, people whose picture is missing are left out.
// Way back: joints.mat in the form that the file names tell (imNNNN: LSP, imNNNNN: extended). In the extended form
// people without an annotation and joints that are not labelled become zeros; LSP's form cannot say so and refuses
// them.
#pragma once

#include "dataset/formats/dataset_formats.h"

namespace posefix::dataset::formats {

Conversion read_lsp(const DatasetSource& source);
std::vector<std::string> write_lsp(std::span<const Split> splits, const std::filesystem::path& out);

}  // namespace posefix::dataset::formats
