#include "runtime/session.h"

#include "base/error.h"
#include "runtime/backend.h"

namespace posefix::runtime {

std::vector<float> Session::kept(const std::string& name) const {
  throw bad_input("the {} backend cannot show the value '{}'", info().backend, name);
}

std::vector<StepTime> Session::measure_steps(const CropBatch& /*input*/, int /*rounds*/) {
  throw bad_input("the {} backend cannot time single steps, only cpu can", info().backend);
}

ModelInfo info_of(const plan::Plan& plan, const std::string& backend) {
  const plan::Metadata& m = plan.metadata;
  return {m.height, m.width,       m.joints,        m.heatmap_stride, m.precision,
          backend,  m.config_yaml, m.skeleton_yaml, m.trust,          true};
}

void check_batch(const ModelInfo& info, int64_t max_batch, const CropBatch& input, const RefinedBatch& output) {
  if (input.size < 1 || input.size > max_batch) {
    throw bad_input("a batch of {} persons, this session takes 1 to {}", input.size, max_batch);
  }
  const auto persons = static_cast<size_t>(input.size);
  const auto joints = static_cast<size_t>(info.joints);
  const auto expect = [&](const char* name, size_t found, size_t per_person) {
    if (found < persons * per_person) {
      throw bad_input("{} has {} values, {} persons need {}", name, found, persons, persons * per_person);
    }
  };
  expect("crops", input.crops.size(), static_cast<size_t>(info.height * info.width * 3));
  expect("pose", input.pose.size(), joints * 2);
  expect("valid", input.valid.size(), joints);
  expect("coords", output.coords.size(), joints * 2);
  if (!output.spread.empty()) expect("spread", output.spread.size(), joints);
}

double step_flop(const plan::Plan& plan, const plan::Step& step) {
  if (step.op != plan::Op::kConv2d && step.op != plan::Op::kConvTranspose2d) return 0;
  const plan::TensorInfo& out = plan.tensors[static_cast<size_t>(step.output)];
  const Shape& w = plan.weight_infos[static_cast<size_t>(step.weights[0])].shape;
  double multiply_adds = static_cast<double>(w[0] * w[1] * w[2] * w[3]) * static_cast<double>(out.height * out.width);
  if (step.op == plan::Op::kConvTranspose2d) multiply_adds /= step.stride * step.stride;
  return 2 * multiply_adds;
}

double step_bytes(const plan::Plan& plan, const plan::Step& step, int64_t batch) {
  const plan::Metadata& m = plan.metadata;
  const auto tensor_bytes = [&](int32_t id) {
    const plan::TensorInfo& t = plan.tensors[static_cast<size_t>(id)];
    return t.height * t.width * t.channels * static_cast<int64_t>(dtype_size(t.dtype));
  };
  const int64_t floats_per_joint = static_cast<int64_t>(3 * sizeof(float));  // x, y and validity or spread
  int64_t per_person = 0;
  for (const int32_t id : step.inputs) per_person += tensor_bytes(id);
  if (step.output >= 0) per_person += tensor_bytes(step.output);
  using plan::Op;
  if (step.op == Op::kAssembleInput || step.op == Op::kNormaliseImage) per_person += m.height * m.width * 3;
  if (step.op == Op::kAssembleInput || step.op == Op::kPoseStem || step.op == Op::kDecode) {
    per_person += m.joints * floats_per_joint;
  }
  uint64_t weights = 0;
  for (const int32_t id : step.weights) weights += plan.weight_infos[static_cast<size_t>(id)].bytes;
  return static_cast<double>(per_person) * static_cast<double>(batch) + static_cast<double>(weights);
}

std::string step_precision(const plan::Plan& plan, const plan::Step& step) {
  if (step.inputs.empty()) return "f32";
  const DType dtype = plan.tensors[static_cast<size_t>(step.inputs[0])].dtype;
  if (dtype == DType::kBF16) return "bf16";
  return dtype == DType::kI8 || dtype == DType::kU8 ? "int8" : "f32";
}

}  // namespace posefix::runtime
