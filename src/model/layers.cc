#include "model/layers.h"

#include <fmt/format.h>

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

NodeId shortcut_of(Graph& graph, NodeId x, const std::string& scope, int64_t channels, int64_t stride) {
  if (graph.node(x).type.shape.at(3) == channels && stride == 1) return x;
  return conv_bn(graph, x, scope + "/shortcut", 1, channels, stride, Activation::kNone);
}

NodeId resnet(Graph& graph, NodeId x, const std::string& scope, int64_t divisor, const std::array<int, 4>& units,
              const char* unit_name, ResidualUnit unit) {
  constexpr int64_t kStemChannels = 64;
  x = conv_bn(graph, x, scope + "/conv1", 7, kStemChannels / divisor, 2, Activation::kRelu);
  x = graph.add(Op::kPad, scope + "/pool1/Pad", {x}, {.pads = {1, 1, 1, 1}});
  x = graph.add(Op::kMaxPool, scope + "/pool1", {x}, {.stride = 2, .kernel = 3});
  for (size_t block = 0; block < units.size(); ++block) {
    const int64_t channels = (kStemChannels << block) / divisor;
    for (int i = 0; i < units[block]; ++i) {
      const int64_t stride = i == 0 && block > 0 ? 2 : 1;
      x = unit(graph, x, fmt::format("{}/block{}/unit_{}/{}", scope, block + 1, i + 1, unit_name), channels, stride);
    }
  }
  return x;
}

NodeId deconv_bn_relu(Graph& graph, NodeId x, const std::string& scope, int64_t channels) {
  constexpr int64_t kKernel = 4;
  const int64_t in_channels = graph.node(x).type.shape.at(3);
  const NodeId weights = graph.add_weight(scope + "/weights", {kKernel, kKernel, channels, in_channels});
  x = graph.add(Op::kConvTranspose2d, scope + "/conv2d_transpose", {x, weights}, {.stride = 2});
  return activate(graph, batch_norm(graph, x, scope), scope, Activation::kRelu);
}

}  // namespace posefix::model
