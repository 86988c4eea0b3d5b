#include "sample/augmentation.h"

#include <algorithm>

namespace posefix::sample {

image::Augmentation draw_augmentation(const AugmentationConfig& config, Rng& rng) {
  const double scale = 1 + config.scale_sigma * rng.normal();
  const bool rotates = rng.uniform() < config.rotation_probability;
  const double rotation = config.rotation_sigma_deg * rng.normal();
  const bool flips = rng.uniform() < config.flip_probability;
  image::Augmentation drawn;
  drawn.scale = std::clamp(scale, 1 - config.scale_sigma, 1 + config.scale_sigma);
  const double limit = 2 * config.rotation_sigma_deg;
  drawn.rotation_deg = rotates ? std::clamp(rotation, -limit, limit) : 0;
  drawn.flip = flips;
  return drawn;
}

}  // namespace posefix::sample
