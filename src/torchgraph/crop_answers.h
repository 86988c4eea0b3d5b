// Crops and poses in, refined poses out: what a runtime::Session on LibTorch does with a network.
#pragma once

#include <cstdint>
#include <span>

#include "torchgraph/network.h"

namespace posefix::torchgraph {

struct CropInputs {
  int64_t size = 0;                // B
  std::span<const uint8_t> crops;  // [B,H,W,3] BGR
  std::span<const float> pose;     // [B,K,2] crop_px
  std::span<const float> valid;    // [B,K]
};

// As the network's inputs, on the CPU. Spans may be longer than B persons need.
Network::Inputs network_inputs(const Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr);

// Runs the network in Mode::kInference. coords [B,K,2] crop_px; spread [B,K] crop_px, may be empty: not wanted.
void answer_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                  std::span<float> coords, std::span<float> spread);

}  // namespace posefix::torchgraph
