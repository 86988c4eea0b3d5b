#include "synthesis/error_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace posefix::synthesis {
namespace {

constexpr int kChoiceRounds = 500;
constexpr size_t kFewestForQuantiles = 20;
constexpr size_t kLevelsOfFew = 5;
constexpr size_t kManyForQuantiles = 100;
constexpr size_t kLevelsOfMany = 21;
constexpr double kLeastSimilarity = 0.2;

double distance(const pose::Keypoint& a, const pose::Keypoint& b) { return std::hypot(a.x - b.x, a.y - b.y); }

// Quantiles at equally spaced levels; the reference's range when there is too little to go by.
std::vector<double> quantiles_of(std::vector<double> values, double low, double high) {
  if (values.size() < kFewestForQuantiles) return {low, high};
  std::sort(values.begin(), values.end());
  const size_t levels = values.size() < kManyForQuantiles ? kLevelsOfFew : kLevelsOfMany;
  std::vector<double> result(levels);
  for (size_t i = 0; i < levels; ++i) {
    const double position =
        static_cast<double>(i) / static_cast<double>(levels - 1) * static_cast<double>(values.size() - 1);
    const auto index = std::min(static_cast<size_t>(position), values.size() - 2);
    const double fraction = position - static_cast<double>(index);
    result[i] = values[index] + fraction * (values[index + 1] - values[index]);
  }
  return result;
}

double oks(const pose::Keypoints& gt, const pose::Keypoints& detected, double area, const pose::Skeleton& skeleton) {
  double sum = 0;
  int labelled = 0;
  for (size_t j = 0; j < gt.size(); ++j) {
    const double unit = 2 * skeleton.sigmas[j] * std::sqrt(area);
    if (gt[j].score <= 0 || !(unit > 0)) continue;
    const double d = distance(gt[j], detected[j]) / unit;
    sum += std::exp(-d * d / 2);
    ++labelled;
  }
  return labelled > 0 ? sum / labelled : 0;
}

}  // namespace

JointObservation observe_joint(const ObservedPerson& person, const pose::Skeleton& skeleton, size_t joint,
                               std::span<const int> partner) {
  JointObservation result;
  const double unit = 2 * skeleton.sigmas[joint] * std::sqrt(std::max(0.0, person.area));
  const pose::Keypoint& at = person.detected[joint];
  if (person.gt[joint].score <= 0 || at.score <= 0 || !(unit > 0) || skeleton.is_ignored(static_cast<int>(joint))) {
    return result;
  }
  result.counted = true;
  const auto mirror = static_cast<size_t>(partner[joint]);
  const bool paired = mirror != joint;
  result.can_invert = paired && person.gt[mirror].score > 0;
  double nearest_other = -1;
  for (const pose::Keypoints& other : person.near) {
    for (const size_t candidate : {joint, mirror}) {
      if (other[candidate].score <= 0) continue;
      const double d = distance(at, other[candidate]) / unit;
      if (nearest_other < 0 || d < nearest_other) nearest_other = d;
    }
  }
  result.can_swap = nearest_other >= 0;
  const double own = distance(at, person.gt[joint]) / unit;
  const double to_mirror = result.can_invert ? distance(at, person.gt[mirror]) / unit : -1;
  result.distance = own;
  if (own <= kRadiusGood) {
    result.kind = ErrorKind::kGood;
  } else if (own <= kRadiusJitter) {
    result.kind = ErrorKind::kJitter;
  } else if (result.can_invert && to_mirror <= kRadiusJitter) {
    result.kind = ErrorKind::kInversion;
    result.distance = to_mirror;
  } else if (result.can_swap && nearest_other <= kRadiusJitter) {
    result.kind = ErrorKind::kSwap;
    result.distance = nearest_other;
  } else {
    result.kind = ErrorKind::kMiss;
  }
  return result;
}

ErrorFit::ErrorFit(const pose::Skeleton& skeleton) : skeleton_(skeleton), partner_(skeleton.flip_permutation()) {
  shape_.skeleton = skeleton.name;
  shape_.rule = PlacementRule::kZones;
  shape_.valid_limits = {5, 10, 15};
  shape_.overlap_limits = {0, 2};
  joints_.resize(skeleton.joints.size());
  summary_.resize(skeleton.joints.size());
  for (JointData& joint : joints_) joint.cells.resize(shape_.rows() * shape_.columns());
}

void ErrorFit::add(const ObservedPerson& person) {
  PFX_CHECK(person.gt.size() == joints_.size() && person.detected.size() == joints_.size());
  const auto valid = static_cast<int>(
      std::count_if(person.gt.begin(), person.gt.end(), [](const pose::Keypoint& joint) { return joint.score > 0; }));
  const size_t cell = shape_.cell(valid, static_cast<int>(person.near.size()));
  for (size_t j = 0; j < joints_.size(); ++j) {
    if (person.gt[j].score > 0 && !skeleton_.is_ignored(static_cast<int>(j))) {
      ++summary_[j].labelled;
      if (person.detected[j].score <= 0) ++summary_[j].not_found;
    }
    const JointObservation seen = observe_joint(person, skeleton_, j, partner_);
    if (!seen.counted) continue;
    const auto kind = static_cast<size_t>(seen.kind);
    ++joints_[j].cells[cell][seen.can_invert ? 1 : 0][seen.can_swap ? 1 : 0][kind];
    joints_[j].distances[kind].push_back(seen.distance);
    ++summary_[j].count[kind];
    summary_[j].could_invert += seen.can_invert ? 1 : 0;
    summary_[j].could_swap += seen.can_swap ? 1 : 0;
  }
}

// Weights w with P(kind) = w_kind / (sum of w over the kinds that could be), maximum likelihood by Hunter's MM
// algorithm ("MM algorithms for generalized Bradley-Terry models", 2004): w_k <- n_k / sum over situations with k of
// (observations / sum of w in that situation).
ErrorRates ErrorFit::rates_of(const Counts& counts) {
  std::array<double, kErrorKinds> weight{};
  weight.fill(1.0 / kErrorKinds);
  const auto possible = [](size_t kind, size_t invert, size_t swap) {
    if (kind == static_cast<size_t>(ErrorKind::kInversion)) return invert == 1;
    return kind != static_cast<size_t>(ErrorKind::kSwap) || swap == 1;
  };
  for (int round = 0; round < kChoiceRounds; ++round) {
    std::array<double, kErrorKinds> seen{};
    std::array<double, kErrorKinds> exposure{};
    for (size_t invert = 0; invert < 2; ++invert) {
      for (size_t swap = 0; swap < 2; ++swap) {
        double sum = 0;
        double n = 0;
        for (size_t kind = 0; kind < kErrorKinds; ++kind) {
          if (possible(kind, invert, swap)) sum += weight[kind];
          n += static_cast<double>(counts[invert][swap][kind]);
          seen[kind] += static_cast<double>(counts[invert][swap][kind]);
        }
        if (n <= 0 || sum <= 0) continue;
        for (size_t kind = 0; kind < kErrorKinds; ++kind) {
          if (possible(kind, invert, swap)) exposure[kind] += n / sum;
        }
      }
    }
    double total = 0;
    for (size_t kind = 0; kind < kErrorKinds; ++kind) {
      weight[kind] = exposure[kind] > 0 ? seen[kind] / exposure[kind] : 0;
      total += weight[kind];
    }
    if (total <= 0) return {};
    for (double& value : weight) value /= total;
  }
  return {weight[static_cast<size_t>(ErrorKind::kJitter)], weight[static_cast<size_t>(ErrorKind::kMiss)],
          weight[static_cast<size_t>(ErrorKind::kInversion)], weight[static_cast<size_t>(ErrorKind::kSwap)]};
}

ErrorModel ErrorFit::model(int cell_minimum) const {
  ErrorModel model = shape_;
  for (const JointData& data : joints_) {
    JointErrors errors;
    Counts all{};
    const auto total = [](const Counts& counts) {
      int64_t sum = 0;
      for (const auto& by_swap : counts) {
        for (const auto& by_kind : by_swap) sum = std::accumulate(by_kind.begin(), by_kind.end(), sum);
      }
      return sum;
    };
    for (const Counts& cell : data.cells) {
      for (size_t i = 0; i < 4 * kErrorKinds; ++i) {
        const size_t kind = i / 4;
        all[i / 2 % 2][i % 2][kind] += cell[i / 2 % 2][i % 2][kind];
      }
    }
    const ErrorRates overall = rates_of(all);
    for (const Counts& cell : data.cells) {
      errors.rates.push_back(total(cell) >= cell_minimum ? rates_of(cell) : overall);
    }
    const auto quantiles = [&](ErrorKind kind, double low, double high) {
      errors.distances[static_cast<size_t>(kind)] = quantiles_of(data.distances[static_cast<size_t>(kind)], low, high);
    };
    quantiles(ErrorKind::kGood, 0, kRadiusGood);
    quantiles(ErrorKind::kJitter, kRadiusGood, kRadiusJitter);
    quantiles(ErrorKind::kInversion, 0, kRadiusJitter);
    quantiles(ErrorKind::kSwap, 0, kRadiusJitter);
    quantiles(ErrorKind::kMiss, kRadiusJitter, kRadiusMiss);
    model.joints.push_back(std::move(errors));
  }
  return model;
}

std::vector<int> match_people(std::span<const Annotated> people, std::span<const Detection> detections,
                              const pose::Skeleton& skeleton) {
  std::vector<size_t> order(detections.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return detections[a].score > detections[b].score; });
  std::vector<int> matched(people.size(), -1);
  for (const size_t index : order) {
    const Detection& detection = detections[index];
    double best = kLeastSimilarity;
    size_t found = people.size();
    for (size_t i = 0; i < people.size(); ++i) {
      if (matched[i] >= 0) continue;
      const double area = people[i].box.w * people[i].box.h;
      const double similarity = std::max(oks(*people[i].keypoints, *detection.keypoints, area, skeleton),
                                         pose::box_iou(people[i].box, detection.box));
      if (similarity >= best && (found == people.size() || similarity > best)) {
        best = similarity;
        found = i;
      }
    }
    if (found < people.size()) matched[found] = static_cast<int>(index);
  }
  return matched;
}

}  // namespace posefix::synthesis
