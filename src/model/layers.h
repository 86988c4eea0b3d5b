// The few layer patterns that backbones and the head are made of, with TF-slim's variable names.
#pragma once

#include <array>
#include <string>

#include "graph/graph.h"

namespace posefix::model {

enum class Activation { kNone, kRelu };

// Convolution without bias, batch norm, ReLU if asked. Variables scope/weights [k,k,in,out] and
// scope/BatchNorm/{gamma,beta,moving_mean,moving_variance}. Stride 1 pads to the same size inside the convolution;
// a larger stride pads explicitly first, (k-1)/2 before and the rest after, as slim's conv2d_same.
graph::NodeId conv_bn(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t kernel, int64_t channels,
                      int64_t stride, Activation activation);

// A residual unit: x [B,H,W,C] -> [B,H/stride,W/stride,C'] for any C', its variables under `scope`.
using ResidualUnit = graph::NodeId (*)(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t channels,
                                       int64_t stride);
// A whole ResNet of width 64 / divisor: stem, then four blocks of units[i] units named
// scope/blockI/unit_J/unit_name, channels doubling from block to block. The first unit of blocks 2 to 4 has stride 2.
graph::NodeId resnet(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t divisor,
                     const std::array<int, 4>& units, const char* unit_name, ResidualUnit unit);
// x itself when it has those channels and the stride is 1, else a 1x1 convolution of it (scope/shortcut).
graph::NodeId shortcut_of(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t channels,
                          int64_t stride);

// Transposed convolution 4x4 stride 2 SAME without bias, batch norm, ReLU; weights [4,4,out,in].
graph::NodeId deconv_bn_relu(graph::Graph& graph, graph::NodeId x, const std::string& scope, int64_t channels);

}  // namespace posefix::model
