#include "trust/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "base/error.h"
#include "trust/error_curve.h"
#include "trust/score_fit.h"
#include "trust/step_fit.h"

namespace posefix::trust {
namespace {

constexpr int64_t kLeastPeople = 20;

// splitmix64: spreads picture keys that stand in some order.
uint64_t mixed(uint64_t key) {
  key += 0x9E3779B97F4A7C15ULL;
  key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9ULL;
  key = (key ^ (key >> 27)) * 0x94D049BB133111EBULL;
  return key ^ (key >> 31);
}

// Pictures dealt out to the folds in an order that has nothing to do with theirs. [N]
std::vector<int> folds_of(const std::vector<Sample>& samples, int folds) {
  std::map<std::pair<uint64_t, uint64_t>, int> pictures;
  for (const Sample& sample : samples) pictures[{mixed(sample.picture), sample.picture}] = 0;
  int next = 0;
  for (auto& [key, fold] : pictures) fold = next++ % folds;
  std::vector<int> result;
  result.reserve(samples.size());
  for (const Sample& sample : samples) result.push_back(pictures[{mixed(sample.picture), sample.picture}]);
  return result;
}

struct Moments {
  double count = 0, sum = 0, square = 0;
  void add(double value) {
    ++count;
    sum += value;
    square += value * value;
  }
  Scaling scaling() const {
    constexpr double kLeastDeviation = 1e-3;
    if (count == 0) return {};
    const double mean = sum / count;
    return {mean, std::max(kLeastDeviation, std::sqrt(std::max(0.0, square / count - mean * mean)))};
  }
};

// A labelled joint of a sample.
struct Place {
  size_t sample;
  size_t joint;
};

class Fitting {
 public:
  Fitting(const std::vector<Sample>& samples, const pose::Skeleton& skeleton, const FitOptions& options)
      : samples_(samples), skeleton_(skeleton), folds_(options.folds), fold_of_(folds_of(samples, options.folds)) {
    trust_.height = options.height;
    trust_.width = options.width;
    trust_.flip = options.flip;
    trust_.kinds = joint_kinds(skeleton);
    trust_.bind(skeleton);
    for (size_t i = 0; i < samples.size(); ++i) {
      if (samples[i].truth.empty()) continue;
      if (!samples[i].is_drawn) ++trust_.people;
      for (size_t j = 0; j < trust_.joints(); ++j) {
        if (is_labelled(i, j)) labelled_.push_back({i, j});
      }
    }
    if (trust_.people < kLeastPeople || labelled_.empty()) {
      throw bad_input("{} poses belong to annotated people; a calibration needs {} or more", trust_.people,
                      kLeastPeople);
    }
  }

  Fitted run() {
    fit_scalings();
    collect_joints();
    const StepFit found = fit_steps(joints_, trust_.kinds.size(), folds_);
    take_steps(found);
    fit_errors();
    fit_scores();
    result_.ridge = found.ridge;
    result_.poses = std::count_if(samples_.begin(), samples_.end(), [](const Sample& s) { return !s.is_drawn; });
    result_.people = trust_.people;
    // What is used from here on is what the text form says.
    result_.trust = Trust::parse(trust_.text(), skeleton_, "the calibration");
    report();
    return std::move(result_);
  }

 private:
  bool is_labelled(size_t sample, size_t joint) const {
    return !samples_[sample].truth.empty() && samples_[sample].truth[joint].score > 0 && trust_.kind_of(joint) >= 0;
  }
  bool has_input(const Place& at) const { return samples_[at.sample].input[at.joint].score > 0; }
  // 2 sigma sqrt(area), image_px
  double tolerance_px(const Place& at) const {
    return 2 * skeleton_.sigmas[at.joint] * std::sqrt(std::max(samples_[at.sample].area, 1.0));
  }
  // Distance to the truth after `step`, image_px.
  double error_px(const Place& at, double step) const {
    const Sample& sample = samples_[at.sample];
    const pose::Keypoint& input = sample.input[at.joint];
    const pose::Keypoint& truth = sample.truth[at.joint];
    const double x = input.x + step * (sample.answer[2 * at.joint] - input.x);
    const double y = input.y + step * (sample.answer[2 * at.joint + 1] - input.y);
    return std::hypot(x - truth.x, y - truth.y);
  }

  void fit_scalings() {
    Moments spread, distance, score;
    for (const Place& at : labelled_) {
      if (!has_input(at)) continue;
      const auto [log_spread, log_distance, joint_score] =
          trust_.plain_features(at.joint, evidence_of(samples_[at.sample].answered(), at.joint));
      spread.add(log_spread);
      distance.add(log_distance);
      score.add(joint_score);
    }
    trust_.spread = spread.scaling();
    trust_.distance = distance.scaling();
    trust_.score = score.scaling();
  }

  void collect_joints() {
    std::vector<double> labelled(samples_.size(), 0);
    for (const Place& at : labelled_) ++labelled[at.sample];
    for (const Place& at : labelled_) {
      const auto kind = static_cast<size_t>(trust_.kind_of(at.joint));
      if (!has_input(at)) continue;
      ++trust_.kinds[kind].labelled;
      const Sample& sample = samples_[at.sample];
      const double tolerance = tolerance_px(at);
      const pose::Keypoint& input = sample.input[at.joint];
      JointSample joint;
      joint.kind = kind;
      joint.fold = fold_of_[at.sample];
      joint.weight = 1 / labelled[at.sample];
      joint.features = trust_.step_features(at.joint, evidence_of(sample.answered(), at.joint));
      joint.input_x = (input.x - sample.truth[at.joint].x) / tolerance;
      joint.input_y = (input.y - sample.truth[at.joint].y) / tolerance;
      joint.moved_x = (sample.answer[2 * at.joint] - input.x) / tolerance;
      joint.moved_y = (sample.answer[2 * at.joint + 1] - input.y) / tolerance;
      joints_.push_back(joint);
      places_.push_back(at);
    }
  }

  // Steps of every joint: without input the answer; labelled ones cross-validated; the rest (which no figure of
  // labelled joints sees) as the final weights say.
  void take_steps(const StepFit& found) {
    for (size_t kind = 0; kind < trust_.kinds.size(); ++kind) {
      trust_.kinds[kind].step_weights = found.weights.kinds[kind];
      trust_.kinds[kind].moves = found.weights.moves[kind] != 0 && trust_.kinds[kind].labelled > 0;
    }
    result_.steps.assign(samples_.size(), std::vector<double>(trust_.joints(), 1));
    for (size_t i = 0; i < samples_.size(); ++i) steps(trust_, samples_[i].answered(), result_.steps[i]);
    for (size_t i = 0; i < places_.size(); ++i) result_.steps[places_[i].sample][places_[i].joint] = found.cv_steps[i];
  }

  void fit_errors() {
    constexpr double kPriorJoints = 50;
    std::vector<SpreadError> errors;
    Moments all;
    std::vector<Place> places;
    for (const Place& at : labelled_) {
      const Sample& sample = samples_[at.sample];
      if (sample.is_drawn) continue;
      places.push_back(at);
      const double error = error_px(at, result_.steps[at.sample][at.joint]) * sample.crop_px_per_image_px;
      errors.push_back({sample.spread_px[at.joint], error});
      all.add(error);
    }
    ErrorCurve curve = fit_error_curve(errors);
    trust_.curve_spread_px = std::move(curve.spread_px);
    trust_.curve_error_px = std::move(curve.error_px);
    const double prior = kPriorJoints * all.scaling().mean;
    std::vector<double> found(trust_.kinds.size(), prior), expected(trust_.kinds.size(), prior);
    for (size_t i = 0; i < places.size(); ++i) {
      const auto kind = static_cast<size_t>(trust_.kind_of(places[i].joint));
      found[kind] += errors[i].error_px;
      expected[kind] += trust_.expected_error_px(places[i].joint, errors[i].spread_px);
    }
    for (size_t kind = 0; kind < trust_.kinds.size(); ++kind) {
      if (expected[kind] > 0) trust_.kinds[kind].error_factor = found[kind] / expected[kind];
    }
  }

  // OKS of the pose after its cross-validated steps; 0 if it belongs to nobody.
  double reached_oks(size_t sample) const {
    double sum = 0;
    double count = 0;
    for (size_t j = 0; j < trust_.joints(); ++j) {
      if (!is_labelled(sample, j)) continue;
      const double error = error_px({sample, j}, result_.steps[sample][j]) / tolerance_px({sample, j});
      sum += std::exp(-error * error / 2);
      ++count;
    }
    return count > 0 ? sum / count : 0;
  }

  void fit_scores() {
    std::array<Moments, kScoreFeatures> moments;
    for (const Sample& sample : samples_) {
      if (sample.is_drawn) continue;
      const ScoreFeatures plain = trust_.plain_score_features(sample.answered());
      for (size_t f = 1; f < kScoreFeatures; ++f) moments[f].add(plain[f]);
    }
    for (size_t f = 1; f < kScoreFeatures; ++f) trust_.score_scaling[f] = moments[f].scaling();
    std::vector<ScoreSample> scored;
    for (size_t i = 0; i < samples_.size(); ++i) {
      if (samples_[i].is_drawn) continue;
      scored.push_back({trust_.score_features(samples_[i].answered()), reached_oks(i), fold_of_[i]});
    }
    result_.scores.assign(samples_.size(), 0);
    for (int fold = 0; fold < folds_; ++fold) {
      trust_.score_weights = fit_score(scored, fold);
      for (size_t i = 0; i < samples_.size(); ++i) {
        if (fold_of_[i] == fold) result_.scores[i] = trust_.person_score(samples_[i].answered());
      }
    }
    trust_.score_weights = fit_score(scored, -1);
  }

  void report() {
    for (const JointKind& kind : trust_.kinds) {
      KindReport& row = result_.kinds.emplace_back();
      row.name = kind.name;
      row.moves = kind.moves;
    }
    result_.all.name = "all";
    for (const Place& at : places_) {
      const double step = result_.steps[at.sample][at.joint];
      for (KindReport* row : {&result_.kinds[static_cast<size_t>(trust_.kind_of(at.joint))], &result_.all}) {
        ++row->joints;
        row->mean_step += step;
        add(at, 0, row->error_before_px, row->oks_before);
        add(at, 1, row->error_raw_px, row->oks_raw);
        add(at, step, row->error_calibrated_px, row->oks_calibrated);
      }
    }
    result_.all.moves = true;
    for (KindReport& row : result_.kinds) finish(row);
    finish(result_.all);
  }

  void add(const Place& at, double step, double& error_sum, double& oks_sum) const {
    const double error = error_px(at, step);
    const double relative = error / tolerance_px(at);
    error_sum += error;
    oks_sum += std::exp(-relative * relative / 2);
  }

  static void finish(KindReport& row) {
    const double count = row.joints > 0 ? static_cast<double>(row.joints) : 1;
    for (double* value : {&row.mean_step, &row.oks_before, &row.oks_raw, &row.oks_calibrated, &row.error_before_px,
                          &row.error_raw_px, &row.error_calibrated_px}) {
      *value /= count;
    }
  }

  const std::vector<Sample>& samples_;
  const pose::Skeleton& skeleton_;
  int folds_;
  std::vector<int> fold_of_;
  Trust trust_;
  std::vector<Place> labelled_;
  std::vector<Place> places_;        // labelled joints with an input
  std::vector<JointSample> joints_;  // beside places_
  Fitted result_;
};

}  // namespace

Fitted fit(const std::vector<Sample>& samples, const pose::Skeleton& skeleton, const FitOptions& options) {
  PFX_CHECK(options.folds > 1);
  std::map<uint64_t, int> pictures;
  for (const Sample& sample : samples) ++pictures[sample.picture];
  if (pictures.size() < static_cast<size_t>(options.folds)) {
    throw bad_input("poses of {} pictures; a calibration needs {} or more", pictures.size(), options.folds);
  }
  return Fitting(samples, skeleton, options).run();
}

}  // namespace posefix::trust
