// The weights of the steps: see fit.h for the method.
#pragma once

#include <cstdint>
#include <vector>

#include "trust/trust.h"

namespace posefix::trust {

// One labelled joint with an input.
struct JointSample {
  size_t kind = 0;
  int fold = 0;
  double weight = 0;        // 1 / labelled joints of its person: OKS is a mean over them
  StepFeatures features{};  // the first is 1
  // Away from the truth, in units of the joint's tolerance: OKS = exp(-|v|^2 / 2).
  double input_x = 0, input_y = 0;
  double moved_x = 0, moved_y = 0;  // from the input to the answer

  double oks(double step) const;
};

struct StepWeights {
  std::vector<StepFeatures> kinds;
  std::vector<char> moves;

  double step(const JointSample& joint) const;
};

struct StepFit {
  StepWeights weights;           // fitted on all joints
  std::vector<double> cv_steps;  // beside the joints, each by weights fitted without its fold
  double ridge = 0;              // chosen
};

// `kinds`: number of kinds; folds 0 .. folds-1.
StepFit fit_steps(const std::vector<JointSample>& joints, size_t kinds, int folds);

}  // namespace posefix::trust
