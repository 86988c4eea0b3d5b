// What a pass works with: a graph and its weights in, a rewritten copy out.
//
// A graph only grows, so a pass walks the old nodes in order and adds to a fresh graph: copy() for what stays, add()
// and replace() for what changes. A fused node takes the name of the last node that it absorbs, whose value it is.
// finish() drops what no output needs any more.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "plan/weight.h"

namespace posefix::compiler {

struct Module {
  graph::Graph graph;
  std::map<std::string, plan::Weight> weights;
};

class Rewriter {
 public:
  explicit Rewriter(const Module& before);

  const graph::Node& old_node(graph::NodeId id) const { return before_.graph.node(id); }
  size_t size() const { return before_.graph.nodes().size(); }
  // True if exactly one node reads the value and it is no output: then it may disappear.
  bool is_private(graph::NodeId old_id) const;
  Tensor weight(graph::NodeId old_id) const;

  // The fresh node that stands for an old one.
  graph::NodeId mapped(graph::NodeId old_id) const;
  void copy(graph::NodeId old_id);
  // Adds a fresh node that takes the place (and name) of an old one.
  void replace(graph::NodeId old_id, graph::Op op, std::vector<graph::NodeId> fresh_inputs,
               const graph::Attributes& attrs);
  // The old node's value is the fresh node's from now on.
  void forward(graph::NodeId old_id, graph::NodeId fresh_id);
  graph::NodeId add_weight(const std::string& name, plan::Weight value);

  Module finish();

 private:
  const Module& before_;
  Module after_;
  std::vector<graph::NodeId> map_;
  std::vector<int> uses_;
};

// Without the nodes that no output needs.
Module prune(const Module& module);

}  // namespace posefix::compiler
