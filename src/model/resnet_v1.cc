// ResNet-v1 50, 101, 152 as the reference builds them from TF-slim's bottleneck units.
//
// Unlike slim's own ResNets the stride stands in the FIRST unit of blocks 2 to 4 (on the 3x3 convolution and on the
// 1x1 shortcut). Source: PoseFix_RELEASE lib/nets/basemodel.py, main/model.py; He et al., CVPR 2016, table 1.
#include "model/backbone.h"
#include "model/layers.h"

namespace posefix::model {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr int64_t kExpansion = 4;

// x -> relu(shortcut(x) + conv3(conv2(conv1(x))))
NodeId bottleneck(Graph& graph, NodeId x, const std::string& scope, int64_t channels, int64_t stride) {
  const int64_t out_channels = channels * kExpansion;
  const NodeId shortcut = shortcut_of(graph, x, scope, out_channels, stride);
  NodeId residual = conv_bn(graph, x, scope + "/conv1", 1, channels, 1, Activation::kRelu);
  residual = conv_bn(graph, residual, scope + "/conv2", 3, channels, stride, Activation::kRelu);
  residual = conv_bn(graph, residual, scope + "/conv3", 1, out_channels, 1, Activation::kNone);
  const NodeId sum = graph.add(Op::kAdd, scope + "/add", {shortcut, residual});
  return graph.add(Op::kRelu, scope + "/Relu", {sum});
}

const BackboneRegistration resnet50{
    "resnet50", [](Graph& graph, NodeId x, const ModelConfig& config) {
      return resnet(graph, x, "resnet_v1_50", config.width_divisor(), {3, 4, 6, 3}, "bottleneck_v1", &bottleneck);
    }};
const BackboneRegistration resnet101{
    "resnet101", [](Graph& graph, NodeId x, const ModelConfig& config) {
      return resnet(graph, x, "resnet_v1_101", config.width_divisor(), {3, 4, 23, 3}, "bottleneck_v1", &bottleneck);
    }};
const BackboneRegistration resnet152{
    "resnet152", [](Graph& graph, NodeId x, const ModelConfig& config) {
      return resnet(graph, x, "resnet_v1_152", config.width_divisor(), {3, 8, 36, 3}, "bottleneck_v1", &bottleneck);
    }};

}  // namespace
}  // namespace posefix::model
