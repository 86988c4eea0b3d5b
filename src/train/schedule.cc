#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace posefix::train {

RunLength run_length(const TrainConfig& config, int64_t samples_per_epoch) {
  if (samples_per_epoch < 1) throw bad_input("the training data has no usable person; see posefix dataset check");
  const int64_t samples = config.epochs * samples_per_epoch;
  return {samples_per_epoch, config.batch_size, (samples + config.batch_size - 1) / config.batch_size};
}

double learning_rate(const TrainConfig& config, const RunLength& length, int64_t step) {
  const double epoch = length.epoch(step);
  double rate = config.learning_rate;
  if (config.schedule == "cosine") {
    const double progress = std::min(1.0, static_cast<double>(step) / static_cast<double>(length.total_steps));
    const double low = config.final_learning_rate;
    rate = low + (rate - low) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  } else {
    for (const int64_t fall : config.decay_epochs) {
      if (std::floor(epoch) >= static_cast<double>(fall)) rate *= config.decay_factor;
    }
  }
  if (epoch < config.warmup_epochs) {
    const double step_epochs = length.epoch(1);  // the first step has a rate above 0
    rate *= std::min(1.0, (epoch + step_epochs) / config.warmup_epochs);
  }
  return rate;
}

}  // namespace posefix::train
