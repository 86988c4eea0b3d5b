// Padding becomes an attribute of the convolution or of the pooling that reads it.
//
//   x ── Pad(1,1,1,1) ── Conv2d        =>   x ── Conv2d pads=(1,1,1,1)
//   x ── Pad(1,1,1,1) ── MaxPool       =>   x ── MaxPool pads=(1,1,1,1)     only where x is never negative
//
// A pooling's own padding never wins; zeros win over negative values. Both are the same after a ReLU.
#include "compiler/passes/passes.h"

namespace posefix::compiler {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

bool is_never_negative(const Rewriter& rewriter, NodeId id) {
  const Node& node = rewriter.old_node(id);
  return node.op == Op::kRelu || node.op == Op::kRenderPose || node.attrs.relu ||
         (node.op == Op::kMaxPool && is_never_negative(rewriter, node.inputs[0]));
}

bool can_fold(const Rewriter& rewriter, const Node& node) {
  if (node.op != Op::kConv2d && node.op != Op::kMaxPool) return false;
  const Node& pad = rewriter.old_node(node.inputs[0]);
  if (pad.op != Op::kPad || !rewriter.is_private(node.inputs[0])) return false;
  if (node.op == Op::kConv2d) return true;
  for (const int64_t side : pad.attrs.pads) {
    if (side >= node.attrs.kernel) return false;  // a window of padding alone has no largest value
  }
  return is_never_negative(rewriter, pad.inputs[0]);
}

}  // namespace

Module fold_padding(const Module& before) {
  Rewriter rewriter(before);
  for (size_t i = 0; i < rewriter.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    const Node& node = rewriter.old_node(id);
    if (!can_fold(rewriter, node)) {
      rewriter.copy(id);
      continue;
    }
    const Node& pad = rewriter.old_node(node.inputs[0]);
    graph::Attributes attrs = node.attrs;
    for (size_t side = 0; side < attrs.pads.size(); ++side) attrs.pads[side] += pad.attrs.pads[side];
    std::vector<NodeId> inputs{rewriter.mapped(pad.inputs[0])};
    for (size_t k = 1; k < node.inputs.size(); ++k) inputs.push_back(rewriter.mapped(node.inputs[k]));
    rewriter.replace(id, node.op, std::move(inputs), attrs);
  }
  return rewriter.finish();
}

}  // namespace posefix::compiler
