#include "compiler/int8/ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace posefix::compiler {
namespace {

constexpr size_t kBins = 2048;
constexpr double kPercentile = 0.9999;

}  // namespace

void MagnitudeHistogram::make_room(double value) {
  if (bins_.empty()) {
    bins_.assign(kBins, 0);
    limit_ = value;
  }
  while (value > limit_) {
    for (size_t i = 0; i < kBins; ++i) bins_[i] = i < kBins / 2 ? bins_[2 * i] + bins_[2 * i + 1] : 0;
    limit_ *= 2;
  }
}

void MagnitudeHistogram::add(std::span<const float> values) {
  float largest = 0;
  for (const float value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  }
  count_ += values.size();
  if (largest == 0) return;
  largest_ = std::max(largest_, double{largest});
  make_room(double{largest});
  const auto bins_per_unit = static_cast<float>(static_cast<double>(kBins) / limit_);
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    bins_[std::min(kBins - 1, static_cast<size_t>(std::fabs(value) * bins_per_unit))] += 1;
  }
}

double MagnitudeHistogram::percentile(double fraction) const {
  const double below = fraction * static_cast<double>(count_);
  double seen = static_cast<double>(count_);
  for (const uint64_t bin : bins_) seen -= static_cast<double>(bin);  // batches of zeros alone
  for (size_t i = 0; i < kBins; ++i) {
    seen += static_cast<double>(bins_[i]);
    if (seen >= below) return std::min(largest_, static_cast<double>(i + 1) * limit_ / static_cast<double>(kBins));
  }
  return largest_;
}

// Clipped values are off by their distance to the range, the others by a uniform error of one step.
double MagnitudeHistogram::mean_square_range(double codes) const {
  constexpr int kSteps = 128;
  double best = largest_;
  double least = std::numeric_limits<double>::infinity();
  for (int step = kSteps; step > 0; --step) {
    const double range = largest_ * step / kSteps;
    const double rounding = range / codes * (range / codes) / 12;
    double error = 0;
    for (size_t i = 0; i < kBins; ++i) {
      const double value = (static_cast<double>(i) + 0.5) * limit_ / static_cast<double>(kBins);
      const double clipped = std::max(0.0, value - range);
      // A zero is exact, so the bin of zeros (after a ReLU most of the map) says nothing.
      if (i > 0) error += static_cast<double>(bins_[i]) * (clipped > 0 ? clipped * clipped : rounding);
    }
    if (error < least) {
      least = error;
      best = range;
    }
  }
  return best;
}

Ranges MagnitudeHistogram::ranges(double codes) const {
  if (largest_ == 0) return {};
  return {largest_, percentile(kPercentile), mean_square_range(codes)};
}

}  // namespace posefix::compiler
