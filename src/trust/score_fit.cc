#include "trust/score_fit.h"

#include <algorithm>
#include <cmath>

#include "trust/minimise.h"

namespace posefix::trust {

ScoreFeatures fit_score(const std::vector<ScoreSample>& samples, int fold) {
  constexpr double kRidge = 1;
  const auto cross_entropy = [&](std::span<const double> w, std::span<double> gradient) {
    std::fill(gradient.begin(), gradient.end(), 0);
    double value = 0;
    for (const ScoreSample& sample : samples) {
      if (sample.fold == fold) continue;
      double logit = 0;
      for (size_t i = 0; i < kScoreFeatures; ++i) logit += w[i] * sample.features[i];
      // ln(1 + e^z) - oks * z, without overflow
      value += std::max(logit, 0.0) + std::log1p(std::exp(-std::abs(logit))) - sample.oks * logit;
      const double residual = logistic(logit) - sample.oks;
      for (size_t i = 0; i < kScoreFeatures; ++i) gradient[i] += residual * sample.features[i];
    }
    for (size_t i = 1; i < kScoreFeatures; ++i) {
      value += kRidge * w[i] * w[i];
      gradient[i] += 2 * kRidge * w[i];
    }
    return value;
  };
  const std::vector<double> found = minimise(cross_entropy, std::vector<double>(kScoreFeatures, 0));
  ScoreFeatures weights;
  std::copy(found.begin(), found.end(), weights.begin());
  return weights;
}

}  // namespace posefix::trust
