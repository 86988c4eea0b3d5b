#include "exporters/interpreter.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"

namespace posefix::exporters {
namespace {

Step constant_step(const Tensor& tensor) {
  Step step;
  step.shape = tensor.shape();
  step.is_constant = true;
  if (tensor.dtype() == DType::kF32) {
    step.source = [values = tensor.f32()](int64_t i) { return static_cast<double>(values[static_cast<size_t>(i)]); };
  } else {
    PFX_CHECK(tensor.dtype() == DType::kI64);
    step.source = [values = tensor.as<int64_t>()](int64_t i) {
      return static_cast<double>(values[static_cast<size_t>(i)]);
    };
  }
  return step;
}

}  // namespace

Interpreter::Interpreter(const OpGraph& graph, const std::map<std::string, Given>& given) : graph_(graph) {
  for (const auto& [name, value] : given) {
    Step step;
    step.shape = value.shape;
    step.source = value.element;
    by_name_.emplace(name, steps_.add(std::move(step)));
  }
}

const Shape& Interpreter::shape(const std::string& value) { return steps_[step_of(value)].shape; }

std::vector<double> Interpreter::elements(const std::string& value, std::span<const int64_t> indices) {
  const size_t step = step_of(value);
  try {
    return steps_.evaluate(step, indices);
  } catch (const Error& error) {
    throw error.within(fmt::format("{}: '{}'", graph_.source, value));
  }
}

std::vector<double> Interpreter::all_elements(const std::string& value) {
  const int64_t count = element_count(shape(value));
  if (count > kMostElements) throw bad_input("{}: '{}' is {}", graph_.source, value, to_string(shape(value)));
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return elements(value, indices);
}

std::optional<size_t> Interpreter::known_step(const std::string& value) {
  const auto found = by_name_.find(value);
  if (found != by_name_.end()) return found->second;
  const auto constant = graph_.constants.find(value);
  if (constant == graph_.constants.end()) return std::nullopt;
  return by_name_.emplace(value, steps_.add(constant_step(constant->second))).first->second;
}

size_t Interpreter::step_of(const std::string& value) {
  if (const std::optional<size_t> known = known_step(value)) return *known;
  // Which nodes are needed: nodes stand in topological order, so one backward sweep collects them.
  std::set<std::string, std::less<>> needed{value};
  std::vector<const OpNode*> nodes;
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    const bool wanted = std::any_of(node->outputs.begin(), node->outputs.end(), [&](const std::string& output) {
      return needed.contains(output) && !by_name_.contains(output);
    });
    if (!wanted) continue;
    nodes.push_back(&*node);
    needed.insert(node->inputs.begin(), node->inputs.end());
  }
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) add(**node);
  if (const std::optional<size_t> known = known_step(value)) return *known;
  throw bad_input("{}: '{}' is needed here, but it is an input of the model", graph_.source, value);
}

void Interpreter::add(const OpNode& node) {
  const std::string where = fmt::format("{}: node '{}' ({})", graph_.source, node.name, node.op);
  StepInputs in;
  for (const std::string& input : node.inputs) {
    in.push_back(input.empty() ? std::nullopt : known_step(input));
    if (!input.empty() && !in.back()) throw bad_input("{} depends on '{}', which it should not", where, input);
  }
  try {
    const std::vector<size_t> outputs = add_operator(node, graph_.dialect, in, steps_);
    for (size_t i = 0; i < outputs.size(); ++i) by_name_.emplace(node.outputs[i], outputs[i]);
  } catch (const Error& error) {
    throw error.within(where);
  }
}

}  // namespace posefix::exporters
