#include "torchgraph/plan.h"

#include <algorithm>

#include "base/error.h"

namespace posefix::torchgraph {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;

NodeId find_value(const Graph& graph, const std::string& name) {
  for (const graph::Output& output : graph.outputs()) {
    if (output.name == name) return output.node;
  }
  return graph.find(name);
}

class Planner {
 public:
  Planner(const Graph& graph, const std::vector<std::string>& wanted)
      : graph_(graph), readers_(graph.nodes().size(), 0), needed_(graph.nodes().size(), false) {
    for (const std::string& name : wanted) {
      const NodeId id = find_value(graph, name);
      plan_.results.push_back(id);
      needed_[index(id)] = true;
      ++readers_[index(id)];  // the caller reads it
    }
    for (auto id = static_cast<NodeId>(needed_.size()) - 1; id >= 0; --id) {
      if (!needed_[index(id)]) continue;
      for (const NodeId input : graph.node(id).inputs) {
        needed_[index(input)] = true;
        ++readers_[index(input)];
      }
    }
  }

  Plan make() {
    std::vector<bool> merged(needed_.size(), false);
    for (size_t i = 0; i < needed_.size(); ++i) {
      const auto id = static_cast<NodeId>(i);
      if (!needed_[i]) continue;
      if (can_merge_pad(id)) merged[index(graph_.node(id).inputs[0])] = true;
      if (const Tail tail = tail_of(id); tail.batch_norm >= 0) {
        merged[index(tail.batch_norm)] = true;
        merged[index(graph_.node(id).inputs[0])] = true;  // the sum, if there is one
      }
    }
    for (size_t i = 0; i < needed_.size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (!needed_[i] || merged[i] || node.op == Op::kInput || node.op == Op::kWeight) continue;
      plan_.steps.push_back(step(static_cast<NodeId>(i)));
    }
    mark_last_uses();
    return std::move(plan_);
  }

 private:
  static size_t index(NodeId id) { return static_cast<size_t>(id); }

  bool can_merge_pad(NodeId id) const {
    const Node& node = graph_.node(id);
    if (node.op != Op::kConv2d && node.op != Op::kMaxPool) return false;
    const NodeId pad_id = node.inputs[0];
    const Node& pad = graph_.node(pad_id);
    if (pad.op != Op::kPad || readers_[index(pad_id)] != 1) return false;
    const auto& p = pad.attrs.pads;
    if (p[0] != p[1] || p[2] != p[3]) return false;
    if (node.op == Op::kConv2d) return true;
    const int64_t half = node.attrs.kernel / 2;  // LibTorch pads a pooling window by at most half of it
    return graph_.node(pad.inputs[0]).op == Op::kRelu && p[0] <= half && p[2] <= half;
  }

  // Of a ReLU: the batch norm that it ends, and what is added in between.
  struct Tail {
    NodeId batch_norm = -1;
    NodeId residual = -1;
  };

  bool is_inner(NodeId id, Op op) const { return graph_.node(id).op == op && readers_[index(id)] == 1; }

  Tail tail_of(NodeId id) const {
    const Node& node = graph_.node(id);
    if (node.op != Op::kRelu) return {};
    const NodeId input = node.inputs[0];
    if (is_inner(input, Op::kBatchNorm)) return {input, -1};
    if (!is_inner(input, Op::kAdd)) return {};
    const std::vector<NodeId>& terms = graph_.node(input).inputs;
    for (const size_t i : {1, 0}) {
      if (is_inner(terms[i], Op::kBatchNorm)) return {terms[i], terms[1 - i]};
    }
    return {};
  }

  PlanStep step(NodeId id) const {
    if (const Tail tail = tail_of(id); tail.batch_norm >= 0) {
      PlanStep step;
      step.node = tail.batch_norm;
      step.result = id;
      step.inputs = graph_.node(tail.batch_norm).inputs;
      step.adds_residual = tail.residual >= 0;
      if (step.adds_residual) step.inputs.push_back(tail.residual);
      step.relu = true;
      return step;
    }
    const Node& node = graph_.node(id);
    PlanStep step;
    step.node = id;
    step.result = id;
    step.inputs = node.inputs;
    step.pads = node.attrs.pads;
    if (can_merge_pad(id)) {
      const Node& pad = graph_.node(node.inputs[0]);
      step.inputs[0] = pad.inputs[0];
      for (size_t side = 0; side < step.pads.size(); ++side) step.pads[side] += pad.attrs.pads[side];
    }
    if (node.op == Op::kRelu && readers_[index(node.inputs[0])] == 1) {
      const Op producer = graph_.node(node.inputs[0]).op;
      step.in_place = producer == Op::kAdd || producer == Op::kBiasAdd;
    }
    return step;
  }

  void mark_last_uses() {
    std::vector<bool> read_later(needed_.size(), false);
    for (const NodeId id : plan_.results) read_later[index(id)] = true;
    for (auto step = plan_.steps.rbegin(); step != plan_.steps.rend(); ++step) {
      for (const NodeId input : step->inputs) {
        const Op op = graph_.node(input).op;
        if (read_later[index(input)] || op == Op::kInput || op == Op::kWeight) continue;
        read_later[index(input)] = true;
        step->last_use.push_back(input);
      }
    }
  }

  const Graph& graph_;
  std::vector<int> readers_;  // needed nodes that read the value, and the caller
  std::vector<bool> needed_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const Graph& graph, const std::vector<std::string>& wanted) { return Planner(graph, wanted).make(); }

}  // namespace posefix::torchgraph
