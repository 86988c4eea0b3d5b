// The passes over the graph, in the order in which compile() runs them. Each is one file that draws its before and
// after. A pass leaves values that are outputs, or that several nodes read, in place.
#pragma once

#include <string_view>
#include <vector>

#include "compiler/rewrite.h"

namespace posefix::compiler {

Module fold_padding(const Module& before);
Module fuse_bias(const Module& before);
Module fold_batch_norm(const Module& before);
Module fuse_residual(const Module& before);
Module fuse_relu(const Module& before);

struct GraphPass {
  std::string_view name;
  Module (*run)(const Module& before);
};
const std::vector<GraphPass>& graph_passes();

}  // namespace posefix::compiler
