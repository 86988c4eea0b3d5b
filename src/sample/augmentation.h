// Random scale, rotation and flip of a training crop. Source: PoseFix_RELEASE main/gen_batch.py, main/config.py. The
// reference always crops whole people; crops of parts of them are ours.
#pragma once

#include "base/rng.h"
#include "image/crop.h"
#include "pose/keypoints.h"

namespace posefix::sample {

struct AugmentationConfig {
  double scale_sigma = 0.3;        // scale ~ 1 + N(0, sigma) cut to 1 -+ sigma
  double rotation_sigma_deg = 40;  // rotation ~ N(0, sigma) cut to -+ 2 sigma
  double rotation_probability = 0.6;
  double flip_probability = 0.5;
  double part_probability = 0;  // of a crop of a part of the person; used by Loader
};

// Order of draws: scale, rotation coin, rotation, flip coin; the number of draws is always the same.
image::Augmentation draw_augmentation(const AugmentationConfig& config, Rng& rng);

// A part of a person's box, as a picture's edge or another thing leaves of someone: each side 0.3 to 1 of the box's, in
// the box, around a labelled joint (score > 0) if one lies in the box. image_px; the number of draws is always the
// same.
pose::Box draw_part(const pose::Box& box, const pose::Keypoints& joints, Rng& rng);

}  // namespace posefix::sample
