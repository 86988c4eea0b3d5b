// The heat map that a joint's position stands for in the loss: a bilinear one-hot.
#pragma once

#include <cstdint>
#include <span>

namespace posefix::train {

struct HeatmapSize {
  int64_t height = 0;  // h
  int64_t width = 0;   // w
  int64_t stride = 4;  // crop px per heat-map px
};

// coords [N,2] crop_px -> target [N,h*w]: the four cells about the position with their bilinear weights, 0 elsewhere.
// The upper left cell is clamped into the map and the weights follow it (so they extrapolate to the left of 0);
// cells at index w or h are dropped and the rest is divided by its sum (by 1 when the sum is 0).
// Source: PoseFix_RELEASE main/model.py, render_onehot_heatmap.
void bilinear_one_hot(std::span<const float> coords, const HeatmapSize& size, std::span<float> target);
void bilinear_one_hot(std::span<const float> coords, const HeatmapSize& size, std::span<double> target);

}  // namespace posefix::train
