#include "model/layers.h"

#include "model/posefix_net.h"

namespace posefix::model {
namespace {

using graph::Attributes;
using graph::Graph;
using graph::NodeId;
using graph::Op;

NodeId batch_norm(Graph& graph, NodeId x, const std::string& scope) {
  const Shape channels{graph.node(x).type.shape.at(3)};
  std::vector<NodeId> inputs{x};
  for (const char* name : {"gamma", "beta", "moving_mean", "moving_variance"}) {
    inputs.push_back(graph.add_weight(scope + "/BatchNorm/" + name, channels));
  }
  return graph.add(Op::kBatchNorm, scope + "/BatchNorm", inputs, {.epsilon = kBatchNormEpsilon});
}

NodeId activate(Graph& graph, NodeId x, const std::string& scope, Activation activation) {
  return activation == Activation::kRelu ? graph.add(Op::kRelu, scope + "/Relu", {x}) : x;
}

}  // namespace

NodeId conv_bn(Graph& graph, NodeId x, const std::string& scope, int64_t kernel, int64_t channels, int64_t stride,
               Activation activation) {
  const int64_t before = (kernel - 1) / 2;
  const int64_t after = kernel - 1 - before;
  Attributes conv{.stride = stride};
  if (kernel > 1 && stride > 1) {
    x = graph.add(Op::kPad, scope + "/Pad", {x}, {.pads = {before, after, before, after}});
  } else {
    conv.pads = {before, after, before, after};
  }
  const int64_t in_channels = graph.node(x).type.shape.at(3);
  const NodeId weights = graph.add_weight(scope + "/weights", {kernel, kernel, in_channels, channels});
  x = graph.add(Op::kConv2d, scope + "/Conv2D", {x, weights}, conv);
  return activate(graph, batch_norm(graph, x, scope), scope, activation);
}

NodeId resnet_stem(Graph& graph, NodeId x, const std::string& scope, int64_t channels) {
  x = conv_bn(graph, x, scope + "/conv1", 7, channels, 2, Activation::kRelu);
  x = graph.add(Op::kPad, scope + "/pool1/Pad", {x}, {.pads = {1, 1, 1, 1}});
  return graph.add(Op::kMaxPool, scope + "/pool1", {x}, {.stride = 2, .kernel = 3});
}

NodeId deconv_bn_relu(Graph& graph, NodeId x, const std::string& scope, int64_t channels) {
  constexpr int64_t kKernel = 4;
  const int64_t in_channels = graph.node(x).type.shape.at(3);
  const NodeId weights = graph.add_weight(scope + "/weights", {kKernel, kKernel, channels, in_channels});
  x = graph.add(Op::kConvTranspose2d, scope + "/conv2d_transpose", {x, weights}, {.stride = 2});
  return activate(graph, batch_norm(graph, x, scope), scope, Activation::kRelu);
}

}  // namespace posefix::model
