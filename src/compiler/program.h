// A plan under construction, before memory is planned and weights are laid out.
#pragma once

#include <memory>
#include <vector>

#include "base/tensor.h"
#include "compiler/rewrite.h"
#include "plan/plan.h"

namespace posefix::compiler {

struct Program {
  plan::Plan plan;  // offsets still open

  int32_t add_tensor(const std::string& name, int64_t height, int64_t width, int64_t channels);
  int32_t add_weight(const std::string& name, plan::Weight value);
};

// Graph outputs "coords" (and "spread") become the decoding step; every other output is kept.
// Error (bad input) names a node that no step can compute.
Program lower(const Module& module);

// Passes over steps, one file each in passes/.
void fuse_pose_stem(Program& program);
void assign_bf16(Program& program);

// Gives every tensor its place in the arena: values that live at the same time never overlap, a result takes the
// place of an input that it may overwrite (residual, element-wise).
void plan_memory(plan::Plan& plan);

// Lays the weights out and checks the whole.
std::shared_ptr<const plan::Plan> pack(Program program);

}  // namespace posefix::compiler
