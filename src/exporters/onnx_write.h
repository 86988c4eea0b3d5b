// Writes a pose network as an ONNX model.
//
// Inputs image [B,H,W,3] (BGR minus mean), pose [B,K,2] (crop px), valid [B,K]; outputs coords [B,K,2] and spread [B,K]
// in crop px, or logits [B,h,w,K] without the decoding. Operators of opset 13 to 17, the same in all of them: Conv,
// ConvTranspose (without output_shape), BatchNormalization, MaxPool, Pad, Relu, Add, Sub, Mul, Exp, Sqrt, Softmax,
// ReduceSum, Reshape, Transpose, Gather, Concat, Split.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace posefix::exporters {

struct OnnxOptions {
  int64_t opset = 13;  // 13..17
  int64_t batch = 0;   // 0: any
  bool decode = true;  // false: the output is logits
  // Runs the mirrored picture too and merges both answers inside. Needs decode.
  bool flip = false;
  std::vector<int64_t> mirror;                  // joint -> its mirror partner, for flip
  std::map<std::string, std::string> metadata;  // the model's properties
};

// `graph` has the inputs and named nodes of model::build(). Error (bad input) names what cannot be written.
std::string encode_onnx(const graph::Graph& graph, const NamedTensors& weights, const OnnxOptions& options = {});

}  // namespace posefix::exporters
