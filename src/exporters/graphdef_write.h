// Writes a pose network as a frozen TensorFlow GraphDef.
//
// Names are the reference's: Placeholder (image, BGR minus mean), Placeholder_2 (pose, crop px), Placeholder_4 (valid)
// -> mul_15 (coordinates in heat-map px); weights keep their variable names. Only the operators that parsers for
// chips' compilers are known to take: Add, Sub, Mul, Square, Exp, Sum, Softmax, Reshape, Transpose, ConcatV2, Pad,
// Conv2D (a strided one is Pad and VALID), Conv2DBackpropInput SAME, FusedBatchNormV3, Relu, MaxPool, BiasAdd.
#pragma once

#include "graph/graph.h"

namespace posefix::exporters {

struct GraphDefOptions {
  // 0: any. A fixed batch also gives transposed convolutions their whole output size, which converters for one target
  // like better than a height and width alone.
  int64_t batch = 0;
};

// `graph` has the inputs and named nodes of model::build() (spread and logits are left out). Error (bad input) names
// the node that cannot be written or the weight that is missing.
std::string encode_graphdef(const graph::Graph& graph, const NamedTensors& weights,
                            const GraphDefOptions& options = {});

}  // namespace posefix::exporters
