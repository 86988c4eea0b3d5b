#include "trust/error_curve.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace posefix::trust {
namespace {

struct Bin {
  double count = 0;
  double log_spread = 0;  // sums
  double error = 0;

  double mean_error() const { return error / count; }
};

}  // namespace

ErrorCurve fit_error_curve(std::vector<SpreadError> values, size_t most_knots) {
  PFX_CHECK(!values.empty() && most_knots > 0);
  constexpr size_t kLeastInBin = 20;
  constexpr double kLeastSpread_px = 1e-3;
  std::stable_sort(values.begin(), values.end(),
                   [](const SpreadError& a, const SpreadError& b) { return a.spread_px < b.spread_px; });
  const size_t bins = std::clamp(values.size() / kLeastInBin, size_t{1}, most_knots);
  std::vector<Bin> pooled;
  for (size_t bin = 0; bin < bins; ++bin) {
    Bin next;
    for (size_t i = values.size() * bin / bins; i < values.size() * (bin + 1) / bins; ++i) {
      ++next.count;
      next.log_spread += std::log(std::max(values[i].spread_px, kLeastSpread_px));
      next.error += values[i].error_px;
    }
    pooled.push_back(next);
    while (pooled.size() > 1 && pooled[pooled.size() - 2].mean_error() >= pooled.back().mean_error()) {
      const Bin last = pooled.back();
      pooled.pop_back();
      pooled.back().count += last.count;
      pooled.back().log_spread += last.log_spread;
      pooled.back().error += last.error;
    }
  }
  ErrorCurve curve;
  for (const Bin& bin : pooled) {
    const double spread = std::exp(bin.log_spread / bin.count);
    // Apart by more than the text form rounds away.
    if (!curve.spread_px.empty() && spread < curve.spread_px.back() + 1e-4) continue;
    curve.spread_px.push_back(spread);
    curve.error_px.push_back(bin.mean_error());
  }
  return curve;
}

}  // namespace posefix::trust
