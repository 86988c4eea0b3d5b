// What every writer of a foreign format takes from our graph.
#pragma once

#include <google/protobuf/message_lite.h>

#include <set>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace posefix::exporters {

// Everything that `id` depends on and itself, in topological order.
std::set<graph::NodeId> needed_for(const graph::Graph& graph, graph::NodeId id);

// A weight node's value in f32. Error (bad input): it is missing or of another shape.
Tensor weight_of(const graph::Node& node, const NamedTensors& weights);

// 0, 1, ... count-1.
std::vector<float> positions(int64_t count);
// x or y of every pixel of a map, row-major.
std::vector<float> pixel_positions(int64_t height, int64_t width, bool is_y);

// The same bytes for the same message, maps in it sorted.
std::string serialised(const google::protobuf::MessageLite& message);

}  // namespace posefix::exporters
