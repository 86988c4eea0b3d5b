// Computes parts of an OpGraph on small arrays, to find out by trying what a group of foreign operators does.
//
// Two parts of a pose network are plain arithmetic that every exporter writes in its own way: rendering the input pose
// and turning heat maps into coordinates. Instead of matching patterns, the reader runs them on chosen inputs and
// compares with the definition. Non-goals: speed, convolutions.
#pragma once

#include <map>
#include <string>

#include "exporters/op_graph.h"

namespace posefix::exporters {

// Numbers of any type, as doubles; row-major.
struct Array {
  Shape shape;
  std::vector<double> values;
};

Array to_array(const Tensor& tensor);

class Interpreter {
 public:
  // `graph` is borrowed. `given`: values that replace what the graph would compute for them.
  Interpreter(const OpGraph& graph, std::map<std::string, Array> given);
  // Error (bad input) names the node whose operator is unknown or whose inputs do not fit.
  const Array& value(const std::string& name);

 private:
  void compute(const OpNode& node);
  const OpGraph& graph_;
  std::map<std::string, Array, std::less<>> values_;
};

// One operator on its inputs (null: absent); `outputs` has one entry a name in node.outputs.
void apply(const OpNode& node, Dialect dialect, const std::vector<const Array*>& in, std::vector<Array>& outputs);

}  // namespace posefix::exporters
