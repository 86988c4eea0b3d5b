// Random scale, rotation and flip of a training crop. Source: PoseFix_RELEASE main/gen_batch.py, main/config.py.
#pragma once

#include "base/rng.h"
#include "image/crop.h"

namespace posefix::sample {

struct AugmentationConfig {
  double scale_sigma = 0.3;        // scale ~ 1 + N(0, sigma) cut to 1 -+ sigma
  double rotation_sigma_deg = 40;  // rotation ~ N(0, sigma) cut to -+ 2 sigma
  double rotation_probability = 0.6;
  double flip_probability = 0.5;
};

// Order of draws: scale, rotation coin, rotation, flip coin; the number of draws is always the same.
image::Augmentation draw_augmentation(const AugmentationConfig& config, Rng& rng);

}  // namespace posefix::sample
