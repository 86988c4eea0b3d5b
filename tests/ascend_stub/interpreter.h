// Executes a GraphDef with plain loops: the operators of the list that atc's TensorFlow parser knows.
#pragma once

#include <map>
#include <set>
#include <string>

#include "graphdef.h"

namespace ascend_stub {

// Operators that execute() knows; a model with another one is refused by the stub's atc.
const std::set<std::string>& known_operators();

enum class Mode {
  kCompute,
  kShapes,  // convolutions give zeros: for shape inference
};

// Value of `output` for the given placeholders. std::runtime_error names the node.
Value execute(const GraphDef& graph, const std::map<std::string, Value>& placeholders, const std::string& output,
              Mode mode = Mode::kCompute);

}  // namespace ascend_stub
