#include "compiler/rewrite.h"

#include "base/error.h"

namespace posefix::compiler {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;

Rewriter::Rewriter(const Module& before) : before_(before), map_(before.graph.nodes().size(), -1) {
  uses_.assign(before.graph.nodes().size(), 0);
  for (const Node& node : before.graph.nodes()) {
    for (const NodeId input : node.inputs) ++uses_.at(static_cast<size_t>(input));
  }
  constexpr int kManyUses = 2;  // an output is read by whoever runs the model
  for (const graph::Output& output : before.graph.outputs()) uses_.at(static_cast<size_t>(output.node)) += kManyUses;
}

bool Rewriter::is_private(NodeId old_id) const { return uses_.at(static_cast<size_t>(old_id)) == 1; }

Tensor Rewriter::weight(NodeId old_id) const { return before_.weights.at(old_node(old_id).name).values(); }

NodeId Rewriter::mapped(NodeId old_id) const {
  const NodeId fresh = map_.at(static_cast<size_t>(old_id));
  PFX_CHECK(fresh >= 0);
  return fresh;
}

void Rewriter::copy(NodeId old_id) {
  const Node& node = old_node(old_id);
  NodeId& fresh = map_.at(static_cast<size_t>(old_id));
  if (node.op == Op::kInput) {
    fresh = after_.graph.add_input(node.name, node.type);
  } else if (node.op == Op::kWeight) {
    fresh = add_weight(node.name, before_.weights.at(node.name));
  } else {
    std::vector<NodeId> inputs;
    for (const NodeId input : node.inputs) inputs.push_back(mapped(input));
    fresh = after_.graph.add(node.op, node.name, std::move(inputs), node.attrs);
  }
}

void Rewriter::replace(NodeId old_id, Op op, std::vector<NodeId> fresh_inputs, const graph::Attributes& attrs) {
  forward(old_id, after_.graph.add(op, old_node(old_id).name, std::move(fresh_inputs), attrs));
}

void Rewriter::forward(NodeId old_id, NodeId fresh_id) { map_.at(static_cast<size_t>(old_id)) = fresh_id; }

NodeId Rewriter::add_weight(const std::string& name, plan::Weight value) {
  const NodeId id = after_.graph.add_weight(name, value.shape());
  after_.weights[name] = std::move(value);
  return id;
}

Module Rewriter::finish() {
  for (const graph::Output& output : before_.graph.outputs()) after_.graph.add_output(output.name, mapped(output.node));
  Module pruned = prune(after_);
  pruned.graph.verify();
  return pruned;
}

Module prune(const Module& module) {
  const Graph& graph = module.graph;
  std::vector<bool> needed(graph.nodes().size(), false);
  for (const graph::Output& output : graph.outputs()) needed.at(static_cast<size_t>(output.node)) = true;
  for (size_t i = needed.size(); i-- > 0;) {
    if (!needed[i]) continue;
    for (const NodeId input : graph.nodes()[i].inputs) needed.at(static_cast<size_t>(input)) = true;
  }
  Module kept;
  std::vector<NodeId> map(needed.size(), -1);
  for (size_t i = 0; i < needed.size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (!needed[i]) continue;
    if (node.op == Op::kInput) {
      map[i] = kept.graph.add_input(node.name, node.type);
    } else if (node.op == Op::kWeight) {
      map[i] = kept.graph.add_weight(node.name, node.type.shape);
      kept.weights[node.name] = module.weights.at(node.name);
    } else {
      std::vector<NodeId> inputs;
      for (const NodeId input : node.inputs) inputs.push_back(map[static_cast<size_t>(input)]);
      map[i] = kept.graph.add(node.op, node.name, std::move(inputs), node.attrs);
    }
  }
  for (const graph::Output& output : graph.outputs()) {
    kept.graph.add_output(output.name, map[static_cast<size_t>(output.node)]);
  }
  return kept;
}

}  // namespace posefix::compiler
