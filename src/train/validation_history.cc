#include "train/validation_history.h"

#include <cmath>

namespace posefix::train {

bool ValidationHistory::due(int64_t steps) const {
  if (config_.validate_every <= 0 || steps <= 0) return false;
  const auto intervals = [&](int64_t at) { return std::floor(length_.epoch(at) / config_.validate_every); };
  return intervals(steps) > intervals(steps - 1) || steps == length_.total_steps;
}

bool ValidationHistory::add(int64_t step, double score) {
  last_step_ = step;
  const bool first = best_step_ < 0;
  const bool better = first || score > best_score_;
  ++since_best_;
  if (!better) return false;
  best_step_ = step;
  best_score_ = std::isnan(score) ? -std::numeric_limits<double>::infinity() : score;
  since_best_ = 0;
  return true;
}

}  // namespace posefix::train
