// The learning rate of a step. A pure function, so a resumed run needs no state of it.
#pragma once

#include <cstdint>

#include "train/config.h"

namespace posefix::train {

struct RunLength {
  int64_t samples_per_epoch = 1;
  int64_t batch_size = 1;
  int64_t total_steps = 1;  // of the whole recipe

  // Epochs that are done when step `step` (from 0) begins.
  double epoch(int64_t step) const {
    return static_cast<double>(step) * static_cast<double>(batch_size) / static_cast<double>(samples_per_epoch);
  }
};

// total_steps = ceil(epochs * samples / batch). Error (bad input) for a data set without samples.
RunLength run_length(const TrainConfig& config, int64_t samples_per_epoch);

// step: from 0.
double learning_rate(const TrainConfig& config, const RunLength& length, int64_t step);

}  // namespace posefix::train
