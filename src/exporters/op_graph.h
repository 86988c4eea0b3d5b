// A graph as another program wrote it: TensorFlow's or ONNX's operators in one neutral form, before it is understood.
//
// Invariants: nodes stand in topological order; every value has one producer; constants are f32 or i64 whatever integer
// or float type the file has. Non-goals: control flow, functions, several graphs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/tensor.h"

namespace posefix::exporters {

using OpAttribute = std::variant<int64_t, double, std::string, std::vector<int64_t>>;

struct OpNode {
  std::string name;                  // TensorFlow's node name; ONNX: the first output
  std::string op;                    // "Conv2D", "Conv", ...
  std::vector<std::string> inputs;   // value names; "" for an absent optional input
  std::vector<std::string> outputs;  // value names
  std::map<std::string, OpAttribute> attributes;

  int64_t integer(const std::string& key, int64_t otherwise) const;
  double number(const std::string& key, double otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;
  std::vector<int64_t> integers(const std::string& key, std::vector<int64_t> otherwise) const;
};

struct OpInput {
  std::string name;
  Shape shape;  // -1: free
};

enum class Dialect { kTensorFlow, kOnnx };

struct OpGraph {
  Dialect dialect = Dialect::kTensorFlow;
  std::string source;  // file, for messages
  std::vector<OpNode> nodes;
  std::map<std::string, Tensor> constants;  // by value name
  std::vector<OpInput> inputs;
  std::vector<std::string> outputs;  // ONNX: declared; TensorFlow: values that nothing reads
  std::map<std::string, std::string> metadata;

  // Producer of a value, null for inputs, constants and unknown names.
  const OpNode* producer(std::string_view value) const;
  // Sorts the nodes and indexes producers. Error (bad input): a cycle, a value with two producers or none.
  void finish();

 private:
  std::map<std::string, size_t, std::less<>> producers_;
};

// Parses the files' bytes. Error (bad input) names `source`, node and field. Data that an ONNX model keeps in other
// files is read from beside `source`.
OpGraph parse_graphdef(std::string_view bytes, const std::string& source);
OpGraph parse_onnx(std::string_view bytes, const std::string& source);

}  // namespace posefix::exporters
