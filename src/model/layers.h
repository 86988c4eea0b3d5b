// The few layer patterns that backbones and the head are made of, with TF-slim's variable names.
#pragma once

#include <string>

#include "graph/graph.h"

namespace posefix::model {

enum class Activation { kNone, kRelu };

// Convolution without bias, batch norm, ReLU if asked. Variables scope/weights [k,k,in,out] and
// scope/BatchNorm/{gamma,beta,moving_mean,moving_variance}. Stride 1 pads to the same size inside the convolution;
// a larger stride pads explicitly first, (k-1)/2 before and the rest after, as slim's conv2d_same.
graph::NodeId conv_bn(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t kernel, int64_t channels,
                      int64_t stride, Activation activation);

// A ResNet's start: 7x7 stride 2 convolution (scope/conv1), 3x3 stride 2 max-pooling. [B,H,W,C] ->
// [B,H/4,W/4,channels].
graph::NodeId resnet_stem(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t channels);

// Transposed convolution 4x4 stride 2 SAME without bias, batch norm, ReLU; weights [4,4,out,in].
graph::NodeId deconv_bn_relu(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t channels);

}  // namespace posefix::model
