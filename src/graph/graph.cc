#include "graph/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace posefix::graph {
namespace {

std::string attributes_text(const Attributes& attrs) {
  const Attributes defaults;
  std::string text;
  if (attrs.stride != defaults.stride) text += fmt::format(" stride={}", attrs.stride);
  if (attrs.kernel != defaults.kernel) text += fmt::format(" kernel={}", attrs.kernel);
  if (attrs.pads != defaults.pads) text += fmt::format(" pads=[{}]", fmt::join(attrs.pads, ","));
  if (attrs.height != defaults.height) text += fmt::format(" size={}x{}", attrs.height, attrs.width);
  if (attrs.sigma != defaults.sigma) text += fmt::format(" sigma={}", attrs.sigma);
  if (attrs.epsilon != defaults.epsilon) text += fmt::format(" epsilon={}", attrs.epsilon);
  if (attrs.factor != defaults.factor) text += fmt::format(" factor={}", attrs.factor);
  if (attrs.has_bias) text += " bias";
  if (attrs.has_residual) text += " residual";
  if (attrs.relu) text += " relu";
  return text;
}

// The attributes that `op` does not read, reset to their defaults.
Attributes only_used(Op op, const Attributes& attrs) {
  Attributes used;
  const auto keep = [&](auto Attributes::*field) { used.*field = attrs.*field; };
  switch (op) {
    case Op::kRenderPose:
      keep(&Attributes::height);
      keep(&Attributes::width);
      keep(&Attributes::sigma);
      break;
    case Op::kPad:
      keep(&Attributes::pads);
      break;
    case Op::kConv2d:
      keep(&Attributes::has_residual);
      keep(&Attributes::pads);
      [[fallthrough]];
    case Op::kConvTranspose2d:
      keep(&Attributes::stride);
      keep(&Attributes::relu);
      keep(&Attributes::has_bias);
      break;
    case Op::kBatchNorm:
      keep(&Attributes::epsilon);
      break;
    case Op::kMaxPool:
      keep(&Attributes::kernel);
      keep(&Attributes::stride);
      keep(&Attributes::pads);
      break;
    case Op::kScale:
      keep(&Attributes::factor);
      break;
    default:
      break;
  }
  return used;
}

}  // namespace

NodeId Graph::add_input(std::string name, TensorType type) {
  nodes_.push_back({Op::kInput, std::move(name), {}, {}, std::move(type)});
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Graph::add_weight(std::string name, Shape shape) {
  nodes_.push_back({Op::kWeight, std::move(name), {}, {}, {DType::kF32, std::move(shape)}});
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Graph::add(Op op, std::string name, std::vector<NodeId> inputs, const Attributes& attrs) {
  std::vector<const TensorType*> types;
  for (NodeId input : inputs) {
    if (input < 0 || static_cast<size_t>(input) >= nodes_.size()) {
      throw bad_input("node {} ({}): input {} does not stand before it", name, schema(op).name, input);
    }
    types.push_back(&node(input).type);
  }
  try {
    TensorType type = infer_type(op, types, attrs);
    nodes_.push_back({op, std::move(name), std::move(inputs), attrs, std::move(type)});
  } catch (const Error& error) {
    throw error.within(fmt::format("node {} ({})", name, schema(op).name));
  }
  return static_cast<NodeId>(nodes_.size() - 1);
}

void Graph::add_output(std::string name, NodeId id) { outputs_.push_back({std::move(name), id}); }

NodeId Graph::find_or_none(std::string_view name) const {
  const auto found = std::find_if(nodes_.begin(), nodes_.end(), [&](const Node& n) { return n.name == name; });
  return found == nodes_.end() ? -1 : static_cast<NodeId>(found - nodes_.begin());
}

NodeId Graph::find(std::string_view name) const {
  const NodeId id = find_or_none(name);
  if (id < 0) throw bad_input("the graph has no node named '{}'", name);
  return id;
}

std::vector<NodeId> Graph::all(Op op) const {
  std::vector<NodeId> ids;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].op == op) ids.push_back(static_cast<NodeId>(i));
  }
  return ids;
}

void Graph::verify() const {
  std::set<std::string_view> names;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    const std::string where = fmt::format("node {} '{}' ({})", i, n.name, schema(n.op).name);
    if (n.name.empty() || !names.insert(n.name).second) throw bad_input("{}: the name is empty or taken", where);
    if (n.op == Op::kInput || n.op == Op::kWeight) {
      if (!n.inputs.empty()) throw bad_input("{}: takes no inputs", where);
      continue;
    }
    std::vector<const TensorType*> types;
    for (NodeId input : n.inputs) {
      if (input < 0 || static_cast<size_t>(input) >= i) throw bad_input("{}: input {} is not before it", where, input);
      types.push_back(&node(input).type);
    }
    if (only_used(n.op, n.attrs) != n.attrs) throw bad_input("{}: has an attribute that it does not read", where);
    TensorType type;
    try {
      type = infer_type(n.op, types, n.attrs);
    } catch (const Error& error) {
      throw error.within(where);
    }
    if (type != n.type) throw bad_input("{}: type is {}, inferred {}", where, to_string(n.type), to_string(type));
  }
  std::set<std::string_view> output_names;
  for (const Output& output : outputs_) {
    if (output.node < 0 || static_cast<size_t>(output.node) >= nodes_.size()) {
      throw bad_input("output '{}' refers to node {}, which does not exist", output.name, output.node);
    }
    if (!output_names.insert(output.name).second) throw bad_input("output name '{}' is taken", output.name);
  }
}

std::string Graph::to_text() const {
  std::string text;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& n = nodes_[i];
    std::vector<std::string> inputs;
    for (NodeId input : n.inputs) inputs.push_back(fmt::format("%{}", input));
    text += fmt::format("%{} {} = {}({}){} : {}\n", i, n.name, schema(n.op).name, fmt::join(inputs, ", "),
                        attributes_text(n.attrs), to_string(n.type));
  }
  for (const Output& output : outputs_) text += fmt::format("output {} = %{}\n", output.name, output.node);
  return text;
}

std::string to_string(const TensorType& type) {
  std::vector<std::string> dims;
  for (int64_t dim : type.shape) dims.push_back(dim == kBatch ? "B" : fmt::format("{}", dim));
  return fmt::format("{}[{}]", dtype_name(type.dtype), fmt::join(dims, ","));
}

}  // namespace posefix::graph
