#include "model/posefix_net.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/backbone.h"
#include "model/layers.h"

namespace posefix::model {

using graph::Graph;
using graph::kBatch;
using graph::NodeId;
using graph::Op;

Graph build(const ModelConfig& config, int64_t joints) {
  constexpr int64_t kHeadChannels = 256;
  if (joints < 1) throw bad_input("model.skeleton: a network needs at least one joint, found {}", joints);
  Graph graph;
  const NodeId image = graph.add_input("image", {DType::kF32, {kBatch, config.height(), config.width_px(), 3}});
  const NodeId pose = graph.add_input("pose", {DType::kF32, {kBatch, joints, 2}});
  const NodeId valid = graph.add_input("valid", {DType::kF32, {kBatch, joints}});
  const NodeId rendered =
      graph.add(Op::kRenderPose, "input_heatmap", {pose, valid},
                {.height = config.height(), .width = config.width_px(), .sigma = config.resolved_sigma_px()});
  NodeId x = graph.add(Op::kConcat, "image_and_pose", {image, rendered});

  x = find_backbone(config.backbone)(graph, x, config);
  for (const char* scope : {"up1", "up2", "up3"}) {
    x = deconv_bn_relu(graph, x, scope, kHeadChannels / config.width_divisor());
  }
  const NodeId weights = graph.add_weight("out/weights", {1, 1, graph.node(x).type.shape.at(3), joints});
  const NodeId biases = graph.add_weight("out/biases", {joints});
  x = graph.add(Op::kConv2d, "out/Conv2D", {x, weights});
  const NodeId logits = graph.add(Op::kBiasAdd, "logits", {x, biases});
  const Shape& heatmap = graph.node(logits).type.shape;
  if (heatmap[1] * kHeatmapStride != config.height() || heatmap[2] * kHeatmapStride != config.width_px()) {
    throw bad_input("model.backbone {}: heat maps are {}x{} for an input of {}x{}; the backbone must reduce by 32",
                    config.backbone, heatmap[1], heatmap[2], config.height(), config.width_px());
  }

  const NodeId coords_heatmap_px = graph.add(Op::kSoftArgmax, "coords_heatmap_px", {logits});
  const NodeId spread_heatmap_px = graph.add(Op::kHeatmapSpread, "spread_heatmap_px", {logits});
  constexpr auto kStride = static_cast<double>(kHeatmapStride);
  graph.add_output("coords", graph.add(Op::kScale, "coords", {coords_heatmap_px}, {.factor = kStride}));
  graph.add_output("spread", graph.add(Op::kScale, "spread", {spread_heatmap_px}, {.factor = kStride}));
  graph.add_output("logits", logits);
  graph.verify();
  return graph;
}

}  // namespace posefix::model
