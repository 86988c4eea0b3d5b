// Feature maps and filters in bf16; sums, biases, logits and decoding in f32.
//
//   f32 ── Conv2d(W f32) ── f32 ── Conv2d ── logits f32    =>    bf16 ── Conv2d(W bf16) ── bf16 ── Conv2d ── logits f32
//
// The pose stem keeps f32 filters: its kernel sums in f32 and rounds its result once.
#include <algorithm>

#include "compiler/program.h"
#include "tensorfile/snapshot.h"

namespace posefix::compiler {

void assign_bf16(Program& program) {
  plan::Plan& plan = program.plan;
  int32_t logits = -1;
  for (const plan::Step& step : plan.steps) {
    if (step.op == plan::Op::kDecode) logits = step.inputs[0];
  }
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (static_cast<int32_t>(t) == logits) continue;
    plan.tensors[t].dtype = DType::kBF16;
    plan.tensors[t].bytes = (plan.tensors[t].bytes / 2 + 63) / 64 * 64;
  }
  for (const plan::Step& step : plan.steps) {
    if (step.op != plan::Op::kConv2d && step.op != plan::Op::kConvTranspose2d) continue;
    const auto weight = static_cast<size_t>(step.weights[0]);
    if (plan.weights[weight].dtype() == DType::kBF16) continue;
    plan.weights[weight] = tensorfile::narrowed(plan.weights[weight].values(), DType::kBF16);
    plan.weight_infos[weight].dtype = DType::kBF16;
    plan.weight_infos[weight].bytes = plan.weights[weight].byte_count();
  }
}

}  // namespace posefix::compiler
