// An Ascend offline model (.om with its sidecar .om.json) as a Session.
//
// Two batches may be in flight: while the device works on one, the caller prepares the next and reads the one before.
// The device finds the next run queued when it has finished one; how fast the host wakes up does not matter. For that
// the model is loaded twice, into the same memory (slot.h). A fixed model always runs its whole batch (missing persons
// are zeros that are never reported); with gears the smallest that fits is chosen. Non-goals: several devices in one
// session (open one session each).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "runtime/backends/ascend/om_sidecar.h"
#include "runtime/session.h"

namespace posefix::runtime::ascend {

// Longest wait for one batch before the device counts as lost; $POSEFIX_ASCEND_TIMEOUT_MS changes it.
inline constexpr int32_t kDefaultTimeoutMs = 60000;

// options.device is "", "npu" or "npu:N"; max_batch() is the model's (largest) batch whatever options.max_batch says.
// Checks before the first run, Error (bad input): sidecar missing, malformed or of another file (sha256); the model's
// description or the device's SOC differs from the sidecar (a table). Error (failed) from AscendCL.
std::unique_ptr<Session> open_ascend(const std::filesystem::path& om, const SessionOptions& options);

// A sidecar made from the model's own description, for a model that came without one: names, types, shapes, gears and
// digest. The caller sets mean_bgr, config_yaml, skeleton_yaml. Loads the model on the device.
OmSidecar describe_om(const std::filesystem::path& om, const std::string& device);

}  // namespace posefix::runtime::ascend
