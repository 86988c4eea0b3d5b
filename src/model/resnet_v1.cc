// ResNet-v1 50, 101, 152 as the reference builds them from TF-slim's bottleneck units.
//
// Unlike slim's own ResNets the stride stands in the FIRST unit of blocks 2 to 4 (on the 3x3 convolution and on the
// 1x1 shortcut). Source: PoseFix_RELEASE lib/nets/basemodel.py, main/model.py; He et al., CVPR 2016, table 1.
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
constexpr int64_t kExpansion = 4;

// x -> relu(shortcut(x) + conv3(conv2(conv1(x))))
NodeId bottleneck(Graph& graph, NodeId x, const std::string& scope, int64_t channels, int64_t stride) {
  const int64_t out_channels = channels * kExpansion;
  NodeId shortcut = x;
  if (graph.node(x).type.shape.at(3) != out_channels || stride != 1) {
    shortcut = conv_bn(graph, x, scope + "/shortcut", 1, out_channels, stride, Activation::kNone);
  }
  NodeId residual = conv_bn(graph, x, scope + "/conv1", 1, channels, 1, Activation::kRelu);
  residual = conv_bn(graph, residual, scope + "/conv2", 3, channels, stride, Activation::kRelu);
  residual = conv_bn(graph, residual, scope + "/conv3", 1, out_channels, 1, Activation::kNone);
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
      x = bottleneck(graph, x, fmt::format("{}/block{}/unit_{}/bottleneck_v1", scope, block + 1, unit + 1), channels,
                     stride);
    }
  }
  return x;
}

const BackboneRegistration resnet50{"resnet50", [](Graph& graph, NodeId x, const ModelConfig& config) {
                                      return resnet(graph, x, config, "resnet_v1_50", {3, 4, 6, 3});
                                    }};
const BackboneRegistration resnet101{"resnet101", [](Graph& graph, NodeId x, const ModelConfig& config) {
                                       return resnet(graph, x, config, "resnet_v1_101", {3, 4, 23, 3});
                                     }};
const BackboneRegistration resnet152{"resnet152", [](Graph& graph, NodeId x, const ModelConfig& config) {
                                       return resnet(graph, x, config, "resnet_v1_152", {3, 8, 36, 3});
                                     }};

}  // namespace
}  // namespace posefix::model
