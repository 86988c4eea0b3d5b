#include <fmt/format.h>

#include "plan/plan_file.h"

namespace posefix::plan {
namespace {

std::string tensor_text(const Plan& plan, int32_t id) {
  if (id < 0) return "coords, spread";
  const TensorInfo& t = plan.tensors[static_cast<size_t>(id)];
  std::string text = fmt::format("{}[B,{},{},{}] at {}", dtype_name(t.dtype), t.height, t.width, t.channels, t.offset);
  if (t.dtype == DType::kI8 || t.dtype == DType::kU8) text += fmt::format(" scale {:.4g}", t.scale);
  return text;
}

}  // namespace

std::string to_text(const Plan& plan) {
  const Metadata& m = plan.metadata;
  std::string text = fmt::format(
      "plan for {} in {}: crops {}x{}, {} joints; {} steps, {:.1f} MB of weights, arena {:.1f} MB per person\n",
      m.target, m.precision, m.height, m.width, m.joints, plan.steps.size(),
      static_cast<double>(plan.data_bytes()) * 1e-6, static_cast<double>(plan.arena_bytes) * 1e-6);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& s = plan.steps[i];
    text += fmt::format("{:4} {} {}({}) -> %{} {}", i, s.name, op_name(s.op), fmt::join(s.inputs, ","), s.output,
                        tensor_text(plan, s.output));
    if (!s.weights.empty()) {
      const WeightInfo& w = plan.weight_infos[static_cast<size_t>(s.weights[0])];
      text += fmt::format(" weights {}{}", w.dtype == DType::kF32 ? "" : dtype_name(w.dtype), to_string(w.shape));
    }
    if (s.stride != 1) text += fmt::format(" stride {}", s.stride);
    if (s.pads != std::array<int32_t, 4>{}) text += fmt::format(" pads {}", fmt::join(s.pads, ","));
    if (s.has_bias) text += " bias";
    if (s.has_residual) text += " residual";
    if (s.relu) text += " relu";
    text += "\n";
  }
  for (const KeptTensor& kept : plan.kept) text += fmt::format("kept {} = %{}\n", kept.name, kept.tensor);
  for (const Tuning& tuning : plan.tunings) {
    text += fmt::format("tuned for batch {} on {} thread{}, {}:\n", tuning.batch, tuning.threads,
                        tuning.threads == 1 ? "" : "s", m.cpu_features);
    for (const StepChoice& c : tuning.choices) {
      text += fmt::format("{:4} {} {}\n", c.step, plan.steps[static_cast<size_t>(c.step)].name, choice_name(c.choice));
    }
  }
  return text;
}

}  // namespace posefix::plan
