#include "evaluate/oks_matcher.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace posefix::evaluate {

namespace {

// Joints whose squared distance, divided by their variance, is below `limit`.
__attribute__((target_clones("avx512f", "avx2", "default"))) size_t count_within(const double* px, const double* py,
                                                                                 const double* tx, const double* ty,
                                                                                 const double* inverse, size_t joints,
                                                                                 double limit) {
  uint64_t within = 0;
  for (size_t j = 0; j < joints; ++j) {
    const double dx = px[j] - tx[j];
    const double dy = py[j] - ty[j];
    within += (dx * dx + dy * dy) * inverse[j] < limit ? 1 : 0;
  }
  return within;
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
    used_ += sigma > 0;
    inverse_.push_back(1 / variances_.back());
  }
}

double OksMatcher::oks(const double* pose, const MatchTarget& target, bool exact) {
  const size_t joints = variances_.size();
  const double* px = pose;
  const double* py = pose + joints;
  const double area = target.area + std::numeric_limits<double>::epsilon();
  double sum = 0;
  if (target.labelled.empty()) {
    // No labelled joint: distance to the box grown to three times its size.
    const double x0 = target.box[0] - target.box[2], x1 = target.box[0] + target.box[2] * 2;
    const double y0 = target.box[1] - target.box[3], y1 = target.box[1] + target.box[3] * 2;
    for (size_t j = 0; j < joints; ++j) {
      if (variances_[j] == 0) continue;  // a slot that no data set fills
      const double dx = std::max(0.0, x0 - px[j]) + std::max(0.0, px[j] - x1);
      const double dy = std::max(0.0, y0 - py[j]) + std::max(0.0, py[j] - y1);
      sum += std::exp(-((dx * dx + dy * dy) / variances_[j] / area / 2));
    }
    return sum / static_cast<double>(used_);
  }
  const size_t count = target.labelled.size();
  if (!exact && used_ == joints) {
    // A pair below the lowest threshold, 0.5, can never match. A joint adds at most 1, and nearly nothing from an
    // exponent of 40 on: with fewer than half of the joints within that, OKS is below 0.5 whatever they add.
    const size_t within =
        count_within(px, py, target.x.data(), target.y.data(), inverse_.data(), joints, 40.5 * 2 * area);
    if (2 * within < count) return 0;
  }
  size_t counted = 0;
  for (const int joint : target.labelled) {
    const auto j = static_cast<size_t>(joint);
    if (variances_[j] == 0) continue;
    ++counted;
    const double dx = px[j] - target.x[j];
    const double dy = py[j] - target.y[j];
    sum += std::exp(-((dx * dx + dy * dy) / variances_[j] / area / 2));
  }
  return counted == 0 ? 0 : sum / static_cast<double>(counted);
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
  for (size_t t = 0; t < kThresholds; ++t) {
    const double threshold = std::min(oks_thresholds()[t], 1 - 1e-10);
    const auto bit = static_cast<uint16_t>(1U << t);
    taken_.assign(g_count, 0);
    for (size_t d = 0; d < candidates.size(); ++d) {
      size_t held = g_count;  // position in order_
      double best = threshold;
      for (size_t i = 0; best_[d] >= threshold && i < g_count; ++i) {
        const MatchTarget& target = targets[order_[i]];
        if (taken_[i] && !target.iscrowd) continue;
        if (held < g_count && !ignored_[held] && ignored_[i]) break;
        const double value = oks_[d * g_count + order_[i]];
        if (value < best) continue;
        best = value;
        held = i;
      }
      bool ignore = false;
      int64_t matched = 0;  // pycocotools stores the id and takes 0 for "no match"
      if (held < g_count) {
        taken_[held] = 1;
        ignore = ignored_[held];
        matched = targets[order_[held]].id;
      }
      if (matched == 0 && outside(candidates[d].area)) ignore = true;
      if (matched != 0) outcomes[d].matched[area] |= bit;
      if (ignore) outcomes[d].ignored[area] |= bit;
      if (details != nullptr) {
        details->match[t].push_back(matched);
        details->ignored[t].push_back(ignore);
      }
    }
  }
}

}  // namespace posefix::evaluate
