#include "runtime/session.h"

#include "base/error.h"
#include "plan/plan_file.h"
#include "runtime/backend.h"
#include "runtime/backends/ascend/ascend_session.h"

namespace posefix::runtime {

std::vector<float> Session::kept(const std::string& name) const {
  throw bad_input("the {} backend cannot show the value '{}'", info().backend, name);
}

std::vector<StepTime> Session::measure_steps(const CropBatch& /*input*/, int /*rounds*/) { return {}; }

std::unique_ptr<Session> open_session(const std::filesystem::path& plan, const SessionOptions& options) {
  if (options.backend == "torch") return open_torch(plan, options);
  if (options.backend == "ascend" || plan.extension() == ".om") return ascend::open_ascend(plan, options);
  try {
    return open_session(plan::read_plan(plan), options);
  } catch (const Error& error) {
    const bool names_file = std::string(error.what()).find(plan.string()) != std::string::npos;
    if (names_file) throw;
    throw error.within(plan.string());
  }
}

std::unique_ptr<Session> open_session(PlanPointer plan, const SessionOptions& options) {
  const std::string backend = options.backend.empty() ? plan->metadata.target : options.backend;
  if (options.max_batch < 1 || options.max_batch > 1024) {
    throw bad_input("a batch of {}, expected 1 to 1024", options.max_batch);
  }
  if (options.threads < 0 || options.threads > 1024) {
    throw bad_input("{} threads, expected 1 to 1024, or 0 for all cores", options.threads);
  }
  if (backend == "reference") return open_reference(std::move(plan), options);
  if (backend == "cpu") return open_cpu(std::move(plan), options);
  throw bad_input("a plan for '{}' asked to run on the backend '{}'; plans run on cpu and reference",
                  plan->metadata.target, backend);
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

}  // namespace posefix::runtime
