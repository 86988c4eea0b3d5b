// ResNets 18 and 34: basic units of two 3x3 convolutions, for small models. Per product they run faster on a CPU than
// bottlenecks, whose thin 1x1 convolutions wait for memory. Source: He et al., CVPR 2016, table 1.
#include "model/backbone.h"
#include "model/layers.h"

namespace posefix::model {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

// x -> relu(shortcut(x) + conv2(conv1(x)))
NodeId basic(Graph& graph, NodeId x, const std::string& scope, int64_t channels, int64_t stride) {
  const NodeId shortcut = shortcut_of(graph, x, scope, channels, stride);
  NodeId residual = conv_bn(graph, x, scope + "/conv1", 3, channels, stride, Activation::kRelu);
  residual = conv_bn(graph, residual, scope + "/conv2", 3, channels, 1, Activation::kNone);
  const NodeId sum = graph.add(Op::kAdd, scope + "/add", {shortcut, residual});
  return graph.add(Op::kRelu, scope + "/Relu", {sum});
}

const BackboneRegistration resnet18{
    "resnet18", [](Graph& graph, NodeId x, const ModelConfig& config) {
      return resnet(graph, x, "resnet_18", config.width_divisor(), {2, 2, 2, 2}, "basic", &basic);
    }};
const BackboneRegistration resnet34{
    "resnet34", [](Graph& graph, NodeId x, const ModelConfig& config) {
      return resnet(graph, x, "resnet_34", config.width_divisor(), {3, 4, 6, 3}, "basic", &basic);
    }};

}  // namespace
}  // namespace posefix::model
