#include "exporters/interpreter.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace posefix::exporters {

Array to_array(const Tensor& tensor) {
  Array array{tensor.shape(), {}};
  if (tensor.dtype() == DType::kF32) {
    array.values.assign(tensor.f32().begin(), tensor.f32().end());
  } else {
    PFX_CHECK(tensor.dtype() == DType::kI64);
    for (const int64_t value : tensor.as<int64_t>()) array.values.push_back(static_cast<double>(value));
  }
  return array;
}

Interpreter::Interpreter(const OpGraph& graph, std::map<std::string, Array> given) : graph_(graph) {
  values_.merge(std::move(given));
}

const Array& Interpreter::value(const std::string& name) {
  // Which nodes are needed: nodes stand in topological order, so one backward sweep collects them.
  std::set<std::string, std::less<>> needed{name};
  std::vector<const OpNode*> nodes;
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    const bool wanted = std::any_of(node->outputs.begin(), node->outputs.end(), [&](const std::string& output) {
      return needed.contains(output) && !values_.contains(output);
    });
    if (!wanted) continue;
    nodes.push_back(&*node);
    needed.insert(node->inputs.begin(), node->inputs.end());
  }
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) compute(**node);
  const auto found = values_.find(name);
  if (found != values_.end()) return found->second;
  const auto constant = graph_.constants.find(name);
  if (constant == graph_.constants.end()) {
    throw bad_input("{}: '{}' is needed here, but it is an input of the model", graph_.source, name);
  }
  return values_.emplace(name, to_array(constant->second)).first->second;
}

void Interpreter::compute(const OpNode& node) {
  std::vector<const Array*> in;
  for (const std::string& input : node.inputs) {
    if (input.empty()) {
      in.push_back(nullptr);
      continue;
    }
    auto found = values_.find(input);
    if (found == values_.end()) {
      const auto constant = graph_.constants.find(input);
      if (constant == graph_.constants.end()) {
        throw bad_input("{}: node '{}' ({}) depends on '{}', which it should not", graph_.source, node.name, node.op,
                        input);
      }
      found = values_.emplace(input, to_array(constant->second)).first;
    }
    in.push_back(&found->second);
  }
  std::vector<Array> outputs(node.outputs.size());
  try {
    apply(node, graph_.dialect, in, outputs);
  } catch (const Error& error) {
    throw error.within(fmt::format("{}: node '{}' ({})", graph_.source, node.name, node.op));
  }
  for (size_t i = 0; i < outputs.size(); ++i) values_.insert_or_assign(node.outputs[i], std::move(outputs[i]));
}

}  // namespace posefix::exporters
