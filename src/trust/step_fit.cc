#include "trust/step_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "trust/minimise.h"

namespace posefix::trust {
namespace {

constexpr std::array<double, 4> kRidges{1, 10, 100, 1000};
constexpr double kPooledRidge = 0.1;
// Joints whose worth the gain over all kinds has when it is asked whether one kind gains.
constexpr double kPriorJoints = 30;
constexpr int kNoFold = -1;

using Indices = std::vector<size_t>;

double logit_of(const StepFeatures& weights, const StepFeatures& features) {
  return std::inner_product(features.begin(), features.end(), weights.begin(), 0.0);
}

// -(sum of OKS) + ridge * |w - prior|^2 over the joints named; weights scaled so that their mean is 1.
class StepObjective {
 public:
  StepObjective(const std::vector<JointSample>& joints, const Indices& used, const StepFeatures& prior, double ridge)
      : joints_(joints), used_(used), prior_(prior), ridge_(ridge) {
    double sum = 0;
    for (const size_t i : used) sum += joints[i].weight;
    scale_ = sum > 0 ? static_cast<double>(used.size()) / sum : 1;
  }

  double operator()(std::span<const double> w, std::span<double> gradient) const {
    StepFeatures weights;
    std::copy(w.begin(), w.end(), weights.begin());
    std::fill(gradient.begin(), gradient.end(), 0);
    double value = 0;
    for (const size_t i : used_) {
      const JointSample& joint = joints_[i];
      const double step = logistic(logit_of(weights, joint.features));
      const double x = joint.input_x + step * joint.moved_x;
      const double y = joint.input_y + step * joint.moved_y;
      const double oks = joint.weight * scale_ * std::exp(-(x * x + y * y) / 2);
      value -= oks;
      const double by_logit = oks * (x * joint.moved_x + y * joint.moved_y) * step * (1 - step);
      for (size_t f = 0; f < kStepFeatures; ++f) gradient[f] += by_logit * joint.features[f];
    }
    for (size_t f = 0; f < kStepFeatures; ++f) {
      const double away = weights[f] - prior_[f];
      value += ridge_ * away * away;
      gradient[f] += 2 * ridge_ * away;
    }
    if (without_spread_) gradient[kSpreadFeature] = 0;
    return value;
  }

  // The best weights from `start`; a weight of the spread above 0 becomes 0, and the others are fitted to that.
  StepFeatures best_from(StepFeatures start) {
    without_spread_ = false;
    std::vector<double> found = minimise(std::cref(*this), {start.begin(), start.end()});
    if (found[kSpreadFeature] > 0) {
      without_spread_ = true;
      found[kSpreadFeature] = 0;
      found = minimise(std::cref(*this), found);
    }
    std::copy(found.begin(), found.end(), start.begin());
    return start;
  }

  double value(const StepFeatures& weights) const {
    StepFeatures ignored;
    return (*this)(weights, ignored);
  }

 private:
  const std::vector<JointSample>& joints_;
  const Indices& used_;
  StepFeatures prior_;
  double ridge_;
  double scale_ = 1;
  bool without_spread_ = false;
};

// The sum has several maxima: from small, middle and long steps, the best.
StepFeatures fit_pooled(const std::vector<JointSample>& joints, const Indices& used) {
  StepObjective objective(joints, used, {}, kPooledRidge);
  StepFeatures best{};
  double best_value = 0;
  bool is_first = true;
  for (const double logit : {0.0, -2.0, 2.0}) {
    const StepFeatures found = objective.best_from({logit, -0.5, 0, 0, 0});
    const double value = objective.value(found);
    if (is_first || value < best_value) {
      best = found;
      best_value = value;
    }
    is_first = false;
  }
  return best;
}

// Joints outside `fold`, by kind.
std::vector<Indices> by_kind(const std::vector<JointSample>& joints, size_t kinds, int fold) {
  std::vector<Indices> members(kinds);
  for (size_t i = 0; i < joints.size(); ++i) {
    if (joints[i].fold != fold) members[joints[i].kind].push_back(i);
  }
  return members;
}

std::vector<StepFeatures> fit_kinds(const std::vector<JointSample>& joints, const std::vector<Indices>& members,
                                    const StepFeatures& pooled, double ridge) {
  std::vector<StepFeatures> weights(members.size(), pooled);
  for (size_t kind = 0; kind < members.size(); ++kind) {
    if (members[kind].empty()) continue;
    weights[kind] = StepObjective(joints, members[kind], pooled, ridge).best_from(pooled);
  }
  return weights;
}

StepFeatures fit_pooled_without(const std::vector<JointSample>& joints, int fold) {
  Indices used;
  for (size_t i = 0; i < joints.size(); ++i) {
    if (joints[i].fold != fold) used.push_back(i);
  }
  return fit_pooled(joints, used);
}

// Which kinds gain by these steps, judged on the joints outside `fold`: a kind's mean gain, drawn towards the mean of
// all as if it had kPriorJoints joints more.
std::vector<char> gaining_kinds(const std::vector<JointSample>& joints, const std::vector<double>& steps, size_t kinds,
                                int fold) {
  std::vector<double> gain(kinds, 0), count(kinds, 0);
  for (size_t i = 0; i < joints.size(); ++i) {
    if (joints[i].fold == fold) continue;
    gain[joints[i].kind] += joints[i].oks(steps[i]) - joints[i].oks(0);
    ++count[joints[i].kind];
  }
  const double all = std::accumulate(gain.begin(), gain.end(), 0.0);
  const double mean = all / std::max(1.0, std::accumulate(count.begin(), count.end(), 0.0));
  std::vector<char> gains(kinds);
  for (size_t kind = 0; kind < kinds; ++kind) gains[kind] = gain[kind] + kPriorJoints * mean > 0;
  return gains;
}

double total_oks(const std::vector<JointSample>& joints, const std::vector<double>& steps) {
  double sum = 0;
  for (size_t i = 0; i < joints.size(); ++i) sum += joints[i].weight * joints[i].oks(steps[i]);
  return sum;
}

}  // namespace

double JointSample::oks(double step) const {
  const double x = input_x + step * moved_x;
  const double y = input_y + step * moved_y;
  return std::exp(-(x * x + y * y) / 2);
}

double StepWeights::step(const JointSample& joint) const {
  return moves[joint.kind] != 0 ? logistic(logit_of(kinds[joint.kind], joint.features)) : 0;
}

StepFit fit_steps(const std::vector<JointSample>& joints, size_t kinds, int folds) {
  std::vector<StepFeatures> pooled;
  pooled.reserve(static_cast<size_t>(folds));
  for (int fold = 0; fold < folds; ++fold) pooled.push_back(fit_pooled_without(joints, fold));
  StepFit result;
  double best = -1;
  for (const double ridge : kRidges) {
    std::vector<double> steps(joints.size(), 0);
    for (int fold = 0; fold < folds; ++fold) {
      const StepWeights weights{
          fit_kinds(joints, by_kind(joints, kinds, fold), pooled[static_cast<size_t>(fold)], ridge),
          std::vector<char>(kinds, 1)};
      for (size_t i = 0; i < joints.size(); ++i) {
        if (joints[i].fold == fold) steps[i] = weights.step(joints[i]);
      }
    }
    const double total = total_oks(joints, steps);
    if (total <= best) continue;
    best = total;
    result.ridge = ridge;
    result.cv_steps = std::move(steps);
  }
  const StepFeatures of_all = fit_pooled_without(joints, kNoFold);
  result.weights.kinds = fit_kinds(joints, by_kind(joints, kinds, kNoFold), of_all, result.ridge);
  result.weights.moves = gaining_kinds(joints, result.cv_steps, kinds, kNoFold);
  std::vector<double> gain(kinds, 0);
  for (const JointSample& joint : joints)
    gain[joint.kind] += joint.weight * (joint.oks(result.weights.step(joint)) - joint.oks(0));
  for (size_t kind = 0; kind < kinds; ++kind) {
    if (gain[kind] < 0) result.weights.moves[kind] = 0;
  }
  std::vector<double> gated = result.cv_steps;
  for (int fold = 0; fold < folds; ++fold) {
    const std::vector<char> gains = gaining_kinds(joints, result.cv_steps, kinds, fold);
    for (size_t i = 0; i < joints.size(); ++i) {
      if (joints[i].fold == fold && gains[joints[i].kind] == 0) gated[i] = 0;
    }
  }
  result.cv_steps = std::move(gated);
  return result;
}

}  // namespace posefix::trust
