#include "evaluate/oks_matcher.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/cpu_clones.h"

namespace posefix::evaluate {

namespace {

// Coordinate of a joint that does not count: far from everything, so that it is near to nothing.
constexpr double kUnlabelled_px = 1e100;

// From here on exp(-e) is 0 in a double, and the library takes its slow path to say so.
constexpr double kVanishes = 746;

double distance_to(double low, double high, double value) {
  return std::max(0.0, low - value) + std::max(0.0, value - high);
}

struct Ranges {
  const double *x_low, *x_high, *y_low, *y_high;
};

// At least the sum over joints of exp(-e), e = distance^2 * inverse * scale, by
// exp(e) >= 1 + e + e^2/2 + e^3/6 + e^4/24.
POSEFIX_CPU_CLONES("avx512f", "avx2")
double bound_of_sum(const double* px, const double* py, const Ranges& to, const double* inverse, size_t joints,
                    double scale) {
  constexpr size_t kLanes = 8;
  std::array<double, kLanes> sums{};
  const auto term = [&](size_t j) {
    const double dx = distance_to(to.x_low[j], to.x_high[j], px[j]);
    const double dy = distance_to(to.y_low[j], to.y_high[j], py[j]);
    const double e = (dx * dx + dy * dy) * inverse[j] * scale;
    return 1 / (1 + e * (1 + e * (1.0 / 2 + e * (1.0 / 6 + e * (1.0 / 24)))));
  };
  size_t j = 0;
  for (; j + kLanes <= joints; j += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += term(j + lane);
  }
  for (; j < joints; ++j) sums[0] += term(j);
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace

const std::array<double, kThresholds>& oks_thresholds() {
  static const std::array<double, kThresholds> thresholds = [] {
    std::array<double, kThresholds> values{};
    const double step = (0.95 - 0.5) / (kThresholds - 1);
    for (int i = 0; i < kThresholds; ++i) values[static_cast<size_t>(i)] = i * step + 0.5;
    values.back() = 0.95;
    return values;
  }();
  return thresholds;
}

OksMatcher::OksMatcher(std::span<const double> sigmas) {
  for (const double sigma : sigmas) {
    variances_.push_back((sigma * 2) * (sigma * 2));
    inverse_.push_back(sigma > 0 ? 1 / variances_.back() : 0);
  }
}

MatchTarget OksMatcher::target_of(const dataset::Annotation& annotation) const {
  const size_t joints = variances_.size();
  const pose::Box& box = annotation.bbox;
  const auto has_label = [](const pose::Keypoint& joint) { return joint.score > 0; };
  const bool is_labelled = std::any_of(annotation.keypoints.begin(), annotation.keypoints.end(), has_label);
  MatchTarget target;
  for (std::vector<double>* list : {&target.x_low, &target.x_high, &target.y_low, &target.y_high}) {
    list->assign(joints, kUnlabelled_px);
  }
  target.counted.reserve(joints);
  for (size_t j = 0; j < joints; ++j) {
    if (variances_[j] == 0 || (is_labelled && !has_label(annotation.keypoints[j]))) continue;
    target.counted.push_back(static_cast<uint32_t>(j));
    target.x_low[j] = is_labelled ? annotation.keypoints[j].x : box.x - box.w;
    target.x_high[j] = is_labelled ? annotation.keypoints[j].x : box.x + box.w * 2;
    target.y_low[j] = is_labelled ? annotation.keypoints[j].y : box.y - box.h;
    target.y_high[j] = is_labelled ? annotation.keypoints[j].y : box.y + box.h * 2;
  }
  target.id = annotation.id;
  target.area = annotation.area;
  target.iscrowd = annotation.iscrowd;
  target.ignored = annotation.iscrowd || annotation.num_keypoints == 0;
  return target;
}

double OksMatcher::oks(const double* pose, const MatchTarget& target, bool exact) const {
  const size_t joints = variances_.size();
  const double* px = pose;
  const double* py = pose + joints;
  const double area = target.area + std::numeric_limits<double>::epsilon();
  const auto count = static_cast<double>(target.counted.size());
  if (target.counted.empty()) return 0;
  if (!exact && area > 0) {
    // A pair below the lowest threshold, 0.5, can never match. The margin is far above the rounding of either sum. A
    // joint without a sigma adds at most 1.
    const Ranges to{target.x_low.data(), target.x_high.data(), target.y_low.data(), target.y_high.data()};
    if (bound_of_sum(px, py, to, inverse_.data(), joints, 0.5 / area) < (0.5 - 1e-9) * count) return 0;
  }
  double sum = 0;
  for (const uint32_t j : target.counted) {
    const double dx = distance_to(target.x_low[j], target.x_high[j], px[j]);
    const double dy = distance_to(target.y_low[j], target.y_high[j], py[j]);
    const double e = (dx * dx + dy * dy) / variances_[j] / area / 2;
    if (e < kVanishes) sum += std::exp(-e);
  }
  return sum / count;
}

void OksMatcher::match(std::span<const Candidate> candidates, std::span<const MatchTarget> targets,
                       std::span<MatchOutcome> outcomes, GroupMatches* details) {
  const size_t g_count = targets.size();
  oks_.resize(candidates.size() * g_count);
  best_.resize(candidates.size());
  for (size_t d = 0; d < candidates.size(); ++d) {
    best_[d] = -1;
    for (size_t g = 0; g < g_count; ++g) {
      const double value = oks(candidates[d].pose, targets[g], details != nullptr);
      oks_[d * g_count + g] = value;
      best_[d] = std::max(best_[d], value);
    }
  }
  if (details != nullptr) details->oks = oks_;
  for (size_t area = 0; area < kAreas; ++area)
    match_area(candidates, targets, area, outcomes, area == 0 ? details : nullptr);
}

void OksMatcher::match_area(std::span<const Candidate> candidates, std::span<const MatchTarget> targets, size_t area,
                            std::span<MatchOutcome> outcomes, GroupMatches* details) {
  const AreaRange range = kAreaRanges[area];
  const size_t g_count = targets.size();
  const auto outside = [&](double value) { return value < range.low || value > range.high; };
  order_.clear();
  ignored_.clear();
  for (const bool ignored : {false, true}) {
    for (size_t g = 0; g < g_count; ++g) {
      if ((targets[g].ignored || outside(targets[g].area)) != ignored) continue;
      order_.push_back(g);
      ignored_.push_back(ignored);
    }
  }
  if (details != nullptr) {
    for (size_t i = 0; i < g_count; ++i) details->targets.push_back(targets[order_[i]].id);
    details->target_ignored = ignored_;
  }
  active_.clear();
  for (size_t d = 0; d < candidates.size(); ++d) {
    if (best_[d] >= oks_thresholds().front()) active_.push_back(d);
    if (outside(candidates[d].area)) outcomes[d].ignored[area] = kEveryThreshold;
  }
  for (size_t t = 0; t < kThresholds; ++t) {
    match_threshold(targets, area, t, outcomes, details);
    if (details == nullptr) continue;
    for (const MatchOutcome& outcome : outcomes) details->ignored[t].push_back(outcome.ignored[area] >> t & 1);
  }
}

void OksMatcher::match_threshold(std::span<const MatchTarget> targets, size_t area, size_t t,
                                 std::span<MatchOutcome> outcomes, GroupMatches* details) {
  const size_t g_count = targets.size();
  const double threshold = std::min(oks_thresholds()[t], 1 - 1e-10);
  const auto bit = static_cast<uint16_t>(1U << t);
  taken_.assign(g_count, 0);
  if (details != nullptr) details->match[t].assign(outcomes.size(), 0);
  for (const size_t d : active_) {
    if (best_[d] < threshold) continue;
    size_t held = g_count;  // position in order_
    double best = threshold;
    for (size_t i = 0; i < g_count; ++i) {
      if (taken_[i] && !targets[order_[i]].iscrowd) continue;
      if (held < g_count && !ignored_[held] && ignored_[i]) break;
      const double value = oks_[d * g_count + order_[i]];
      if (value < best) continue;
      best = value;
      held = i;
    }
    if (held == g_count) continue;
    taken_[held] = 1;
    // pycocotools stores the annotation's id and takes 0 for "no match".
    const int64_t id = targets[order_[held]].id;
    if (details != nullptr) details->match[t][d] = id;
    uint16_t& ignored = outcomes[d].ignored[area];
    if (id != 0) {
      outcomes[d].matched[area] |= bit;
      ignored &= static_cast<uint16_t>(~bit);
    }
    if (ignored_[held]) ignored |= bit;
  }
}

}  // namespace posefix::evaluate
