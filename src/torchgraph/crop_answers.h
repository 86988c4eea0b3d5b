// Crops and poses in, refined poses out: what a runtime::Session on LibTorch does with a network.
#pragma once

#include <c10/core/Event.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "torchgraph/network.h"

namespace posefix::torchgraph {

struct CropInputs {
  int64_t size = 0;                // B
  std::span<const uint8_t> crops;  // [B,H,W,3] BGR
  std::span<const float> pose;     // [B,K,2] crop_px
  std::span<const float> valid;    // [B,K]
};

// As the network's inputs, the image on the network's device. Spans may be longer than B persons need.
Network::Inputs network_inputs(const Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr);

// One batch that the device works on: queued when made, read() waits. Between the two neither the host nor the crops
// are needed, so the host prepares the next batch meanwhile.
class CropAnswers {
 public:
  // Runs the network in Mode::kInference. `with_spread`: read() will want it.
  CropAnswers(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr, bool with_spread);

  // coords [B,K,2] crop_px; spread [B,K] crop_px, empty without.
  void read(std::span<float> coords, std::span<float> spread);

 private:
  std::vector<at::Tensor> values_;  // coords, spread; on the host once the event has happened
  std::optional<c10::Event> copied_;
};

// Both at once; spread may be empty: not wanted.
void answer_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                  std::span<float> coords, std::span<float> spread);

}  // namespace posefix::torchgraph
