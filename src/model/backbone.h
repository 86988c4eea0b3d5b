// Registry of backbones. A new backbone is one file in this folder that ends with
//
//   const BackboneRegistration registration{"name", &build_name};
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "model/config.h"

namespace posefix::model {

// Appends a backbone to `graph`: x [B,H,W,3+K] -> [B,H/32,W/32,C] for any C.
using BackboneBuilder = std::function<graph::NodeId(graph::Graph& graph, graph::NodeId x, const ModelConfig& config)>;

struct BackboneRegistration {
  BackboneRegistration(std::string name, BackboneBuilder builder);
};

// Error (bad input) names the nearest registered backbone.
const BackboneBuilder& find_backbone(const std::string& name);
std::vector<std::string> backbone_names();

}  // namespace posefix::model
