// Random changes to what a training crop looks like: light, sharpness, and things in front of the person.
//
// The reference trains on 150,000 people and needs none of this (the default); some hundred people do. Joints stay
// where they are, covered ones too.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "image/crop.h"

namespace posefix::sample {

struct AppearanceConfig {
  double color_jitter = 0;       // brightness, contrast ~ U(1 - this, 1 + this), each channel's gain a third as far
  double blur_probability = 0;   // of two box blurs of 3 or 5 px, as a small person's crop has
  double patch_probability = 0;  // of a patch, a plain colour or a piece of the same crop, put over another place

  bool changes_nothing() const { return color_jitter == 0 && blur_probability == 0 && patch_probability == 0; }
};

// Holds scratch memory, one per thread.
class Appearance {
 public:
  explicit Appearance(const AppearanceConfig& config) : config_(config) {}

  // `crop`: [H,W,3], changed in place, in the order patch, blur, light. The number of draws is always the same.
  void change(image::CropSize size, Rng& rng, std::span<uint8_t> crop);

 private:
  void cover(image::CropSize size, Rng& rng, std::span<uint8_t> crop);
  void blur(image::CropSize size, int radius, std::span<uint8_t> crop);
  void relight(Rng& rng, std::span<uint8_t> crop) const;

  AppearanceConfig config_;
  std::vector<uint8_t> before_;
};

}  // namespace posefix::sample
