// The weights of the person score: logistic regression of the OKS that a pose reaches.
#pragma once

#include <vector>

#include "trust/trust.h"

namespace posefix::trust {

struct ScoreSample {
  ScoreFeatures features{};  // scaled, the first is 1
  double oks = 0;            // reached, 0..1
  int fold = 0;
};

// Of the samples outside `fold` (-1: all).
ScoreFeatures fit_score(const std::vector<ScoreSample>& samples, int fold);

}  // namespace posefix::trust
