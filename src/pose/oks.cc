#include "pose/oks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace posefix::pose {

double oks_similarity(const Keypoints& a, const Keypoints& b, double area_a, double area_b,
                      std::span<const double> sigmas) {
  PFX_CHECK(a.size() == b.size() && a.size() == sigmas.size());
  const double area = (area_a + area_b) / 2 + std::numeric_limits<double>::epsilon();
  double sum = 0;
  int joints = 0;
  for (size_t j = 0; j < sigmas.size(); ++j) {
    if (sigmas[j] == 0) continue;
    const double dx = a[j].x - b[j].x;
    const double dy = a[j].y - b[j].y;
    const double variance = (sigmas[j] * 2) * (sigmas[j] * 2);
    sum += std::exp(-((dx * dx + dy * dy) / variance / area / 2));
    ++joints;
  }
  return joints == 0 ? 0 : sum / joints;
}

std::vector<size_t> oks_nms(std::span<const NmsCandidate> candidates, std::span<const double> sigmas,
                            double threshold) {
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return candidates[a].score < candidates[b].score; });
  std::reverse(order.begin(), order.end());

  std::vector<size_t> kept;
  std::vector<char> dropped(candidates.size(), 0);
  for (size_t i = 0; i < order.size(); ++i) {
    if (dropped[order[i]]) continue;
    const NmsCandidate& best = candidates[order[i]];
    kept.push_back(order[i]);
    for (size_t k = i + 1; k < order.size(); ++k) {
      const NmsCandidate& other = candidates[order[k]];
      if (dropped[order[k]]) continue;
      dropped[order[k]] = oks_similarity(*best.keypoints, *other.keypoints, best.area, other.area, sigmas) > threshold;
    }
  }
  return kept;
}

}  // namespace posefix::pose
