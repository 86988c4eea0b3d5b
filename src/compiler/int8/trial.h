// Runs programs under construction on persons, for calibration.
#pragma once

#include <functional>
#include <span>

#include "compiler/int8/calibrate.h"

namespace posefix::compiler {

// Plans memory, packs and opens the program: on the cpu backend where this machine computes its precision as such, else
// on the reference backend, which emulates whole numbers exactly.
std::unique_ptr<runtime::Session> open_trial(Program program, int64_t max_batch);

// [count,K,2] crop_px of the first `count` persons. `visit` (may be empty) is called after every batch with the number
// of persons in it, for a look at what the session keeps.
std::vector<float> answers(runtime::Session& session, const Persons& persons, int64_t count,
                           const std::function<void(int64_t batch)>& visit = {});

struct Difference {
  double mean_px = 0;
  double worst_px = 0;
};
// Distances of joints, crop_px. An answer that is no number is infinitely far away.
Difference difference(std::span<const float> a, std::span<const float> b);

}  // namespace posefix::compiler
