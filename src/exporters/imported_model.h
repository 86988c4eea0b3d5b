// Reads a whole pose network from a frozen TensorFlow graph or an ONNX model, ours or another program's.
//
// What is understood: Conv, ConvTranspose, batch norm (or folded), bias, max pooling, ReLU, additions and channel
// concatenation, in NHWC or NCHW; rendering and decoding are recognised by what they compute, not by how they are
// written. Anything else is an Error (bad input) that names the node. Weights keep the names they have in the file (a
// nameless constant gets the name of the variable that its layer implies) and get TensorFlow's layouts.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "exporters/op_graph.h"
#include "graph/graph.h"

namespace posefix::exporters {

struct ImportedModel {
  graph::Graph graph;  // inputs image, pose, valid; outputs coords, spread, logits, as model::build() gives them
  NamedTensors weights;
  std::map<std::string, std::string> metadata;  // "posefix.config" and "posefix.skeleton" if we wrote the file
};

enum class ModelFormat { kGraphDef, kOnnx };

// By content and, failing that, by name (.pb, .onnx).
ModelFormat guess_format(const std::filesystem::path& path, std::string_view bytes);

ImportedModel read_model(const std::filesystem::path& path);
ImportedModel parse_model(std::string_view bytes, ModelFormat format, const std::string& source);

// The second half of parse_model().
ImportedModel understand(const OpGraph& file);

// Constants of the file that carry a name and floating-point values, as they are: for listing and for taking weights.
NamedTensors named_constants(const OpGraph& file);

}  // namespace posefix::exporters
