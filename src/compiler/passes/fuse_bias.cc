// A bias that is added to a convolution's result becomes its own.
//
//   x ── Conv2d ── BiasAdd(b)          =>   x ── Conv2d(bias b)
//   x ── ConvTranspose2d ── BiasAdd(b) =>   x ── ConvTranspose2d(bias b)
#include "compiler/passes/passes.h"

namespace posefix::compiler {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

bool can_fuse(const Rewriter& rewriter, const Node& node) {
  if (node.op != Op::kBiasAdd || rewriter.old_node(node.inputs[1]).op != Op::kWeight) return false;
  const Node& conv = rewriter.old_node(node.inputs[0]);
  const bool is_convolution = conv.op == Op::kConv2d || conv.op == Op::kConvTranspose2d;
  return is_convolution && rewriter.is_private(node.inputs[0]) && !conv.attrs.relu && !conv.attrs.has_bias &&
         !conv.attrs.has_residual;
}

}  // namespace

Module fuse_bias(const Module& before) {
  Rewriter rewriter(before);
  for (size_t i = 0; i < rewriter.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    const Node& node = rewriter.old_node(id);
    if (!can_fuse(rewriter, node)) {
      rewriter.copy(id);
      continue;
    }
    const Node& conv = rewriter.old_node(node.inputs[0]);
    graph::Attributes attrs = conv.attrs;
    attrs.has_bias = true;
    rewriter.replace(
        id, conv.op,
        {rewriter.mapped(conv.inputs[0]), rewriter.mapped(conv.inputs[1]), rewriter.mapped(node.inputs[1])}, attrs);
  }
  return rewriter.finish();
}

}  // namespace posefix::compiler
