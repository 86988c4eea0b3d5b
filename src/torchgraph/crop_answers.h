// Crops and poses in, refined poses out: what a runtime::Session on LibTorch does with a network.
#pragma once

#include <c10/core/Event.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "torchgraph/image_input.h"
#include "torchgraph/network.h"
#include "torchgraph/recording.h"

namespace posefix::torchgraph {

struct CropInputs {
  int64_t size = 0;                // B
  std::span<const uint8_t> crops;  // [B,H,W,3] BGR
  std::span<const float> pose;     // [B,K,2] crop_px
  std::span<const float> valid;    // [B,K]
};

// As the network's inputs, the image on the network's device. Spans may be longer than B persons need.
Network::Inputs network_inputs(const Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr);

// Inputs in memory of the network's device that stays where it is: what a recording reads.
class FixedInputs {
 public:
  FixedInputs(const Network& network, int64_t size, std::span<const double, 3> mean_bgr);
  // Queues the copies. crops.size is `size`.
  void put(const CropInputs& crops);
  // What was put. Gives the device work to do: part of what is recorded.
  Network::Inputs inputs() const;

 private:
  at::Tensor bytes_;  // [B,H,W,3] u8
  at::Tensor pose_;   // [B,K,2]
  at::Tensor valid_;  // [B,K]
  ByteTable table_;
};

// The network's answers in Mode::kInference, still on its device: coords [B,K,2] crop_px, and with `with_spread` spread
// [B,K] crop_px.
std::vector<at::Tensor> forward_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                                      bool with_spread);

// forward_crops() for batches of one size, with the spread, as a recording.
class RecordedCrops {
 public:
  // `network` outlives this.
  RecordedCrops(Network& network, int64_t size, std::span<const double, 3> mean_bgr, Recorder recorder);
  RecordedCrops(const RecordedCrops&) = delete;
  RecordedCrops& operator=(const RecordedCrops&) = delete;
  // crops.size is `size`. As RecordedWork::run().
  const std::vector<at::Tensor>& forward(const CropInputs& crops);

 private:
  FixedInputs inputs_;
  RecordedWork work_;
};

// One batch that the device works on: queued when made, read() waits. Between the two neither the host nor the crops
// are needed, so the host prepares the next batch meanwhile.
class CropAnswers {
 public:
  // `values`: of forward_crops(), on `device`.
  CropAnswers(const std::vector<at::Tensor>& values, const at::Device& device);

  // coords [B,K,2] crop_px; spread [B,K] crop_px, empty: not wanted.
  void read(std::span<float> coords, std::span<float> spread);

 private:
  std::vector<at::Tensor> values_;  // coords, spread; on the host once the event has happened
  std::optional<c10::Event> copied_;
};

// Both at once; spread may be empty: not wanted.
void answer_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                  std::span<float> coords, std::span<float> spread);

}  // namespace posefix::torchgraph
