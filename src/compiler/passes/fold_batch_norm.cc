// Inference batch norm is a scale and a shift per channel; a convolution takes both into weights and bias.
//
//   x ── Conv2d(W, b) ── BatchNorm     =>   x ── Conv2d(W * s, (b - mean) * s + beta),  s = gamma / sqrt(var + eps)
//   x ── ConvTranspose2d likewise
//
// Computed in double and rounded once to f32; of the filters when their values are asked for (plan/weight.h).
#include <array>
#include <cmath>

#include "compiler/passes/passes.h"

namespace posefix::compiler {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

bool can_fold(const Rewriter& rewriter, const Node& node) {
  if (node.op != Op::kBatchNorm) return false;
  const Node& conv = rewriter.old_node(node.inputs[0]);
  if (conv.op != Op::kConv2d && conv.op != Op::kConvTranspose2d) return false;
  if (!rewriter.is_private(node.inputs[0]) || conv.attrs.relu || conv.attrs.has_residual) return false;
  for (size_t k = 1; k < node.inputs.size(); ++k) {
    if (rewriter.old_node(node.inputs[k]).op != Op::kWeight) return false;
  }
  return rewriter.old_node(conv.inputs[1]).op == Op::kWeight;
}

// Conv2d keeps output channels last [kh,kw,in,out], ConvTranspose2d last but one [kh,kw,out,in].
plan::Weight scaled_weights(Tensor weights, Op op, std::vector<double> scale) {
  const size_t run = op == Op::kConv2d ? 1 : static_cast<size_t>(weights.shape()[3]);
  return {std::move(weights), std::move(scale), run};
}

void fold(Rewriter& rewriter, NodeId id) {
  const Node& norm = rewriter.old_node(id);
  const Node& conv = rewriter.old_node(norm.inputs[0]);
  std::array<Tensor, 5> values;  // 1 gamma, 2 beta, 3 mean, 4 variance; 0 the convolution's bias, if it has one
  for (size_t k = 1; k < values.size(); ++k) values[k] = rewriter.weight(norm.inputs[k]);
  if (conv.attrs.has_bias) values[0] = rewriter.weight(conv.inputs[2]);
  const auto gamma = values[1].f32();
  const auto beta = values[2].f32();
  const auto mean = values[3].f32();
  const auto variance = values[4].f32();
  std::vector<double> scale(gamma.size());
  Tensor bias(DType::kF32, {static_cast<int64_t>(gamma.size())});
  const auto shift = bias.mutable_f32();
  for (size_t c = 0; c < scale.size(); ++c) {
    scale[c] = double{gamma[c]} / std::sqrt(double{variance[c]} + norm.attrs.epsilon);
    const double before = conv.attrs.has_bias ? double{values[0].f32()[c]} : 0.0;
    shift[c] = static_cast<float>((before - double{mean[c]}) * scale[c] + double{beta[c]});
  }
  const NodeId weights = rewriter.add_weight(
      norm.name + "/folded_weights", scaled_weights(rewriter.weight(conv.inputs[1]), conv.op, std::move(scale)));
  const NodeId shifted = rewriter.add_weight(norm.name + "/folded_bias", std::move(bias));
  graph::Attributes attrs = conv.attrs;
  attrs.has_bias = true;
  rewriter.replace(id, conv.op, {rewriter.mapped(conv.inputs[0]), weights, shifted}, attrs);
}

}  // namespace

Module fold_batch_norm(const Module& before) {
  Rewriter rewriter(before);
  for (size_t i = 0; i < rewriter.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    if (can_fold(rewriter, rewriter.old_node(id))) {
      fold(rewriter, id);
    } else {
      rewriter.copy(id);
    }
  }
  return rewriter.finish();
}

}  // namespace posefix::compiler
