// What a backend offers to open_session(): one function.
//
// reference and cpu are linked in (cpu by a stub from absent/ where oneDNN is not built in). torch lives in
// libposefix_torch_backend.so beside the program or its libraries and is loaded when asked for; it exports
//
//   extern "C" posefix::runtime::Session* posefix_open_torch_backend(const std::filesystem::path* model,
//                                                                   const posefix::runtime::SessionOptions* options);
//
// which reads the model (a plan or a snapshot) itself, throws posefix::Error, and whose result the caller owns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "runtime/session.h"

namespace posefix::runtime {

using PlanPointer = std::shared_ptr<const plan::Plan>;

std::unique_ptr<Session> open_reference(PlanPointer plan, const SessionOptions& options);
std::unique_ptr<Session> open_cpu(const PlanPointer& plan, const SessionOptions& options);
std::unique_ptr<Session> open_torch(const std::filesystem::path& model, const SessionOptions& options);

using TorchEntry = Session*(const std::filesystem::path* model, const SessionOptions* options);
inline constexpr const char* kTorchEntry = "posefix_open_torch_backend";

// ModelInfo of a plan as `backend` runs it.
ModelInfo info_of(const plan::Plan& plan, const std::string& backend);

// Error (bad input) unless the spans have the sizes that B persons need and 1 <= B <= max_batch.
void check_batch(const ModelInfo& info, int64_t max_batch, const CropBatch& input, const RefinedBatch& output);

// Multiply-adds of a step for one person, times two.
double step_flop(const plan::Plan& plan, const plan::Step& step);

// What a step must move at least for B persons: its inputs, its result and its weights, once each.
double step_bytes(const plan::Plan& plan, const plan::Step& step, int64_t batch);

// "f32", "bf16", "int8": the element type that the step reads.
std::string step_precision(const plan::Plan& plan, const plan::Step& step);

}  // namespace posefix::runtime
