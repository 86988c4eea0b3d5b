// Builds the PoseFix network of a configuration: pose rendering, backbone, three transposed convolutions, heat maps,
// soft-argmax.
//
// Inputs, in order: "image" [B,H,W,3] f32 (BGR minus kImageMeanBgr), "pose" [B,K,2] f32 crop_px, "valid" [B,K] f32.
// Outputs: "coords" [B,K,2] f32 crop_px, "spread" [B,K] f32 crop_px (standard deviation of the heat map's softmax),
// "logits" [B,h,w,K] f32. Named nodes that others rely on: "logits", "coords_heatmap_px".
// Variables: TF-slim's names and layouts. Source: PoseFix_RELEASE main/model.py, lib/nets/basemodel.py.
#pragma once

#include "graph/graph.h"
#include "model/config.h"

namespace posefix::model {

inline constexpr double kImageMeanBgr[3] = {123.68, 116.78, 103.94};  // in channel order B, G, R, as the reference
// TensorFlow 1's fused_batch_norm raises the reference's 1e-9 to cuDNN's minimum.
inline constexpr double kBatchNormEpsilon = 1.001e-5;
inline constexpr int64_t kHeatmapStride = 4;

graph::Graph build(const ModelConfig& config, int64_t joints);

// Fresh values for every variable of `graph`, by name: variance scaling for the backbone and `out`, truncated normal
// 0.01 for up*, batch-norm gamma 1, beta 0, mean 0, variance 1. Depends on the seed and the name alone.
NamedTensors initialise(const graph::Graph& graph, uint64_t seed);
// Only those that `given` does not hold in the same shape: what is going to be overwritten need not be drawn.
NamedTensors initialise_rest(const graph::Graph& graph, uint64_t seed, const NamedTensors& given);

// Error (bad input) with one table of what is missing, surplus and of the wrong shape, or nothing.
void check_weights(const graph::Graph& graph, const NamedTensors& weights, const std::string& source);

}  // namespace posefix::model
