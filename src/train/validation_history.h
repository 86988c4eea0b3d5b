// When to validate, which validation was the best, when there is no point in going on. A pure function of what
// metrics.jsonl holds, so that a resumed run decides as an uninterrupted one.
#pragma once

#include <cstdint>
#include <limits>

#include "train/config.h"
#include "train/schedule.h"

namespace posefix::train {

class ValidationHistory {
 public:
  ValidationHistory(const TrainConfig& config, const RunLength& length) : config_(config), length_(length) {}

  // Whether a validation belongs after `steps` steps: an interval of train.validate_every epochs ends there, or the
  // recipe does.
  bool due(int64_t steps) const;

  // Learns a validation's score (higher is better; NaN: the worst). Returns whether it is the best one so far.
  bool add(int64_t step, double score);

  int64_t last_step() const { return last_step_; }  // -1: none
  int64_t best_step() const { return best_step_; }  // -1: none
  bool should_stop() const { return config_.early_stop > 0 && since_best_ >= config_.early_stop; }

 private:
  TrainConfig config_;
  RunLength length_;
  int64_t last_step_ = -1;
  int64_t best_step_ = -1;
  double best_score_ = -std::numeric_limits<double>::infinity();
  int64_t since_best_ = 0;
};

}  // namespace posefix::train
