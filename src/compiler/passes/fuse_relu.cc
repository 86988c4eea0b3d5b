// A convolution clamps at zero where it stores its result.
//
//   x ── Conv2d ── Relu            =>   x ── Conv2d relu
//   x ── ConvTranspose2d ── Relu   =>   x ── ConvTranspose2d relu
#include "compiler/passes/passes.h"

namespace posefix::compiler {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

bool can_fuse(const Rewriter& rewriter, const Node& node) {
  if (node.op != Op::kRelu) return false;
  const Node& conv = rewriter.old_node(node.inputs[0]);
  return (conv.op == Op::kConv2d || conv.op == Op::kConvTranspose2d) && rewriter.is_private(node.inputs[0]) &&
         !conv.attrs.relu;
}

}  // namespace

Module fuse_relu(const Module& before) {
  Rewriter rewriter(before);
  for (size_t i = 0; i < rewriter.size(); ++i) {
    const auto id = static_cast<NodeId>(i);
    const Node& node = rewriter.old_node(id);
    if (!can_fuse(rewriter, node)) {
      rewriter.copy(id);
      continue;
    }
    const Node& conv = rewriter.old_node(node.inputs[0]);
    std::vector<NodeId> inputs;
    for (const NodeId input : conv.inputs) inputs.push_back(rewriter.mapped(input));
    graph::Attributes attrs = conv.attrs;
    attrs.relu = true;
    rewriter.replace(id, conv.op, std::move(inputs), attrs);
  }
  return rewriter.finish();
}

}  // namespace posefix::compiler
