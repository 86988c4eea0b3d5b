// ResNets 18 and 34: basic units of two 3x3 convolutions, for small models. Per product they run faster on a CPU than
// bottlenecks, whose thin 1x1 convolutions wait for memory. Source: He et al., CVPR 2016, table 1.
#include <fmt/format.h>

#include <array>

#include "model/backbone.h"
#include "model/layers.h"

namespace posefix::model {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr int64_t kStemChannels = 64;

// x -> relu(shortcut(x) + conv2(conv1(x)))
NodeId basic(Graph& graph, NodeId x, const std::string& scope, int64_t channels, int64_t stride) {
  NodeId shortcut = x;
  if (graph.node(x).type.shape.at(3) != channels || stride != 1) {
    shortcut = conv_bn(graph, x, scope + "/shortcut", 1, channels, stride, Activation::kNone);
  }
  NodeId residual = conv_bn(graph, x, scope + "/conv1", 3, channels, stride, Activation::kRelu);
  residual = conv_bn(graph, residual, scope + "/conv2", 3, channels, 1, Activation::kNone);
  const NodeId sum = graph.add(Op::kAdd, scope + "/add", {shortcut, residual});
  return graph.add(Op::kRelu, scope + "/Relu", {sum});
}

NodeId resnet(Graph& graph, NodeId x, const ModelConfig& config, const std::string& scope,
              const std::array<int, 4>& units) {
  const int64_t divisor = config.width_divisor();
  x = resnet_stem(graph, x, scope, kStemChannels / divisor);
  for (size_t block = 0; block < units.size(); ++block) {
    const int64_t channels = (kStemChannels << block) / divisor;
    for (int unit = 0; unit < units[block]; ++unit) {
      const int64_t stride = unit == 0 && block > 0 ? 2 : 1;
      x = basic(graph, x, fmt::format("{}/block{}/unit_{}/basic", scope, block + 1, unit + 1), channels, stride);
    }
  }
  return x;
}

const BackboneRegistration resnet18{"resnet18", [](Graph& graph, NodeId x, const ModelConfig& config) {
                                      return resnet(graph, x, config, "resnet_18", {2, 2, 2, 2});
                                    }};
const BackboneRegistration resnet34{"resnet34", [](Graph& graph, NodeId x, const ModelConfig& config) {
                                      return resnet(graph, x, config, "resnet_34", {3, 4, 6, 3});
                                    }};

}  // namespace
}  // namespace posefix::model
