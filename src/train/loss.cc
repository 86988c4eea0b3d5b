#include "train/loss.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "model/posefix_net.h"
#include "torchgraph/image_input.h"
#include "torchgraph/layout.h"
#include "train/target.h"

namespace posefix::train {

Targets make_targets(std::span<const float> coords, std::span<const float> valid, int64_t joints, int64_t height,
                     int64_t width, DType dtype) {
  const auto batch = static_cast<int64_t>(valid.size()) / joints;
  const at::ScalarType type = torchgraph::scalar_type(dtype);
  Targets targets;
  targets.heatmap = at::empty({batch, joints, height * width}, at::TensorOptions().dtype(type));
  const auto count = static_cast<size_t>(targets.heatmap.numel());
  const HeatmapSize size{height, width, model::kHeatmapStride};
  if (dtype == DType::kF64) {
    bilinear_one_hot(coords, size, std::span(targets.heatmap.data_ptr<double>(), count));
  } else {
    bilinear_one_hot(coords, size, std::span(targets.heatmap.data_ptr<float>(), count));
  }
  targets.coords_heatmap_px =
      torchgraph::copy_f32(coords, {batch, joints, 2}).to(type) / static_cast<double>(model::kHeatmapStride);
  targets.valid = torchgraph::copy_f32(valid, {batch, joints}).to(type);
  return targets;
}

Losses pose_losses(const at::Tensor& logits, const at::Tensor& coords_heatmap_px, const Targets& targets) {
  const at::Tensor log_probability = at::log_softmax(logits.flatten(2), 2);  // [B,K,h*w]
  const at::Tensor cross_entropy = -(log_probability * targets.heatmap).sum(2);
  const at::Tensor distance = (coords_heatmap_px - targets.coords_heatmap_px).abs() * targets.valid.unsqueeze(2);
  return {(cross_entropy * targets.valid).mean(), distance.mean()};
}

}  // namespace posefix::train
