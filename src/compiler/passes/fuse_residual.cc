// A convolution adds its residual where it stores its result.
//
//   shortcut ───────────┐                 shortcut ──┐
//   x ── Conv2d ──── Add            =>    x ──── Conv2d(residual)
//
// Where both sides are convolutions the later one takes the addition: the earlier one's result is then dead and the
// sum may be stored over it.
#include <algorithm>

#include "compiler/passes/passes.h"

namespace posefix::compiler {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

bool can_take(const Rewriter& rewriter, NodeId id) {
  const Node& conv = rewriter.old_node(id);
  return conv.op == Op::kConv2d && rewriter.is_private(id) && !conv.attrs.relu && !conv.attrs.has_residual;
}

}  // namespace

Module fuse_residual(const Module& before) {
  Rewriter rewriter(before);
  for (size_t i = 0; i < rewriter.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    const Node& node = rewriter.old_node(id);
    if (node.op == Op::kAdd) {
      const NodeId later = std::max(node.inputs[0], node.inputs[1]);
      const NodeId earlier = std::min(node.inputs[0], node.inputs[1]);
      const NodeId taker = can_take(rewriter, later) ? later : earlier;
      const NodeId residual = taker == later ? earlier : later;
      if (taker != residual && can_take(rewriter, taker)) {
        const Node& conv = rewriter.old_node(taker);
        std::vector<NodeId> inputs;
        for (const NodeId input : conv.inputs) inputs.push_back(rewriter.mapped(input));
        inputs.push_back(rewriter.mapped(residual));
        graph::Attributes attrs = conv.attrs;
        attrs.has_residual = true;
        rewriter.replace(id, Op::kConv2d, std::move(inputs), attrs);
        continue;
      }
    }
    rewriter.copy(id);
  }
  return rewriter.finish();
}

}  // namespace posefix::compiler
