// The order in which a graph's nodes run for a set of wanted values, with what LibTorch can do in one call merged.
//
//   Pad -> Conv2d        becomes  Conv2d with padding                       when the pads are symmetric
//   Relu -> Pad -> Pool  becomes  Relu -> Pool with padding: zeros do not win over what a ReLU leaves, and where they
//                        tie the ReLU's gradient is zero anyway
//   BatchNorm -> Relu, BatchNorm -> Add -> Relu  become BatchNorm with what follows it, when nothing else reads between
//   X -> Relu            runs in place when X is a sum or bias that nothing else reads
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace posefix::torchgraph {

struct PlanStep {
  graph::NodeId node = 0;
  graph::NodeId result = 0;             // whose value the step gives: `node`, or the last of what is merged into it
  std::vector<graph::NodeId> inputs;    // of the merged node, the residual last
  std::array<int64_t, 4> pads{};        // of the merged node: top, bottom, left, right
  bool in_place = false;                // kRelu: may overwrite its input
  bool adds_residual = false;           // kBatchNorm: then adds the last input
  bool relu = false;                    // kBatchNorm: and then takes the positive part
  std::vector<graph::NodeId> last_use;  // values that no later step reads
};

struct Plan {
  std::vector<PlanStep> steps;
  std::vector<graph::NodeId> results;  // in the order of `wanted`
};

// `wanted`: node or output names. Error (bad input) for an unknown one.
Plan make_plan(const graph::Graph& graph, const std::vector<std::string>& wanted);

}  // namespace posefix::torchgraph
