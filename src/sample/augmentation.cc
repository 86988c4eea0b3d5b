#include "sample/augmentation.h"

#include <algorithm>
#include <cstdint>

namespace posefix::sample {
namespace {

constexpr double kSmallestPart = 0.3;  // of a side of the box

struct Interval {
  double begin = 0;
  double length = 0;
};

// `share` of `whole`, around `inside` (a place in `whole`), where `place` (0 to 1) says.
Interval part_of(const Interval& whole, double share, double inside, double place) {
  const double length = share * whole.length;
  const double first = std::max(whole.begin, inside - length);
  const double last = std::min(whole.begin + whole.length - length, inside);
  return {first + place * (last - first), length};
}

}  // namespace

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

pose::Box draw_part(const pose::Box& box, const pose::Keypoints& joints, Rng& rng) {
  const double share_x = rng.uniform(kSmallestPart, 1);
  const double share_y = rng.uniform(kSmallestPart, 1);
  const double place_x = rng.uniform();
  const double place_y = rng.uniform();
  const double choice = rng.uniform();
  const auto labelled = [&](const pose::Keypoint& joint) {
    return joint.score > 0 && joint.x >= box.x && joint.x <= box.x + box.w && joint.y >= box.y &&
           joint.y <= box.y + box.h;
  };
  double inside_x = box.x + place_x * box.w;
  double inside_y = box.y + place_y * box.h;
  auto left = static_cast<int64_t>(choice * static_cast<double>(std::ranges::count_if(joints, labelled)));
  for (const pose::Keypoint& joint : joints) {
    if (!labelled(joint) || left-- != 0) continue;
    inside_x = joint.x;
    inside_y = joint.y;
  }
  const Interval x = part_of({box.x, box.w}, share_x, inside_x, place_x);
  const Interval y = part_of({box.y, box.h}, share_y, inside_y, place_y);
  return {x.begin, y.begin, x.length, y.length};
}

}  // namespace posefix::sample
