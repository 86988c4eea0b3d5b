// DeepLabCut's CSV tables: tracked videos and labelled pictures.
//
//   scorer,NAME,NAME,NAME,...                 scorer,...
//   bodyparts,nose,nose,nose,left_eye,...     individuals,person1,person1,...   (several animals: one row more)
//   coords,x,y,likelihood,x,...               bodyparts,...
//   0,12.5,40.1,0.99,...                      coords,...
// Each further row is a frame: its number from 0, or the picture's path (in one column, or in three: labeled-data,
// video, picture). Labelled pictures have no likelihood. Empty or NaN: not labelled. Pixels. Source: DeepLabCut
// documentation; sleap/io/format/deeplabcut.py reads the same.
//
// Body parts are matched by name (joint_names.h). A frame number becomes the image id; with pictures, the one picture
// whose name ends with that number is looked up. A joint without likelihood scores 1 where it is labelled. People
// without any joint are left out. Way back: one table of the pictures' names, with individuals if a picture has several
// people.
#pragma once

#include "dataset/formats/estimator_poses.h"

namespace posefix::dataset::formats {

EstimatorPoses read_deeplabcut(const PoseSource& source);
void write_deeplabcut(const EstimatorPoses& poses, const PoseTarget& target);

}  // namespace posefix::dataset::formats
