// The .mat half of mpii.h.
#pragma once

#include "dataset/formats/dataset_formats.h"

namespace posefix::dataset::formats {

// Splits "train" and "test".
Conversion read_mpii_mat(const std::filesystem::path& file, const DatasetSource& source);

// The reference's box of a person; an empty box if the extent is 1 px or less on a side.
pose::Box mpii_box(const pose::Keypoints& keypoints);

}  // namespace posefix::dataset::formats
